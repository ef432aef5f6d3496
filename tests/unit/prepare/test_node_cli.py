"""``skoopctl node``: it asks before it acts, and its exit status says what became of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner

import skoopctl.prepare
from skoopctl.cli import node as command
from skoopctl.errors import UsageError
from skoopctl.inventory import InventoryHost
from skoopctl.prepare import install
from skoopctl.prepare.hosts import on_each
from skoopctl.prepare.row import Row, State, exit_code

ROOT = Path(__file__).parents[3]
SCHEMA = json.loads((Path(skoopctl.prepare.__file__).parent / "node-1.schema.json").read_text())
PLANNED = Row(
    "a", State.PLANNED, "Debian, apt: 1 packages", ("nftables",), (("apt-get", "install", "nftables"),)
)
DONE = Row("a", State.DONE, "1 packages installed", ("nftables",))


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let every node have something to do; return the names of those at which it was done."""
    found: list[str] = []

    def act(host: InventoryHost, *_: object) -> Row:
        found.append(host.name)
        return DONE

    monkeypatch.setattr(install, "plan", lambda _host, _names: PLANNED)
    monkeypatch.setattr(install, "install", act)
    return found


@pytest.fixture
def inventory(tmp_path: Path) -> str:
    """Return an inventory of one host."""
    file = tmp_path / "hosts.yaml"
    file.write_text("all:\n  hosts:\n    a: {ansible_host: 192.0.2.1}\n")
    return str(file)


def prepare(*words: str, terminal: str | None = None, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the command; ``terminal`` is what somebody types, ``None`` means that nobody is there."""
    runner = CliRunner()
    stdin = type("Stdin", (), {"isatty": lambda _self: terminal is not None})()
    monkeypatch.setattr(command.sys, "stdin", stdin)
    if terminal is not None:
        monkeypatch.setattr("click.confirm", lambda *_args, **_options: terminal == "y")
    with runner.isolation():
        monkeypatch.setattr(command.sys, "stdin", stdin)
        return command.prepare.main([*words, "-l", "all"], standalone_mode=False)


def test_nobody_to_ask_means_no(done: list[str], inventory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal and without --yes nothing is even looked at, and the way out is named."""
    for more in ([], ["--json"]):
        with pytest.raises(UsageError, match="--yes"):
            prepare("-i", inventory, *more, monkeypatch=monkeypatch)
    assert done == []


@pytest.mark.parametrize(("answer", "acted"), [("n", []), ("y", ["a"])])
def test_a_person_decides(
    done: list[str], inventory: str, monkeypatch: pytest.MonkeyPatch, answer: str, acted: list[str]
) -> None:
    """On a terminal it is asked, and only yes is yes."""
    prepare("-i", inventory, terminal=answer, monkeypatch=monkeypatch)
    assert done == acted


def test_check_never_acts(done: list[str], inventory: str) -> None:
    """--check wins over --yes, and prints the command."""
    ran = CliRunner().invoke(command.prepare, ["-i", inventory, "-l", "all", "--check", "--yes"])
    assert (ran.exit_code, done) == (0, [])
    assert "    # apt-get install nftables\n" in ran.stdout


def test_json_is_as_published(done: list[str], inventory: str) -> None:
    """What --json prints conforms to the schema, before and after."""
    for flag in ("--check", "--yes"):
        ran = CliRunner().invoke(command.prepare, ["-i", inventory, "-l", "all", flag, "--json"])
        jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(ran.stdout))
    assert done == ["a"]


def test_which_nodes_must_be_said(inventory: str) -> None:
    """A command that changes nodes has no default for which."""
    for each in (command.prepare, command.clean):
        with pytest.raises(UsageError, match="-l PATTERN"):
            each.main(["-i", inventory, "--check"], standalone_mode=False)


def test_clean_asks_no_node_of_which_nothing_is_known(
    inventory: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where nothing was installed, there is no login either."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    ran = CliRunner().invoke(command.clean, ["-i", inventory, "-l", "all", "--yes"], standalone_mode=False)
    assert ran.return_value == 0
    assert ran.stdout == "a: nothing: nothing is there that skoopctl has installed\n"


@pytest.mark.parametrize(
    ("states", "code"),
    [
        ("done nothing planned", 0),
        ("done refused", 1),
        ("failed nothing", 1),
        ("done failed unreachable", 3),
        ("unreachable unreachable", 4),
    ],
)
def test_exit_status(states: str, code: int) -> None:
    """Unreachable nodes are told first: 4 all, 3 some; then what was refused or failed: 1."""
    assert exit_code([Row("a", State(state), "") for state in states.split()]) == code


def test_a_fault_at_one_node_is_its_row() -> None:
    """Rows come in the order of the hosts, and what should not happen at one does not hide the others."""
    hosts = [InventoryHost(name, "192.0.2.1") for name in "abc"]

    def action(host: InventoryHost) -> Row:
        if host.name == "b":
            raise ValueError("oh")
        return Row(host.name, State.DONE, "")

    rows = on_each(hosts, action)
    assert [(row.node, row.state) for row in rows] == [("a", "done"), ("b", "failed"), ("c", "done")]
    assert "ValueError: oh" in rows[1].detail


def test_this_machine_is_refused() -> None:
    """The machine that skoopctl runs on has a package manager at hand: one line says so, and nothing is started."""
    row = install.plan(InventoryHost("a", "192.0.2.1", connection="local"), ["nft"])
    assert row.state is State.REFUSED
    assert "does not support" in row.detail


def test_the_published_schema_is_the_packaged_one() -> None:
    """The schema in docs/ is byte for byte the one that ships in the package."""
    published = (ROOT / "docs" / "schema" / "node-1.schema.json").read_bytes()
    assert published == (ROOT / "skoopctl" / "prepare" / "node-1.schema.json").read_bytes()


def test_login_flags_win_over_the_inventory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """-u, --private-key and --become change how the nodes of an inventory are logged in to."""
    key = tmp_path / "key"
    key.touch()
    asked: list[InventoryHost] = []

    def plan(host: InventoryHost, _names: object) -> Row:
        asked.append(host)
        return Row(host.name, State.DONE, "")

    monkeypatch.setattr("skoopctl.prepare.install.plan", plan)
    flags = ["-i", "192.0.2.1,", "-l", "all", "-u", "ops", "--private-key", str(key), "--become", "--check"]
    done = CliRunner().invoke(command.node, ["prepare", *flags])

    assert done.exit_code == 0, done.output
    assert [(host.user, host.key_file, host.become) for host in asked] == [("ops", str(key), True)]
