"""The command line of diagnose: what it prints, its exit codes, and one clear line for bad input."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from skoopctl.checks.catalogue import DOCS
from skoopctl.checks.diagnosis import Coverage, HostCoverage
from skoopctl.checks.snapshot import Snapshot
from skoopctl.cli import main
from skoopctl.cli.source import Gathered
from skoopctl.evidence import Bundle, HostEvidence, HostRecord, Item, ItemStatus, write_bundle
from skoopctl.report.jsonout import schema
from skoopctl.transport.base import HostStatus
from tests.support.broken import drop_vxlan, nothing, snapshot_of, unknown_match
from tests.support.worlds import Cluster, cluster

KERNEL_CASES = Path(__file__).parents[1] / "kernel/cases"
ENDS = ("-s", "pod/demo/a", "-d", "pod/demo/b", "-p", "80")


@dataclass
class Printed:
    """What one run did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The output as JSON."""
        return json.loads(self.out)


Run = Callable[..., Printed]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process, and return its exit code and output."""

    def once(*args: str) -> Printed:
        monkeypatch.setattr(sys, "argv", ["skoopctl", *args])
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return Printed(stop.value.code if isinstance(stop.value.code, int) else 1, captured.out, captured.err)

    return once


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Snapshot]:
    """Let diagnose see a small cluster, damaged or not, in place of a bundle."""

    def use(
        damage: Callable[[Cluster], None] = nothing, *, statuses: tuple[str, ...] = ("ok", "ok")
    ) -> Snapshot:
        made = cluster()
        damage(made)
        rows = tuple(HostCoverage(f"n{number}", status) for number, status in enumerate(statuses, 1))
        snapshot = replace(snapshot_of(made), coverage=Coverage(rows))
        monkeypatch.setattr("skoopctl.cli.diagnose.gather", lambda *_args, **_more: Gathered(snapshot))
        return snapshot

    return use


def valid(value: Any) -> Any:
    """Check one object against the published schema, and return it."""
    jsonschema.Draft202012Validator(schema()).validate(value)
    return value


# --- exit codes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "statuses", "more", "code"),
    [
        (nothing, ("ok", "ok"), (), 0),
        (drop_vxlan, ("ok", "ok"), (), 1),
        (drop_vxlan, ("ok", "ok"), ("--fail-on", "fatal"), 1),
        (unknown_match, ("ok", "ok"), (), 3),
        (unknown_match, ("ok", "ok"), ("--fail-on", "warning"), 1),
        (nothing, ("ok", "ok", "unreachable"), (), 3),
        (drop_vxlan, ("ok", "partial", "timeout"), (), 1),
    ],
)
def test_exit_codes(
    run: Run,
    given: Callable[..., Snapshot],
    damage: Callable[[Cluster], None],
    statuses: tuple[str, ...],
    more: tuple[str, ...],
    code: int,
) -> None:
    """0 works, 1 fails or reaches --fail-on, 3 is undecided or not wholly collected."""
    given(damage, statuses=statuses)
    assert run("diagnose", "-b", "x", *ENDS, *more).code == code


