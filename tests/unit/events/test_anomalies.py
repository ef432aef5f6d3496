"""Findings of events: how many, why, whom it hit, and which rule; nothing of what is normal."""

from __future__ import annotations

from typing import Any

import pytest

from skoopctl.bpf.catalogue import KINDS
from skoopctl.checks.catalogue import DOCS, EVENTS
from skoopctl.checks.finding import Confidence, Finding, Severity
from skoopctl.dataplane.trace import Evidence
from skoopctl.errors import UsageError
from skoopctl.events.anomalies import event_findings
from skoopctl.events.drop_reasons import DROP_ROWS
from skoopctl.events.dropped import Answer, Blame, Said, key_of
from skoopctl.events.event import End, EndKind, Event, InnerPacket, Tally
from skoopctl.events.reasons import DROP_REASONS, drop_reason
from skoopctl.events.thresholds import EVENT_THRESHOLDS, QUIET, EventThreshold, split_thresholds
from skoopctl.probes.thresholds import THRESHOLDS
from skoopctl.runs.result import key_of as identity
from tests.unit.events.made import API, NODE, WEB, event, flow_tally, tally

SECONDS = 20
OWNER = {"namespace": "shop", "pod": "web-0"}
TCP: dict[str, Any] = {**OWNER, "protocol": "TCP", "source": WEB, "destination": API}
RULE = Evidence("iptables-rule", "-A INPUT -j DROP", "filter INPUT rule 1", 7, node=NODE)


def findings(*tallies: Tally, events: tuple[Event, ...] = (), **more: Any) -> list[Finding]:
    """Return what these counts and events come to."""
    return event_findings(NODE, tallies, more.pop("flows", ()), events, SECONDS, **more)


def one(*tallies: Tally, **more: Any) -> Finding:
    """Return the only finding."""
    (found,) = findings(*tallies, **more)
    return found


def shown(finding: Finding) -> list[str]:
    """Return the evidence as text."""
    return [each.text for each in finding.evidence]


def count_of(row: EventThreshold, count: int) -> Tally:
    """Return a count that a row takes."""
    if row.subject is not None:
        reason = next(r.name for r in DROP_REASONS.values() if r.subject is row.subject and not r.noise)
        return tally(count=count, reason=reason)
    return tally(row.kinds[0], count=count)


@pytest.mark.parametrize("row", EVENT_THRESHOLDS.values(), ids=lambda row: row.name)
@pytest.mark.parametrize(("more", "found"), [(-1, 0), (0, 1), (1, 1)], ids=["below", "at", "above"])
def test_a_threshold_is_reached_or_not(row: EventThreshold, more: int, found: int) -> None:
    """Below its threshold something makes no finding; at it and above it, it makes that threshold's."""
    enough = int(row.default * (SECONDS if row.per_second else 1)) + more
    assert [finding.id for finding in findings(count_of(row, enough))] == [row.finding] * found


@pytest.mark.parametrize(("more", "found"), [(-1, 0), (0, 1)], ids=["below", "at"])
def test_what_comes_in_a_moment_is_no_rate(more: int, found: int) -> None:
    """A watch that was ended after a tenth of a second has as much leave as one of a second."""
    row = EVENT_THRESHOLDS["resets-received"]
    assert row.per_second
    made = event_findings(NODE, [count_of(row, 10 + more)], (), (), 0.1, {row.name: 10})
    assert [finding.id for finding in made] == [row.finding] * found


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_a_kind_is_a_finding_or_quiet(kind: Any) -> None:
    """Each kind of the catalogue has a threshold, or is known to be normal."""
    rows = [row for row in EVENT_THRESHOLDS.values() if row.takes(kind.name, "NETFILTER_DROP")]
    assert len(rows) == (0 if kind.name in QUIET else 1)


def test_every_finding_of_events_can_be_produced() -> None:
    """No finding of events is documented that no threshold reports."""
    assert {row.finding for row in EVENT_THRESHOLDS.values()} == {doc.id for doc in EVENTS}


