"""The command line of redact: the bundle, the map beside it, and what is refused."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from skoopctl.cli.redact import redact
from skoopctl.errors import EvidenceError, SkoopError, UsageError
from skoopctl.evidence import read_bundle
from skoopctl.evidence.redaction import items
from skoopctl.recorded import recorded_bundle

HEALTHY, BROKEN = (str(recorded_bundle(name)) for name in ("healthy", "broken"))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Result:
    """Run ``skoopctl redact``."""
    result = CliRunner().invoke(redact, list(arguments), standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result


def map_of(path: Path) -> dict[str, Any]:
    """Read a map."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def test_a_bundle_and_its_map_are_written(here: Path) -> None:
    """Standard output names the bundle, standard error the map, which only its owner may read."""
    result = run(BROKEN, "-o", "public.skoop")
    assert result.stdout == "public.skoop\n"
    assert "public.skoop.map.json undoes this" in result.stderr
    assert stat.S_IMODE((here / "public.skoop.map.json").stat().st_mode) == 0o600
    names = map_of(here / "public.skoop.map.json")["names"]
    assert list(read_bundle(here / "public.skoop").results) == [
        names[name] for name in read_bundle(BROKEN).results
    ]


def test_without_a_map_none_is_written(here: Path) -> None:
    """With ``--no-map``, the bundle is the only file."""
    run(BROKEN, "-o", "public.skoop", "--no-map")
    assert [path.name for path in here.iterdir()] == ["public.skoop"]


def test_a_map_makes_two_bundles_fit(here: Path) -> None:
    """A second bundle with the first one's map has the same hosts, and differs from it as the originals do."""
    run(HEALTHY, "-o", "a.skoop")
    run(BROKEN, "-o", "b.skoop", "--map", "a.skoop.map.json")
    from skoopctl.changes import difference
    from skoopctl.checks.load import snapshot_of

    found = difference(*(snapshot_of(read_bundle(here / name)) for name in ("a.skoop", "b.skoop")))
    assert [(c.sign.mark, c.place) for s in found.sections for c in s.changes] == [
        ("+", "iptables filter INPUT")
    ]


def test_a_seed_gives_the_same_again(here: Path) -> None:
    """The same seed gives the same bytes; without one, every redaction is another."""
    for name, seed in (("a", ["--seed", "x"]), ("b", ["--seed", "x"]), ("c", [])):
        run(BROKEN, "-o", f"{name}.skoop", *seed)
    a, b, c = ((here / f"{name}.skoop").read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_a_leak_stops_it(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a rewriter forgets something, the command names the item, and writes neither bundle nor map."""
    forgetful = {**items.REWRITERS, "sysctl": lambda payload, _redactor: payload + b"\nnode1-c4 10.244.3.70"}
    monkeypatch.setattr(items, "REWRITERS", forgetful)
    with pytest.raises(EvidenceError, match=r"nothing was written: .*'10\.244\.3\.70' in hosts/.*/sysctl"):
        run(BROKEN, "-o", "public.skoop")
    assert list(here.iterdir()) == []


def test_what_is_left_out_is_said(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An item that cannot be redacted is named on standard error, and is a gap of the new bundle."""
    monkeypatch.setattr(items, "REWRITERS", {k: v for k, v in items.REWRITERS.items() if k != "fdb"})
    result = run(BROKEN, "-o", "public.skoop")
    assert "fdb: this skoopctl cannot redact the item fdb" in result.stderr
    from skoopctl.checks.load import snapshot_of

    hosts = snapshot_of(read_bundle(here / "public.skoop")).hosts.values()
    assert all("fdb" in netns.gaps for host in hosts for netns in host.namespaces.values())


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        (("there.skoop", "-o", "there.skoop"), UsageError, "-o there.skoop: is the original"),
        ((BROKEN, "-o", "no/public.skoop"), UsageError, "is no file that can be written"),
        ((BROKEN, "-o", "old.skoop"), UsageError, "old.skoop.map.json: a map is there already"),
        (
            (BROKEN, "-o", "b.skoop", "--map", "absent.json"),
            EvidenceError,
            "absent.json: the map cannot be read",
        ),
        ((BROKEN, "-o", "b.skoop", "--map", "there.skoop"), EvidenceError, "is no map of a redaction"),
        ((BROKEN, "-o", "b.skoop", "--map", "x", "--seed", "y"), UsageError, "--map has a key"),
    ],
)
def test_bad_input_is_one_clear_line(
    here: Path, arguments: tuple[str, ...], error: type[SkoopError], says: str
) -> None:
    """What cannot be done names the file or the flag, and nothing is written."""
    (here / "there.skoop").write_bytes(Path(BROKEN).read_bytes())
    (here / "old.skoop.map.json").write_text("kept")
    with pytest.raises(error) as raised:
        run(*arguments)
    assert says in str(raised.value)
    assert raised.value.exit_code == 2
    assert (here / "old.skoop.map.json").read_text() == "kept"
    assert sorted(path.name for path in here.iterdir()) == ["old.skoop.map.json", "there.skoop"]