def test_nothing_collected_is_4(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any host there is nothing to walk through, and the coverage says how many were asked."""
    empty = Snapshot({}, coverage=Coverage((HostCoverage("n1", "unreachable"),)))
    monkeypatch.setattr("skoopctl.cli.diagnose.gather", lambda *_args, **_more: Gathered(empty))
    printed = run("diagnose", "-b", "x", *ENDS)
    assert (printed.code, printed.out) == (4, "")
    assert "0 of 1 hosts collected" in printed.err


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (("-s", "10.0.0.1", "-b", "x"), "-d missing"),
        (("-b", "x"), "-s and -d missing"),
        ((*ENDS, "-b", "x", "--json", "--format", "svg"), "contradict each other"),
        ((*ENDS, "-b", "x", "-o", "out"), "-o needs --format"),
        ((*ENDS, "-b", "x", "--report", "a.txt"), "--report a.txt: the name must end in .html"),
        ((*ENDS, "-b", "x", "--report", "/nowhere/at/all/a.html"), "there is no folder"),
        ((*ENDS, "-b", "x", "--flows", "f"), "--flows has its own sources"),
        (("-b", "x", "--flows", "f", "--format", "svg"), "--flows prints JSON lines or text"),
        (("-b", "x", "--flows", "/nowhere/flows"), "/nowhere/flows: No such file"),
        (("-s", "nope", "-d", "10.244.2.10", "-p", "80", "-b", "x"), "'nope' is not an address"),
        (("-s", "10.244.1.10", "-d", "10.244.2.10", "-b", "x"), "no port is given"),
        ((*ENDS[:4], "-p", "70000", "-b", "x"), "70000"),
        ((*ENDS, "-b", "x", "--protocol", "gre"), "gre"),
    ],
)
def test_bad_usage_is_one_clear_line(
    run: Run, given: Callable[..., Snapshot], args: tuple[str, ...], line: str
) -> None:
    """A flag that cannot be meant ends with 2 and says which; nothing is printed on standard output."""
    given()
    printed = run("diagnose", *args)
    assert (printed.code, printed.out) == (2, "")
    assert line in printed.err
    assert "Traceback" not in printed.err


@pytest.mark.parametrize(
    ("args", "line"),
    [
        ((), "give either -i INVENTORY or --bundle FILE"),
        (("-i", "a", "-b", "b"), "give either -i INVENTORY or --bundle FILE"),
        (("-b", "x", "--limit", "n1"), "--limit goes with -i, not with --bundle"),
        (("-b", "x", "--save", "y"), "--save goes with -i, not with --bundle"),
        (("-b", "/nowhere/x.skoop"), "/nowhere/x.skoop"),
    ],
)
def test_where_evidence_comes_from_is_said_once(run: Run, args: tuple[str, ...], line: str) -> None:
    """An inventory or a bundle, and the flags that go with it."""
    printed = run("diagnose", *ENDS, *args)
    assert printed.code == 2
    assert line in printed.err


# --- one flow ------------------------------------------------------------------------------------------------


def test_json_follows_the_published_schema(run: Run, given: Callable[..., Snapshot]) -> None:
    """--json prints one object: verdict, cause first with its checked fix, both ways."""
    given(drop_vxlan)
    told = valid(run("diagnose", "-b", "x", *ENDS, "--json").json)
    assert (told["verdict"], told["disposition"], told["outcome"]) == ("FAIL", "DROPPED", "timeout")
    first = told["findings"][0]
    assert (first["id"], first["fix"]["checked"]) == ("netfilter-drop", True)
    assert first["evidence"][-1]["text"] == "-A INPUT -s 192.168.3.86/32 -j DROP"


def test_text_names_the_rule_and_the_fix(run: Run, given: Callable[..., Snapshot]) -> None:
    """A person reads the verdict, the rule and the command; no colour codes outside a terminal."""
    given(drop_vxlan)
    text = run("diagnose", "-b", "x", *ENDS).out
    assert "FAIL" in text
    assert "Rule 1 of INPUT (table filter) on n2 drops VXLAN packets from 192.168.3.86" in text
    assert "iptables -t filter -D INPUT -s 192.168.3.86/32 -j DROP" in text
    assert "\x1b" not in text


def test_pictures_and_reports_are_files(run: Run, given: Callable[..., Snapshot], tmp_path: Path) -> None:
    """--format svg -o and --report write files, and say where on standard error."""
    given(drop_vxlan)
    svg, html = tmp_path / "path.svg", tmp_path / "report.html"
    printed = run("diagnose", "-b", "x", *ENDS, "--format", "svg", "-o", str(svg), "--report", str(html))
    assert printed.code == 1
    assert svg.read_text().startswith("<svg")
    assert "netfilter-drop" in html.read_text()
    assert str(svg) in printed.err
    assert str(html) in printed.err


def test_the_old_tools_flags_are_taken(run: Run, given: Callable[..., Snapshot]) -> None:
    """Flags that told skoop what skoopctl finds out are accepted, named, and change nothing."""
    given()
    printed = run(
        "diagnose", "-b", "x", *ENDS, "--network-plugin", "flannel", "--flannel-host-interface", "eth0"
    )
    assert printed.code == 0
    assert "--network-plugin, --flannel-host-interface: not needed" in printed.err


# --- many flows ----------------------------------------------------------------------------------------------

FLOWS = (
    '{"source": "pod/demo/a", "destination": "pod/demo/b", "protocol": "tcp", "port": 80}',
    "",
    "{not json",
    '{"source": "nope", "destination": "pod/demo/b", "port": 80}',
    '{"source": "pod/demo/a", "destination": "pod/demo/b", "port": "80"}',
    '["pod/demo/a"]',
    '{"source": "pod/demo/a", "destination": "pod/demo/b", "port": 80, "colour": 1}',
    '{"source": "pod/demo/a"}',
    '{"source": "pod/demo/a", "destination": "pod/demo/c", "protocol": "udp", "port": 80}',
)


def test_flows_come_out_in_order_and_bad_lines_do_not_end_it(
    run: Run, given: Callable[..., Snapshot], tmp_path: Path
) -> None:
    """Each flow is one line; one that cannot be diagnosed is a line with error, its place, and what to do."""
    given()
    path = tmp_path / "flows.jsonl"
    path.write_text("\n".join(FLOWS) + "\n")
    printed = run("diagnose", "-b", "x", "--flows", str(path), "--json")
    told = [valid(json.loads(line)) for line in printed.out.splitlines()]
    assert printed.code == 2
    assert [row.get("verdict") for row in told] == ["PASS", None, None, None, None, None, None, "PASS"]
    errors = [row["error"] for row in told if "error" in row]
    assert [error.split(": ")[0] for error in errors] == [f"{path}:{n}" for n in range(3, 9)]
    for error, words in zip(
        errors,
        ("not JSON", "'nope'", "port must be", "an object with", "unknown key 'colour'", "must be text"),
        strict=True,
    ):
        assert words in error
    assert told[2]["source"] == "nope"
    assert told[-1]["protocol"] == "udp"


def test_flows_as_text_are_one_line_each(run: Run, given: Callable[..., Snapshot], tmp_path: Path) -> None:
    """Without --json a flow is its verdict, outcome, ends and cause; the exit code is the worst."""
    given(drop_vxlan)
    path = tmp_path / "flows.jsonl"
    path.write_text("\n".join((FLOWS[0], FLOWS[-1])))
    printed = run("diagnose", "-b", "x", "--flows", str(path))
    first, second = printed.out.splitlines()
    assert first.split()[:2] == ["FAIL", "timeout"]
    assert "Rule 1 of INPUT" in first
    assert second.split()[:2] == ["PASS", "connected"]
    assert printed.code == 1


def test_a_file_without_flows_is_a_mistake(run: Run, given: Callable[..., Snapshot], tmp_path: Path) -> None:
    """An empty file is not a clean result."""
    given()
    path = tmp_path / "flows.jsonl"
    path.write_text("\n")
    printed = run("diagnose", "-b", "x", "--flows", str(path))
    assert (printed.code, printed.out) == (2, "")
    assert f"{path}: no flows in it" in printed.err


# --- from a real bundle, and explain ---------------------------------------------------------------------------


def bundle() -> Bundle:
    """Make a bundle of one host out of recorded netlink dumps."""
    root = 4026531840
    items = [
        Item(0, "identity", ItemStatus.OK, json.dumps({"hostname": "n1", "root_netns": root}).encode()),
        Item(0, "namespaces", ItemStatus.OK, json.dumps([{"inode": root, "host": True}]).encode()),
        Item(root, "sysctl", ItemStatus.OK, b"net/ipv4/ip_forward=1\n"),
    ]
    items += [Item(root, p.stem, ItemStatus.OK, p.read_bytes()) for p in KERNEL_CASES.glob("netlink/*.bin")]
    nothing_there = "no tables: nothing is loaded"
    for name in ("iptables-nft", "iptables-legacy", "ip6tables-nft", "ip6tables-legacy", "nft", "ip_vs"):
        items.append(Item(root, name, ItemStatus.ABSENT, detail=nothing_there))
    evidence = HostEvidence("n1", {(item.netns, item.name): item for item in items})
    record = HostRecord(HostStatus.OK, "", evidence, 0.1, "10.1.0.1")
    return Bundle({"n1": record}, {}, "", "hosts.yaml", datetime(2026, 3, 1, tzinfo=UTC))


def test_a_bundle_on_disk_is_walked(run: Run, tmp_path: Path) -> None:
    """From raw netlink bytes to a verdict: a host pings itself."""
    path = tmp_path / "n1.skoop"
    write_bundle(path, bundle())
    printed = run(
        "diagnose", "-b", str(path), "-s", "10.1.0.1", "-d", "10.1.0.1", "--protocol", "icmp", "--json"
    )
    told = valid(printed.json)
    assert (printed.code, told["verdict"], told["source"]["node"]) == (0, "PASS", "n1")
    assert told["collected_at"] == "2026-03-01T00:00:00+00:00"


def test_explain_prints_the_catalogue(run: Run) -> None:
    """The command explain lists all findings, prints one, speaks JSON, and offers the nearest id."""
    assert {line.split()[0] for line in run("explain").out.splitlines()} == set(DOCS)
    assert DOCS["rp-filter"].why in run("explain", "rp-filter").out
    assert run("explain", "rp-filter", "--json").json[0]["id"] == "rp-filter"
    printed = run("explain", "rp-filtre")
    assert printed.code == 2
    assert "did you mean rp-filter?" in printed.err
