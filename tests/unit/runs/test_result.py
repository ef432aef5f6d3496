"""Runs: what is one finding, what is new, and that one broken inspection costs its own row only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import jsonschema
import pytest

from skoopctl.checks.expectations import State
from skoopctl.checks.finding import Severity
from skoopctl.checks.inspections import INSPECTIONS, Inspected, Inspection, Noted
from skoopctl.runs.as_json import run_schema, run_to_json
from skoopctl.runs.changes import compare
from skoopctl.runs.result import RunResult
from skoopctl.runs.text import render_run
from tests.support.broken import drop_vxlan
from tests.support.pages import page_of_run
from tests.support.results import PATH, result_of
from tests.support.worlds import Cluster, filter_table


def kept(result: RunResult) -> dict[str, object]:
    """Return a result as it is read again from its file."""
    loaded: dict[str, object] = json.loads(json.dumps(run_to_json(result)))
    return loaded


def drop_and_gap(made: Cluster) -> None:
    """Break the tunnel and leave something unread."""
    drop_vxlan(made)
    made.c.gaps["route"] = "timeout"


def test_the_same_thing_from_two_inspections_is_one_finding() -> None:
    """Mesh and node paths break by one rule: one row, with the paths of both and both names."""
    result = result_of(drop_vxlan, inspections=["mesh", "nodes"])
    (found,) = result.findings
    assert found.inspections == ("mesh", "nodes")
    assert found.noted.affected == 2 + 3
    assert len(found.noted.affects) == 5


def test_findings_come_worst_first() -> None:
    """Severity, then how many paths break."""
    result = result_of(drop_and_gap, inspections=["evidence", "mesh"])
    assert [f.finding.severity for f in result.findings] == [Severity.FATAL, Severity.WARNING]
    assert result.worst is Severity.FATAL


def test_an_inspection_that_breaks_costs_its_own_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of ours is named, and the others are made."""

    def broken(_: Inspected) -> Iterator[Noted]:
        raise KeyError("oops")
        yield

    monkeypatch.setitem(INSPECTIONS, "mesh", Inspection("mesh", "broken", broken))
    result = result_of(drop_vxlan, inspections=["mesh", "nodes"])
    assert [looked.fault for looked in result.looked] == ["KeyError: 'oops'", ""]
    assert result.findings
    assert "broke off (KeyError: 'oops'): its findings are not complete" in render_run(result)


def test_without_hosts_nothing_is_inspected() -> None:
    """No host answered: no inspection says that all is well."""
    result = result_of(statuses=("timeout", "unreachable"), paths=[PATH])
    assert (result.looked, result.findings, result.paths) == ((), (), ())
    assert result.missing_share == 100


# --- changes -----------------------------------------------------------------------------------------------------


def test_a_finding_stays_the_same_when_its_rule_moves_and_its_counter_runs() -> None:
    """Another rule before it, and packets that it dropped, make no new finding of it."""

    def moved(made: Cluster) -> None:
        drop_vxlan(made)
        for number, table in enumerate(made.n1.tables):
            made.n1.tables[number] = table

    first = result_of(drop_vxlan)
    finding = first.findings[0].finding
    evidence = replace(finding.evidence[-1], location="filter INPUT rule 9", packets=77)
    later = replace(finding, summary="Rule 9 of INPUT …", evidence=(*finding.evidence[:-1], evidence))
    noted = replace(first.findings[0].noted, finding=later)
    assert replace(first.findings[0], noted=noted).key == first.findings[0].key
    changes = compare(result_of(moved), kept(first))
    assert (len(changes.new), len(changes.gone), len(changes.unchanged)) == (0, 0, 1)


def test_new_and_gone_findings_are_told_apart() -> None:
    """What is mended is gone, what broke since is new."""
    broken, healthy = result_of(drop_vxlan), result_of()
    forward = compare(broken, kept(healthy))
    assert (len(forward.new), forward.gone) == (1, ())
    back = compare(healthy, kept(broken))
    assert [each["id"] for each in back.gone] == ["netfilter-drop"]
    assert "gone  netfilter-drop" in render_run(healthy, back, diff=True)
    assert "Since " in render_run(healthy, back)