def test_names_of_thresholds_are_its_own() -> None:
    """People set both kinds of thresholds by one option, so no name is in both tables."""
    assert not set(EVENT_THRESHOLDS) & set(THRESHOLDS)


@pytest.mark.parametrize(
    "name", [row[0] for rows in DROP_ROWS.values() for row in rows if drop_reason(row[0]).noise]
)
def test_noise_makes_no_finding(name: str) -> None:
    """However often packets are freed where all is well, nobody is told."""
    assert findings(tally(count=10**6, reason=name), events=(event(**TCP, reason=name),)) == []


def test_a_drop_by_rules_names_hook_flow_and_rule() -> None:
    """The finding says how many, in which hook, between whom, and ends with the rule."""
    happened = event(**TCP, reason="NETFILTER_DROP", hook="INPUT", tcp_flags="SYN")
    key = key_of(happened)
    assert key is not None
    found = one(
        tally(count=12, reason="NETFILTER_DROP", function="nf_hook_slow"),
        events=(happened,),
        flows=(flow_tally(count=12),),
        answers={key: Answer(Said.RULE, (Blame(RULE),))},
    )
    assert found.id == "packets-dropped-by-rules"
    assert found.severity is Severity.CRITICAL
    assert str(found.where) == "node1/shop/web-0"
    assert found.summary == (
        "pod shop/web-0 on node1: 12 packets were dropped by rules of netfilter in 20 s (INPUT): "
        "TCP shop/web-0 (10.0.0.1) -> svc shop/api (10.0.0.2:80), by filter INPUT rule 1 (-A INPUT -j DROP)"
    )
    assert "packet-loss NETFILTER_DROP in nf_hook_slow() +12" in shown(found)
    assert "TCP shop/web-0 (10.0.0.1) -> svc shop/api (10.0.0.2:80) +12" in shown(found)
    assert found.evidence[-1] == RULE


NODES = {
    "source": End("10.1.0.2", 45678, EndKind.NODE, name="node2", node="node2"),
    "destination": End("10.1.0.1", 8472, EndKind.NODE, name="node1", node="node1"),
}
OUTSIDE = "UDP node2 (10.1.0.2) -> node1 (10.1.0.1:8472)"
INSIDE = "TCP shop/web-0 (10.0.0.1) -> svc shop/api (10.0.0.2:80) in VXLAN 1"


def tunnelled(inner: InnerPacket | None) -> Event:
    """Return a drop of a packet between two nodes."""
    return event(**NODES, protocol="UDP", reason="NETFILTER_DROP", hook="INPUT", inner=inner)


def test_whose_packets_a_tunnel_carried_is_told() -> None:
    """A finding about a tunnel's packets names both ends inside; its count stays that of the packets outside."""
    carried = InnerPacket("VXLAN", 1, "TCP", WEB, API, "SYN")
    here = {"namespace": "", "pod": ""}
    found = one(
        tally(count=12, reason="NETFILTER_DROP", **here),
        events=(tunnelled(carried), tunnelled(carried), tunnelled(None)),
        flows=(flow_tally(count=12, protocol="UDP", **here, **NODES),),
    )
    assert found.summary == (
        "node node1: 12 packets were dropped by rules of netfilter in 20 s (INPUT): "
        f"{OUTSIDE}, carrying {INSIDE}"
    )
    assert {f"{OUTSIDE} +12", f"inside: {INSIDE} +2"} <= set(shown(found))


