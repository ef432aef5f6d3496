"""Each check: what makes it ok, and what makes it anything else."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skoopctl.doctor.catalogue import CHECKS
from skoopctl.doctor.check import Level
from skoopctl.doctor.examine import Report
from skoopctl.doctor.jsonout import report_object
from skoopctl.doctor.stopwatch import Timing
from skoopctl.doctor.text import report_lines
from skoopctl.errors import (
    AuthenticationError,
    DeadlineError,
    DeniedError,
    HostKeyError,
    SkoopError,
    UnreachableError,
    UnsupportedError,
)
from skoopctl.evidence import Item, ItemStatus
from skoopctl.report.terminal import painted
from tests.support.examined import (
    HOST,
    NETNS,
    NOON_NS,
    SECOND_NS,
    TIMING,
    changed,
    examined,
    failed,
    healthy,
    text,
    tool,
)

NFT_ONLY = {"nft": tool("nft", "nftables v1.0.6")}
LEGACY = {"nft": [], "iptables": text("filter nat")}
CASES: list[tuple[str, str, dict[str, Any], Level, str]] = [
    ("root", "identity", {"uid": 1000}, Level.MISSING, "user 1000"),
    ("iptables", "doctor-tools", {"iptables-nft-save": tool("x")}, Level.OK, "v1.8.9"),
    ("iptables", "doctor-netfilter", LEGACY, Level.MISSING, "iptables-legacy-save is not there"),
    ("iptables", "doctor-netfilter", {"nft": []}, Level.OK, "no namespace has iptables rules"),
    ("iptables", "doctor-netfilter", {"iptables": text("", "EACCES")}, Level.UNKNOWN, "EACCES"),
    (
        "module-guard",
        "doctor-kernel",
        {"modules": {"loadable": True, "list": True, "builtin": False}},
        Level.DEGRADED,
        "modules.builtin",
    ),
    (
        "module-guard",
        "doctor-kernel",
        {"modules": {"loadable": False, "list": False, "builtin": False}},
        Level.OK,
        "no module",
    ),
    ("architecture", "identity", {"machine": "riscv64"}, Level.MISSING, "riscv64"),
    ("btf", "doctor-kernel", {"btf": text("", "ENOENT")}, Level.MISSING, "CONFIG_DEBUG_INFO_BTF"),
    ("btf", "doctor-kernel", {"btf": text("", "EACCES")}, Level.MISSING, "EACCES"),
    (
        "lockdown",
        "doctor-kernel",
        {"lockdown": text("none integrity [confidentiality]")},
        Level.MISSING,
        "confidentiality",
    ),
    (
        "lockdown",
        "doctor-kernel",
        {"lockdown": text("none [integrity] confidentiality")},
        Level.OK,
        "integrity",
    ),
    ("lockdown", "doctor-kernel", {"lockdown": text("", "ENOENT")}, Level.OK, "has none"),
    (
        "perf",
        "doctor-kernel",
        {"perf_event_paranoid": text("", "ENOENT")},
        Level.MISSING,
        "without perf events",
    ),
    ("tracefs", "doctor-kernel", {"mounts": {}}, Level.DEGRADED, "kprobes"),
    (
        "tracefs",
        "doctor-kernel",
        {"mounts": {"debugfs": "/sys/kernel/debug"}},
        Level.OK,
        "/sys/kernel/debug/tracing",
    ),
    (
        "ebpf",
        "doctor-ebpf",
        {"map": "EPERM", "load": "EPERM", "attach": "not tried"},
        Level.MISSING,
        "a map could not be made: EPERM",
    ),
    (
        "ebpf",
        "doctor-ebpf",
        {"load": "EINVAL", "attach": "not tried"},
        Level.MISSING,
        "a program could not be loaded: EINVAL",
    ),
    ("ebpf", "doctor-ebpf", {"attach": "not tried"}, Level.UNKNOWN, "did not come to its end"),
    (
        "memory",
        "doctor-machine",
        {"memory_kb": {"MemTotal": 900_000, "MemAvailable": 30_000}},
        Level.MISSING,
        "29 of 878 MB",
    ),
    (
        "memory",
        "doctor-machine",
        {"memory_kb": {"MemTotal": 900_000, "MemFree": 99_000}},
        Level.DEGRADED,
        "96 of 878 MB",
    ),
    ("memory", "doctor-machine", {"memory_kb": {}}, Level.UNKNOWN, "meminfo"),
    ("load", "doctor-machine", {"loadavg": ["40.0", "1.0", "1.0"]}, Level.DEGRADED, "40.00 on 4"),
    ("clock", "doctor-clock", {"wall_ns": NOON_NS + 60 * SECOND_NS}, Level.UNKNOWN, "was set"),
]


def test_a_healthy_node_is_ok_in_every_check() -> None:
    """Where everything works, nothing else is said."""
    node = examined()
    assert {name: row.detail for name, row in node.rows.items() if row.level is not Level.OK} == {}
    assert [each.answer for each in node.prospects] == ["yes", "yes", "yes"]


@pytest.mark.parametrize(("check", "item", "fields", "level", "said"), CASES)
def test_what_a_node_says_decides(
    check: str, item: str, fields: dict[str, Any], level: Level, said: str
) -> None:
    """A check follows from what the node says of just this."""
    row = examined(changed(item, **fields)).rows[check]
    assert row.level is level
    assert said in row.detail


@pytest.mark.parametrize(
    "item", [name for name in healthy() if name.startswith("doctor-") and name != "doctor-netfilter"]
)
def test_what_a_node_does_not_say_is_unknown(item: str) -> None:
    """An item that is missing, or was denied, or makes no sense, gives unknown checks and never an ok."""
    denied = Item(0, item, ItemStatus.DENIED, b"", "root is needed")
    garbage = Item(0, item, ItemStatus.OK, b'{"modules": 3, "nft": {"path": 1}}')
    whole = {name for name, row in examined().rows.items() if row.level is Level.OK}
    open_rows = [
        {name for name in whole if node.rows[name].level is Level.UNKNOWN}
        for node in (examined(None, denied), examined(None, garbage), examined(without=item))
    ]
    assert open_rows[0]
    assert open_rows[0] == open_rows[1] == open_rows[2]


def test_iptables_rules_in_nft_can_be_read_by_nft_alone() -> None:
    """Without iptables-nft-save, nft shows the same rules, less exactly."""
    payloads = healthy()
    payloads["doctor-tools"] = NFT_ONLY
    assert examined(payloads).rows["iptables"].level is Level.DEGRADED
    payloads["doctor-tools"] = {}
    assert examined(payloads).rows["iptables"].level is Level.MISSING


@pytest.mark.parametrize(("version", "level"), [("v1.8.7 (nf_tables)", Level.OK), ("v1.6.1", Level.MISSING)])
def test_a_plain_iptables_save_is_of_the_store_that_it_names(version: str, level: Level) -> None:
    """``iptables-save`` alone is enough when it prints the store in which there are rules."""
    payloads = healthy()
    payloads["doctor-tools"] = {"iptables-save": tool("iptables-save", version)}
    payloads["doctor-netfilter"]["nft"] = [["ip", "filter"]]
    assert examined(payloads).rows["iptables"].level is level


def test_tables_of_nft_need_nft() -> None:
    """A table that iptables did not make is named when there is no nft."""
    payloads = healthy()
    del payloads["doctor-tools"]["nft"]
    row = examined(payloads).rows["nft"]
    assert (row.level, row.detail) == (Level.MISSING, "nft is not there for the tables inet mine")


def test_tools_that_were_not_started_say_why() -> None:
    """A tool whose start might load a module is there without a version, and the reason stands in its place."""
    payloads = healthy()
    reason = "not started: module ip_vs is not loaded"
    payloads["doctor-tools"]["ipvsadm"] = tool("ipvsadm", "", reason)
    payloads["doctor-tools"]["tc"] = tool("tc", "tc utility, iproute2-6.1.0, libbpf 1.1.2")
    detail = examined(payloads).rows["tools"].detail
    assert f"ipvsadm ({reason}), tc 6.1.0; not there: ipset" in detail


def test_namespaces_that_may_not_be_seen_are_counted() -> None:
    """A login that may not see other users' processes is told how many it misses."""
    denied = Item(0, "namespaces", ItemStatus.DENIED, b"[]", "root is needed")
    row = examined(changed("doctor-account", hidden=80), denied).rows["namespaces"]
    assert row.level is Level.MISSING
    assert "80 of 90 processes" in row.detail


