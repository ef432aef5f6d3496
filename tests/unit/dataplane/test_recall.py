"""Collected connections that take a packet before any rule is asked."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from skoopctl.checks.diagnose import Question, diagnose
from skoopctl.checks.finding import Severity
from skoopctl.dataplane.trace import Outcome, PathResult, Verdict
from skoopctl.kernel.conntrack import Connection, Direction, connection_table
from tests.support.broken import SERVICE, snapshot_of, to_endpoint, web
from tests.support.worlds import Cluster, cluster, filter_table

CLIENT, LIVE, GONE = "10.244.1.10", "10.244.2.10", "10.244.1.99"
SHARE = 1 / (60999 - 32768 + 1)


def entry(goal: str = GONE, port: int = 40001, protocol: int = 17, **more: Any) -> Connection:
    """Make an old entry from the client to the service, which leads to ``goal``."""
    client, service, server = (ip_address(text) for text in (CLIENT, SERVICE, goal))
    fields = {"destination_nat": goal != SERVICE, "timeout_s": 20} | more
    return Connection(
        protocol, Direction(client, service, port, 80), Direction(server, client, 80, port), **fields
    )


def with_entries(*entries: Connection, protocol: str = "udp") -> Cluster:
    """Make a cluster whose n1 translates the service to a live endpoint, and has old entries."""
    made = cluster()
    made.n1.iptables(to_endpoint(LIVE).replace("-p tcp", f"-p {protocol}"))
    made.n1.more["conntrack"] = connection_table(entries)
    return made


def ask(made: Cluster, protocol: str = "udp") -> PathResult:
    """Walk from the client to the service."""
    return made.walk(made.a, SERVICE, 80, protocol)


def test_an_old_entry_is_a_branch_with_the_weight_of_its_port() -> None:
    """The endpoint that is gone gets the share of one port of the client's range; the rest is served."""
    result = ask(with_entries(entry()))
    assert result.verdict is Verdict.MIXED
    assert result.outcomes()[Outcome.CONNECTED] == pytest.approx(1 - SHARE)
    assert result.outcomes()[Outcome.TIMEOUT] == pytest.approx(SHARE)


def test_entries_to_the_same_end_are_one_branch() -> None:
    """Many ports and few ends: one branch for an end, with the weight of all its ports, eight at most."""
    many = [entry(port=40001 + n) for n in range(50)]
    result = ask(with_entries(*many))
    assert len(result.branches) == 2
    assert result.outcomes()[Outcome.TIMEOUT] == pytest.approx(50 * SHARE)
    ends = [entry(f"10.244.1.{100 + n}", 40001 + n) for n in range(20)]
    result = ask(with_entries(*ends))
    assert len(result.branches) == 9
    assert result.outcomes()[Outcome.TIMEOUT] == pytest.approx(20 * SHARE)


def test_a_client_with_one_port_has_no_other_way() -> None:
    """With a port that is known the old entry is certain."""
    made = with_entries(entry())
    made.a.set("net/ipv4/ip_local_port_range", "40001 40001")
    assert (ask(made).verdict, ask(made).outcome) == (Verdict.FAIL, Outcome.TIMEOUT)
    made.a.set("net/ipv4/ip_local_port_range", "40002 40002")
    assert ask(made).verdict is Verdict.PASS


@pytest.mark.parametrize(
    "harmless",
    [
        entry(LIVE, seen_reply=True),
        entry(port=1024),
        entry(protocol=6, tcp_state="ESTABLISHED"),
        replace(entry(), original=replace(entry().original, destination_port=81)),
        replace(entry(), original=replace(entry().original, zone=3)),
        replace(entry(), original=replace(entry().original, source=ip_address("10.244.1.11"))),
        entry(GONE, destination_nat=False),
    ],
    ids=["live", "port", "protocol", "destination", "zone", "source", "ipvs"],
)
def test_other_entries_change_nothing(harmless: Connection) -> None:
    """An entry of another tuple or zone, a live one, and one that IPVS made take no packet."""
    result = ask(with_entries(harmless))
    assert (result.verdict, len(result.branches)) == (Verdict.PASS, 1)


@pytest.mark.parametrize(
    ("state", "verdict"),
    [
        ("ESTABLISHED", Verdict.MIXED),
        ("SYN_SENT", Verdict.MIXED),
        ("TIME_WAIT", Verdict.PASS),
        ("CLOSE", Verdict.PASS),
    ],
)
def test_a_syn_begins_anew_after_a_closed_connection(state: str, verdict: Verdict) -> None:
    """nf_conntrack_proto_tcp.c deletes an entry of TIME_WAIT or CLOSE and looks again (seen on a kernel)."""
    old = entry(protocol=6, tcp_state=state, seen_reply=state != "SYN_SENT")
    assert ask(with_entries(old, protocol="tcp"), "tcp").verdict is verdict


def test_an_entry_from_before_the_rule_is_not_translated() -> None:
    """An unanswered entry to the service's own address keeps the packet untranslated."""
    made = with_entries(entry(SERVICE))
    made.a.set("net/ipv4/ip_local_port_range", "40001 40001")
    result = ask(made)
    assert result.verdict is not Verdict.PASS
    views = [step.after.destination for step in result.branches[0].forward.steps if step.after]
    assert set(views) == {SERVICE}


def test_an_answered_entry_is_established_to_the_filter() -> None:
    """The first packet of a new flow on an old, answered entry passes a rule for ESTABLISHED."""
    made = with_entries(entry(seen_reply=True))
    made.a.set("net/ipv4/ip_local_port_range", "40001 40001")
    made.n1.iptables(filter_table("-A FORWARD -m conntrack --ctstate ESTABLISHED -j REJECT"))
    assert ask(made).outcome is Outcome.REFUSED


def test_an_unread_table_changes_nothing() -> None:
    """Without the table the walk is that of a new connection."""
    made = with_entries(entry())
    del made.n1.more["conntrack"]
    assert ask(made).verdict is Verdict.PASS


def test_a_rare_failure_is_a_warning() -> None:
    """The finding names port and address, and is no cause for alarm while it is a port of thousands."""
    snapshot = snapshot_of(with_entries(entry()), web())
    finding = diagnose(Question(CLIENT, SERVICE, "udp", 80), snapshot).findings[0]
    assert (finding.id, finding.severity) == ("stale-conntrack", Severity.WARNING)
    assert f"Packets from port 40001 of {CLIENT} follow an old connection on n1, to {GONE}" in finding.summary
    assert "less than 1% of connections" in finding.summary
    assert finding.fix is not None
    assert finding.fix.checked
    assert finding.fix.commands == (f"conntrack -D -p udp -s {CLIENT} -d {SERVICE} --dport 80",)


@pytest.mark.parametrize(("count", "full"), [(65535, False), (65536, True), (70000, True)])
def test_a_full_table_may_drop_what_is_new(count: int, full: bool) -> None:
    """At nf_conntrack_max a new connection is dropped unless an old one gives way: UNKNOWN."""
    made = cluster()
    made.n1.set("net/netfilter/nf_conntrack_max", 65536)
    made.n1.set("net/netfilter/nf_conntrack_count", count)
    result = made.walk(made.a, made.b)
    assert result.verdict is (Verdict.UNKNOWN if full else Verdict.PASS)
    if full:
        assert result.unknowns == (f"conntrack's table on n1 is full ({count} of 65536 entries)",)