def test_flows_inside_are_bounded_and_the_rest_is_counted() -> None:
    """However many pods a tunnel carries, two stand in the summary, and eight in the evidence."""
    events = tuple(
        tunnelled(InnerPacket("VXLAN", 1, "UDP", WEB, End(f"10.0.9.{number}", 53))) for number in range(1, 12)
    )
    found = one(tally(count=11, reason="NETFILTER_DROP", namespace="", pod=""), events=events)
    assert " and 9 more" in found.summary
    assert sum(text.startswith("inside: UDP") for text in shown(found)) == 8
    assert "inside: and 3 more +3" in shown(found)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(Said.UNKNOWN, reason="node1 was not collected"),
        Answer(Said.NONE, reason="no rule of the snapshot drops it"),
        Answer(Said.ONE_OF, (Blame(RULE, "a"), Blame(RULE, "b"))),
        Answer(Said.RULE, (Blame(RULE, "its mark was 0x1"),)),
    ],
    ids=lambda answer: answer.said.value,
)
def test_an_answer_that_is_not_certain_is_counted_and_shown(answer: Answer) -> None:
    """What is not known for certain of the rule stands in the evidence, with how many packets it is about."""
    happened = event(**TCP, reason="NETFILTER_DROP", hook="INPUT")
    key = key_of(happened)
    assert key is not None
    found = one(tally(reason="NETFILTER_DROP"), events=(happened, happened), answers={key: answer})
    assert f"{answer.text} +2" in shown(found)
    assert RULE.text not in found.summary


def test_rules_are_known_by_their_place_on_old_kernels() -> None:
    """Where the kernel tells no reason, what was dropped by netfilter's function is a drop by rules."""
    assert one(tally(function="nf_hook_slow")).id == "packets-dropped-by-rules"
    assert one(tally(function="tcp_v4_rcv", count=100)).id == "packets-dropped-unsaid"


def test_severity_is_the_worst_reasons() -> None:
    """A listener that overflows is critical though a full buffer is a warning, and a late fragment is neither."""
    assert one(tally(reason="SOCKET_RCVBUFF")).severity is Severity.WARNING
    assert (
        one(tally(reason="SOCKET_RCVBUFF"), tally(reason="TCP_LISTEN_OVERFLOW")).severity is Severity.CRITICAL
    )
    assert one(tally(reason="DUP_FRAG")).severity is Severity.INFO
    resets = tally("reset-active", count=100, probe="tcpreset", reason="TCP_ABORT_ON_MEMORY")
    assert one(resets).severity is Severity.CRITICAL


def test_reasons_are_explained() -> None:
    """The evidence says what the kernel's reason means and what usually causes it."""
    assert any(
        "nobody has a socket for the packet; usually" in text
        for text in shown(one(tally(reason="NO_SOCKET")))
    )


def test_a_place_has_its_own_finding() -> None:
    """What happened to two pods and to the node is three findings, each with its own count."""
    found = findings(
        tally(reason="NO_SOCKET", count=3),
        tally(reason="NO_SOCKET", count=2, pod="web-1"),
        tally(reason="NO_SOCKET", count=1, namespace="", pod=""),
    )
    assert {str(each.where) for each in found} == {"node1/shop/web-0", "node1/shop/web-1", "node1/host"}
    assert [each.summary.partition(": ")[2].split()[0] for each in found] == ["3", "2", "1"]


def test_flows_are_bounded_and_the_rest_is_counted() -> None:
    """Of many flows the most frequent are told, and how many more there are."""
    flows = tuple(flow_tally(count=100 - n, destination=End(f"10.1.0.{n}", 80)) for n in range(50))
    found = one(tally(count=3000, reason="NO_SOCKET"), flows=flows)
    assert "and 48 more" in found.summary
    told = [each for each in found.evidence if each.kind == "flow"]
    assert len(told) == 9
    assert told[-1].text == f"and 42 more +{sum(range(51, 93)):,}"


@pytest.mark.parametrize("other", ["SOCKET_RCVBUFF", "TCP_OLD_DATA"], ids=["two reasons", "noise"])
def test_flows_of_other_reasons_are_not_told(other: str) -> None:
    """Counts of flows have no reason: where they can be of another, the events' flows stand in their place."""
    found = findings(
        tally(reason="NO_SOCKET"),
        tally(reason=other),
        events=(event(**{**TCP, "destination": End("10.9.9.9", 99)}, reason="NO_SOCKET"),),
        flows=(flow_tally(count=1000),),
    )
    mine = next(each for each in found if each.id == "packets-for-no-socket")
    assert [each.text for each in mine.evidence if each.kind == "flow"] == [
        "TCP shop/web-0 (10.0.0.1) -> 10.9.9.9:99 +1"
    ]