def test_findings_of_a_host_that_is_silent_are_not_gone() -> None:
    """Nobody knows whether they are."""
    broken = result_of(drop_vxlan)
    (node,) = {f.finding.where.node for f in broken.findings}
    statuses = ("timeout", "ok") if node == "n1" else ("ok", "timeout")
    changes = compare(result_of(statuses=statuses), kept(broken))
    assert changes.gone == ()
    assert [each["id"] for each in changes.unseen] == ["netfilter-drop"]


def test_what_is_kept_may_be_damaged() -> None:
    """A file of an earlier run with other contents makes everything new, and no exception."""
    for last in ({}, {"findings": [1, None, {"key": 5}], "started": 3}, {"findings": []}):
        assert len(compare(result_of(drop_vxlan), last).new) == 1


# --- outputs -----------------------------------------------------------------------------------------------------


def test_json_is_as_its_schema_says() -> None:
    """With findings, paths and changes, and without."""
    validator = jsonschema.Draft202012Validator(run_schema())
    broken = result_of(
        drop_and_gap, inspections=["evidence", "mesh"], paths=[PATH], statuses=("ok", "partial")
    )
    for result in (broken, result_of(), result_of(statuses=("denied", "timeout"))):
        validator.validate(run_to_json(result))
        validator.validate(run_to_json(result, compare(result, kept(broken))))


def test_text_opens_with_the_coverage_and_ends_with_counts() -> None:
    """Who was not seen stands at the top; what was looked at, and how much of it, at the end."""
    result = result_of(
        drop_vxlan, statuses=("ok", "ok", "timeout"), paths=[PATH], inspections=["mesh", "dns"]
    )
    lines = render_run(result).splitlines()
    assert lines[0] == "nightly on prod: 2 of 3 hosts collected"
    assert lines[1].split() == ["n3", "timeout"]
    assert any(line.startswith("✘ a reaches b: expected reachable, found timeout") for line in lines)
    assert "0 of 1 DNS service ports" in "\n".join(lines)
    assert lines[-1].startswith("2 findings (1 fatal, 1 critical), 0 of 1 paths as expected")


def test_colour_is_only_there_when_asked_for() -> None:
    """Plain text has no escape sequences."""
    result = result_of(drop_vxlan)
    assert "\x1b" not in render_run(result)
    assert "\x1b[" in render_run(result, color=True)


EVIL = "<script>alert(1)</script>\x1b[2J\u202e\"'&"


def test_what_nodes_say_does_nothing_in_any_output() -> None:
    """Markup, escape sequences and bidirectional overrides are shown and do not act."""
    result = result_of(drop_vxlan, paths=[{**PATH, "name": EVIL}])
    found = result.findings[0]
    finding = replace(
        found.finding,
        summary=EVIL,
        where=replace(found.finding.where, node=EVIL),
        evidence=tuple(replace(e, text=EVIL) for e in found.finding.evidence),
    )
    noted = replace(found.noted, finding=finding, affects=(EVIL,))
    result = replace(result, cluster=EVIL, findings=(replace(found, noted=noted),))
    page = page_of_run(result, compare(result, {"started": EVIL}))
    for text in (page, render_run(result)):
        assert "\x1b" not in text
        assert "\u202e" not in text
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_the_page_has_every_section_and_nothing_from_elsewhere() -> None:
    """Findings with their fix, paths, what was looked at, hosts; a policy that lets only the style sheet in."""
    result = result_of(drop_vxlan, paths=[PATH], statuses=("ok", "ok", "denied"))
    page = page_of_run(result, compare(result, kept(result_of())))
    for words in ("2 of 3 hosts", "netfilter-drop", "checked in the model", "a reaches b", "denied", "New."):
        assert words in page
    assert "default-src 'none'" in page
    assert "http://" not in page
    assert "https://" not in page


def drop_a_port(made: Cluster) -> None:
    """Refuse one port of a pod."""
    made.b.iptables(filter_table("-A INPUT -p tcp --dport 80 -j REJECT"))


def test_an_entry_of_several_ends_is_as_many_paths() -> None:
    """Two sources and two destinations are four paths with names of their own."""
    many = {
        "name": "web",
        "from": ["10.244.1.10", "10.244.1.11"],
        "to": ["10.244.2.10", "10.244.1.11"],
        "port": 80,
    }
    result = result_of(drop_a_port, paths=[many])
    assert len({judged.expectation.name for judged in result.paths}) == 4
    assert [judged.state for judged in result.paths].count(State.UNMET) == 2