def test_dumps_that_fail_in_every_namespace_are_missing() -> None:
    """Netlink that refuses everywhere is not the same as netlink that refuses somewhere."""
    refused = Item(NETNS, "link", ItemStatus.DENIED, b"", "setns: EPERM")
    assert examined(None, refused).rows["netlink"].level is Level.MISSING
    assert examined(without="link").rows["netlink"].level is Level.UNKNOWN


def test_a_clock_that_is_surely_off_is_told_from_one_that_cannot_be_told() -> None:
    """An hour is degraded; within a slow exchange, two seconds are unknown."""
    payloads = healthy()
    for name in ("identity", "doctor-clock"):
        payloads[name]["wall_ns"] += 3600 * SECOND_NS
    assert examined(payloads).rows["clock"].level is Level.DEGRADED
    slow = Timing(0.05, 5.0, NOON_NS, NOON_NS + 5 * SECOND_NS)
    assert examined(timing=slow).rows["clock"].level is Level.UNKNOWN


def test_a_slow_answer_is_degraded() -> None:
    """More than ten seconds for an answer is worth saying."""
    assert examined(timing=replace(TIMING, answer_s=12.0)).rows["answer"].level is Level.DEGRADED


def test_an_answer_that_broke_off_keeps_what_came() -> None:
    """The rows that came are judged; the answer itself is missing, with the transport's error."""
    node = examined(error=UnreachableError("node1", "the connection broke", hint="look"))
    assert node.rows["answer"].level is Level.MISSING
    assert node.rows["answer"].detail == "the connection broke"
    assert node.rows["btf"].level is Level.OK


