"""The doctor's report: text, JSON, exit status."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner

import skoopctl.doctor
from skoopctl.cli.doctor import doctor, exit_code
from skoopctl.doctor import examine as room
from skoopctl.doctor.examine import Examination, Report
from skoopctl.doctor.jsonout import report_object
from skoopctl.doctor.text import report_lines
from skoopctl.errors import UnreachableError, UsageError
from skoopctl.inventory import InventoryHost
from skoopctl.report.terminal import painted
from skoopctl.transport.base import HostResult, Job
from skoopctl.transport.fake import FakeTransports, Script
from skoopctl.transport.fleet import run_fleet
from tests.support.examined import changed, examined, failed, healthy, output, text

SCHEMA = json.loads((Path(skoopctl.doctor.__file__).parent / "doctor-1.schema.json").read_text())
GONE = failed(UnreachableError("node1", "no route to 192.0.2.1", hint="is the host up?"))
UNTOLD = examined(changed("doctor-kernel", btf=text("", "ENOENT")))
LACKING = examined(changed("identity", uid=1000))


def report(*nodes: Examination) -> Report:
    """Return a report of some nodes."""
    return Report(nodes, datetime(2026, 1, 2, tzinfo=UTC))


def shown(*nodes: Examination, verbose: bool = False, width: int = 100) -> str:
    """Return the report as people see it."""
    return painted(report_lines(report(*nodes), verbose=verbose, width=width), color=False)


def test_a_healthy_node_is_one_line() -> None:
    """Of a node on which everything works there is nothing to read but that."""
    assert shown(examined()) == (
        "node1   diagnose: yes   metrics: yes   eBPF probes: yes\n"
        "1 of 1 nodes answered; 1 have all that a diagnosis needs.\n"
    )


def test_what_is_not_well_is_named_with_what_to_do() -> None:
    """A row shows the check, what was found, and the way out; the summary says what it costs."""
    page = shown(UNTOLD)
    assert "eBPF probes: no (btf)" in page
    assert "  missing   btf" in page
    assert "→ use a kernel built with CONFIG_DEBUG_INFO_BTF" in page
    assert "lockdown" not in page


def test_what_is_not_known_has_no_cure_of_its_own() -> None:
    """Nobody is told to install what may be there."""
    page = shown(examined(changed("doctor-netfilter", iptables=text("", "EACCES"))))
    assert "  unknown   iptables" in page
    assert "→" not in page


def test_a_node_that_cannot_be_reached_shows_only_why() -> None:
    """One row, the transport's own, and not one for each check that could not be made."""
    lines = shown(GONE).splitlines()
    assert lines[1].split(maxsplit=2) == ["missing", "reach", "no route to 192.0.2.1"]
    assert lines[2].strip() == "→ is the host up?"
    assert len(lines) == 4


def test_verbose_shows_every_check() -> None:
    """With -v each check has its row, ok or not."""
    for node in (examined(), GONE):
        page = shown(node, verbose=True)
        assert [name for name in node.rows if f" {name} " not in page] == []


@pytest.mark.parametrize("width", [40, 80, 130])
def test_rows_stay_within_the_terminal(width: int) -> None:
    """Rows are wrapped, not cut, whatever the width."""
    rows = [line for line in shown(UNTOLD, LACKING, width=width).splitlines() if line.startswith("  ")]
    assert max(map(len, rows)) <= max(width, 52)


def test_what_a_node_says_does_nothing_to_the_terminal() -> None:
    """Control characters in a node's names arrive as text."""
    page = shown(examined(changed("identity", os="\x1b[2Jevil", machine="\x07bell")), verbose=True)
    assert "\x1b" not in page
    assert "\x07" not in page


@pytest.mark.parametrize("nodes", [(examined(), UNTOLD, LACKING, GONE), ()], ids=["some", "none"])
def test_json_is_as_published(nodes: tuple[Examination, ...]) -> None:
    """What --json prints conforms to the schema in docs/schema."""
    printed = json.loads(json.dumps(report_object(report(*nodes))))
    jsonschema.Draft202012Validator(SCHEMA).validate(printed)


def test_json_has_every_check_of_every_node() -> None:
    """A script finds each check by its id, also of nodes that gave no answer."""
    printed = report_object(report(examined(), GONE))
    assert [len(node["checks"]) for node in printed["nodes"]] == [len(examined().rows)] * 2
    assert printed["coverage"] == {"nodes": 2, "answered": 1, "fine": 1}


@pytest.mark.parametrize(
    ("nodes", "code"),
    [
        ((examined(),), 0),
        ((UNTOLD,), 0),
        ((examined(), LACKING), 1),
        ((LACKING, GONE), 3),
        ((GONE,), 4),
    ],
    ids=["fine", "no-ebpf", "not-root", "some", "none"],
)
def test_exit_status(nodes: tuple[Examination, ...], code: int) -> None:
    """0 fine for a diagnosis, 1 not fine, 3 some gave no answer, 4 none did; eBPF alone does not count."""
    assert exit_code(report(*nodes)) == code


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    """Return an inventory of two hosts."""
    file = tmp_path / "hosts.yaml"
    file.write_text("all:\n  hosts:\n    a: {ansible_host: 192.0.2.1}\n    b: {ansible_host: 192.0.2.2}\n")
    return file


def run(monkeypatch: pytest.MonkeyPatch, scripts: dict[str, Script], *args: str) -> Any:
    """Run the command with scripted hosts."""

    async def scripted(hosts: Sequence[InventoryHost], job: Job, **options: Any) -> list[HostResult]:
        options["transports"].inner = FakeTransports(scripts)
        return await run_fleet(hosts, job, **options)

    monkeypatch.setattr(room, "run_fleet", scripted)
    return CliRunner().invoke(doctor, [*args], standalone_mode=False)


def test_the_command_prints_one_object(monkeypatch: pytest.MonkeyPatch, inventory: Path) -> None:
    """--json is one object on standard output, in the inventory's order, and standard error is empty."""
    scripts = {"a": Script(stdout=output(healthy()))}
    done = run(monkeypatch, scripts, "-i", str(inventory), "--json")
    printed = json.loads(done.stdout)
    assert [node["node"] for node in printed["nodes"]] == ["a", "b"]
    assert [node["status"] for node in printed["nodes"]] == ["ok", "unreachable"]
    assert (done.return_value, done.stderr) == (3, "")


def test_only_the_limit_is_asked(monkeypatch: pytest.MonkeyPatch, inventory: Path) -> None:
    """-l chooses the nodes, as everywhere."""
    done = run(monkeypatch, {"a": Script(stdout=output(healthy()))}, "-i", str(inventory), "-l", "a")
    assert done.stdout.splitlines()[-1].startswith("1 of 1 nodes answered")


@pytest.mark.parametrize(
    "flag", ["--connect-timeout", "--program-timeout", "--host-timeout", "--run-timeout"]
)
def test_a_deadline_cannot_be_switched_off(inventory: Path, flag: str) -> None:
    """Zero seconds is a mistake on the command line, not 'for ever'."""
    done = CliRunner().invoke(doctor, ["-i", str(inventory), flag, "0"])
    assert isinstance(done.exception, UsageError)
    assert done.exception.message == f"{flag} 0: must be above zero"