def test_failed_connects_are_told_by_errno() -> None:
    """Why connections failed stands in the summary, and how long the longest took."""
    errors = ("ECONNREFUSED", "ECONNREFUSED", "ETIMEDOUT")
    happened = tuple(
        event("connect-failed", probe="tcpconnect", **TCP, error=error, latency_ns=n * 10**9)
        for n, error in enumerate(errors)
    )
    found = one(tally("connect-failed", probe="tcpconnect", count=3), events=happened)
    assert "3 connections failed in 20 s (ECONNREFUSED, ETIMEDOUT), the longest 2 s: TCP" in found.summary


def test_an_owner_in_doubt_makes_the_finding_likely() -> None:
    """Where it is not certain whose namespace it was, the finding says so."""
    happened = event(**TCP, reason="NO_SOCKET", doubt="the inode was used again")
    found = one(tally(reason="NO_SOCKET"), events=(happened,))
    assert found.confidence is Confidence.LIKELY
    assert "the inode was used again" in shown(found)


def test_a_finding_is_the_same_when_only_counts_differ() -> None:
    """The next run knows the finding again though more packets were dropped."""
    first, again = (one(tally(count=n, reason="NO_SOCKET"), flows=(flow_tally(count=n),)) for n in (5, 500))
    assert first.summary != again.summary
    assert identity(first) == identity(again)


def test_events_without_counts_are_counted_themselves() -> None:
    """A backend that has no counts gives findings by its events."""
    found = one(events=(event(**TCP, reason="NO_SOCKET"),) * 4)
    assert "4 packets were dropped" in found.summary


def test_thresholds_can_be_set() -> None:
    """A threshold that people set replaces the default, and only that one."""
    assert findings(tally(count=5, reason="NO_SOCKET"), thresholds={"dropped-no-socket": 6}) == []
    assert (
        one(tally(count=6, reason="NO_SOCKET"), thresholds={"dropped-no-socket": 6}).id
        == "packets-for-no-socket"
    )


def test_thresholds_of_metrics_and_events_are_told_apart() -> None:
    """One option sets both kinds, and each goes where it belongs."""
    assert split_thresholds({"resets": 5, "cpu-waits": 2}) == ({"resets": 5}, {"cpu-waits": 2})


@pytest.mark.parametrize(
    ("given", "words"), [({"dropped-by-rule": 1.0}, "dropped-by-rules"), ({"cpu-waits": -1.0}, "below 0")]
)
def test_a_threshold_that_cannot_be_is_refused(given: dict[str, float], words: str) -> None:
    """A name that is no threshold, and a number below 0, are usage errors that say what would be right."""
    with pytest.raises(UsageError) as refused:
        split_thresholds(given)
    assert words in f"{refused.value} {refused.value.hint}"


def test_the_worst_is_first() -> None:
    """Findings come by severity, then by how far they are over their thresholds."""
    found = findings(
        tally(count=5, reason="NO_SOCKET"),
        tally(count=50, reason="SOCKET_RCVBUFF"),
        tally(count=1, reason="NETFILTER_DROP"),
        tally(count=1, reason="DUP_FRAG", pod="web-1"),
    )
    assert [each.severity.word for each in found] == ["critical", "warning", "warning", "info"]
    assert found[1].id == "packets-dropped-socket-full"


def test_text_of_nodes_is_made_printable() -> None:
    """A hostile name does not leave the line of a finding."""
    bad = "x\x1b[2J\n" * 40
    happened = event(
        namespace=bad, pod=bad, protocol=bad, source=End(bad), destination=End(bad), reason="NO_SOCKET"
    )
    found = one(tally(namespace=bad, pod=bad, reason="NO_SOCKET", function=bad), events=(happened,))
    assert found.summary.isprintable()
    assert all(text.isprintable() for text in shown(found))
    assert str(found.where).isprintable()


def test_the_documentation_names_why_and_what_to_do() -> None:
    """A finding carries its catalogue's explanation and fix."""
    found = one(tally(reason="NO_SOCKET"))
    assert found.why == DOCS[found.id].why
    assert found.fix is not None
    assert found.fix.summary == DOCS[found.id].fix
    assert not found.fix.checked