LOGGED_IN = Timing(0.05, 0.0, NOON_NS, NOON_NS)
FAILURES: list[tuple[SkoopError, Timing | None, str, tuple[str, ...]]] = [
    (UnreachableError("node1", "no route", hint="is it up?"), None, "reach", ()),
    (DeadlineError("node1", "connect", 10), None, "reach", ()),
    (HostKeyError("node1", "the host key has changed"), None, "host-key", ("reach",)),
    (AuthenticationError("node1", "a:22 refused the login of root"), None, "login", ("reach", "host-key")),
    (AuthenticationError("node1", "there is no private key k"), None, "login", ()),
    (DeniedError("node1", "sudo asks for a password"), LOGGED_IN, "root", ("reach", "host-key", "login")),
    (
        UnsupportedError("node1", "no Python 3.6 or newer"),
        LOGGED_IN,
        "python",
        ("reach", "host-key", "login"),
    ),
    (DeadlineError("node1", "program", 30), LOGGED_IN, "answer", ("reach", "host-key", "login")),
]


@pytest.mark.parametrize(("error", "timing", "check", "passed"), FAILURES, ids=lambda value: str(value)[:20])
def test_a_failure_is_one_row(
    error: SkoopError, timing: Timing | None, check: str, passed: tuple[str, ...]
) -> None:
    """The step that failed is missing with the transport's words; only steps that were proven are ok."""
    node = failed(error, timing)
    assert {name for name, row in node.rows.items() if row.level is Level.OK} == set(passed)
    assert {name for name, row in node.rows.items() if row.level is Level.MISSING} == {check}
    assert f"{HOST.name}: {node.rows[check].detail}" == error.message
    assert {each.answer for each in node.prospects} == {"no"}


def test_a_node_whose_turn_never_came_is_unknown() -> None:
    """When the whole run ends first, nothing is said about the node itself."""
    node = failed(DeadlineError("node1", "run", 300))
    assert {row.level for row in node.rows.values()} == {Level.UNKNOWN}
    assert {each.answer for each in node.prospects} == {"unknown"}


def test_every_check_decides_about_something_or_is_for_people() -> None:
    """A check that no ability stands on is one of those that only inform."""
    decided = {name for each in examined().prospects for name in each.ability.checks}
    assert decided <= set(CHECKS)
    assert set(CHECKS) - decided == {"tools", "clock", "load"}


GARBAGE = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**400), 10**400) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def lies(draw: st.DrawFn) -> dict[str, Any]:
    """Return a healthy node's payloads with garbage in the place of some value at some depth."""
    payloads = healthy()
    place: Any = payloads
    key: Any = draw(st.sampled_from(sorted(payloads)))
    while isinstance(place[key], dict | list) and place[key] and draw(st.booleans()):
        place = place[key]
        key = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
    place[key] = draw(GARBAGE)
    return payloads


@settings(max_examples=300)
@given(lies())
def test_a_node_that_lies_costs_its_own_rows(payloads: dict[str, Any]) -> None:
    """Whatever a node writes, there is a judgement of every check, and text and JSON of it."""
    node = examined(payloads)
    assert list(node.rows) == list(CHECKS)
    report = Report((node,), datetime(2026, 1, 2, tzinfo=UTC))
    assert painted(report_lines(report, verbose=True, width=80), color=False).replace("\n", "").isprintable()
    assert json.loads(json.dumps(report_object(report), allow_nan=False))
