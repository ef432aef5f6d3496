"""``skoopctl collect``: files, flags and exit codes, on hosts that are scripted."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from skoopctl.cli.collect import Progress, collect
from skoopctl.errors import SkoopError, UnreachableError
from skoopctl.evidence import Item, ItemStatus, read_bundle
from skoopctl.evidence import collect as live
from skoopctl.inventory import InventoryHost
from skoopctl.transport.base import HostResult, HostStatus, Job
from skoopctl.transport.fake import FakeTransports, Script
from skoopctl.transport.fleet import run_fleet
from tests.support.answers import answer, identity

GOOD = Script(stdout=answer([identity(), Item(7, "link", ItemStatus.OK, b"x")]))
GONE = Script(refuses=UnreachableError("b", "nothing listens on b:22"))


@pytest.fixture
def inventory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an inventory of two hosts, in a folder that is the current one."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "hosts.yaml"
    file.write_text("all:\n  hosts:\n    a: {ansible_host: 127.0.0.1}\n    b: {ansible_host: 127.0.0.1}\n")
    return file


def run(monkeypatch: pytest.MonkeyPatch, scripts: dict[str, Script], *args: str) -> Any:
    """Run the command with scripted hosts."""

    async def scripted(hosts: Sequence[InventoryHost], job: Job, **options: Any) -> list[HostResult]:
        return await run_fleet(hosts, job, **options | {"transports": FakeTransports(scripts)})

    monkeypatch.setattr(live, "run_fleet", scripted)
    return CliRunner().invoke(collect, [*args], standalone_mode=False)


def test_all_collected(inventory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With every host whole the exit status is 0 and stdout is the bundle's name, nothing else."""
    done = run(monkeypatch, {"a": GOOD, "b": GOOD}, "-i", str(inventory), "-o", "x.skoop")
    assert done.return_value == 0
    assert done.stdout == "x.skoop\n"
    assert "2 of 2 hosts collected." in done.stderr
    assert set(read_bundle("x.skoop").results) == {"a", "b"}


def test_some_not_collected(inventory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one host missing the exit status is 3, its row says why, and the bundle holds the rest."""
    done = run(monkeypatch, {"a": GOOD, "b": GONE}, "-i", str(inventory))
    assert done.return_value == 3
    assert "nothing listens on b:22" in done.stderr
    name = done.stdout.strip()
    assert name.startswith("skoop-2")
    assert name.endswith("Z.skoop")
    assert read_bundle(name).coverage() == "1 of 2 hosts collected (b unreachable)"


def test_none_collected(inventory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no host collected the exit status is 4 and no file is written."""
    done = run(monkeypatch, {"a": GONE, "b": GONE}, "-i", str(inventory), "-o", "x.skoop")
    assert done.return_value == 4
    assert not done.stdout
    assert not Path("x.skoop").exists()


def test_json_summary(inventory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--json prints one object with a schema; --quiet leaves stderr empty; --limit chooses hosts."""
    done = run(monkeypatch, {"a": GOOD}, "-i", str(inventory), "-l", "a", "-o", "x.skoop", "--json", "-q")
    printed = json.loads(done.stdout)
    assert printed["schema"] == "skoopctl.collection/1"
    assert printed["coverage"] == {"hosts": 1, "collected": 1, "whole": 1}
    assert printed["hosts"][0]["host"] == "a"
    assert not done.stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["-o", "-"], "-o -: a bundle is a file.*name a file"),
        (["-o", "/nowhere/x.skoop"], "there is no folder /nowhere"),
        (["-o", "."], "is a folder"),
        (["--connect-timeout", "0"], "--connect-timeout 0: must be above zero"),
        (["--run-timeout", "nan"], "--run-timeout nan: must be above zero"),
        (["-l", "zzz"], "zzz"),
    ],
)
def test_bad_flags_are_named_before_anybody_is_asked(
    args: list[str], said: str, inventory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flag that cannot be honoured is a usage error that names it."""
    done = run(monkeypatch, {"a": GOOD, "b": GOOD}, "-i", str(inventory), *args)
    assert isinstance(done.exception, SkoopError)
    assert done.exception.exit_code == 2
    with pytest.raises(SkoopError, match=said):
        raise done.exception


def test_progress_counts_on_one_line() -> None:
    """The progress line is redrawn in place, counts hosts, and is gone in the end."""
    stream = io.StringIO()
    progress = Progress(stream)
    progress.run_started([None, None])  # type: ignore[list-item]
    progress.host_finished(HostResult("a", HostStatus.OK, b"", "", 0, None, 0.1))
    assert "collecting 1/2  a ok" in stream.getvalue()
    progress.run_finished([])
    assert "\n" not in stream.getvalue()
    assert stream.getvalue().endswith("\r\x1b[K")
