"""Lines of events: what people read at night."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skoopctl.bpf.catalogue import KINDS
from skoopctl.events.event import End, EndKind, Event, InnerPacket
from skoopctl.events.words import MAX_LINE, duration, line_of
from tests.unit.events.made import API, WEB, event

TCP: dict[str, Any] = {"protocol": "TCP", "source": WEB, "destination": API}
A = "shop/web-0 (10.0.0.1:4242)"
B = "svc shop/api (10.0.0.2:80)"
MS = 1_000_000


@pytest.mark.parametrize(
    ("happened", "line"),
    [
        (
            event(**TCP, reason="NETFILTER_DROP", hook="INPUT", tcp_flags="SYN", device="cni0"),
            f"packet dropped: NETFILTER_DROP in INPUT: TCP SYN {A} -> {B}, on cni0",
        ),
        (
            event(**TCP, reason="NO_SOCKET", function="tcp_v4_rcv", ifindex=7),
            f"packet dropped: NO_SOCKET in tcp_v4_rcv(): TCP {A} -> {B}, on device 7",
        ),
        (
            event(function="arp_rcv", ethertype=0x0806),
            "packet dropped: no reason told, in arp_rcv(): ethertype 0x0806",
        ),
        (
            event(
                protocol="UDP",
                source=End("fd00::1", 53),
                destination=End("fd00::2"),
                fragment=True,
                reason="PKT_TOO_BIG",
            ),
            "packet dropped: PKT_TOO_BIG: UDP fragment [fd00::1]:53 -> fd00::2",
        ),
        (
            event(
                protocol="UDP",
                source=End("10.0.1.1", 45678, EndKind.NODE, name="node2"),
                destination=End("10.0.1.2", 8472, EndKind.NODE, name="node1"),
                inner=InnerPacket("VXLAN", 1, "TCP", WEB, API, "SYN"),
                reason="NETFILTER_DROP",
                hook="INPUT",
                device="eth0",
            ),
            "packet dropped: NETFILTER_DROP in INPUT: UDP node2 (10.0.1.1:45678) -> node1 (10.0.1.2:8472), "
            f"carrying TCP SYN {A} -> {B} in VXLAN 1, on eth0",
        ),
        (
            event(
                protocol="IPIP",
                source=End("10.0.1.1"),
                destination=End("10.0.1.2"),
                inner=InnerPacket("IPIP", None, "UDP", End("10.9.0.1"), End("10.9.0.2"), fragment=True),
                reason="NO_SOCKET",
            ),
            "packet dropped: NO_SOCKET: IPIP 10.0.1.1 -> 10.0.1.2, "
            "carrying UDP fragment 10.9.0.1 -> 10.9.0.2 in IPIP",
        ),
        (
            event("reset-no-socket", **TCP, reason="NO_SOCKET"),
            f"reset sent, for a segment without a socket: NO_SOCKET: TCP {A} -> {B}",
        ),
        (
            event("reset-process", **TCP, tcp_state="SYN_RECV", undecided=True),
            f"reset sent, for a segment that the socket cannot take: TCP {A} -> {B}, in SYN_RECV, "
            "or another kind: this kernel does not tell",
        ),
        (
            event("retransmit", **TCP, tcp_state="ESTABLISHED", error="ENOBUFS"),
            f"segment sent again: TCP {A} -> {B}, in ESTABLISHED, failed with ENOBUFS",
        ),
        (
            event("softirq-wait-slow", reason="NET_RX", latency_ns=12_340_000, cpu=0),
            "softirq NET_RX waited 12.3 ms for its turn on CPU 0",
        ),
        (
            event("transmit-qdisc-slow", **TCP, latency_ns=250 * MS, device="eth0"),
            f"packet waited 250 ms in the queue of eth0: TCP {A} -> {B}",
        ),
        (
            event("connect-slow", **TCP, latency_ns=1_020 * MS, task="curl", pid=42),
            f"connection made after 1.02 s: TCP {A} -> {B}, by curl (pid 42)",
        ),
        (
            event("connect-failed", **TCP, latency_ns=1_200_000, error="ECONNREFUSED"),
            f"connection failed with ECONNREFUSED after 1.2 ms: TCP {A} -> {B}",
        ),
        (
            event("runqueue-slow", latency_ns=61 * MS, cpu=2, task="nginx", pid=9),
            "nginx (pid 9) waited 61 ms for CPU 2",
        ),
        (
            event("block-slow", reason="READ", latency_ns=32 * MS, details={"disk": "sda"}),
            "READ of disk sda took 32 ms",
        ),
        (
            event(
                "new-timeout",
                protocol="UDP",
                source=WEB,
                destination=API,
                details={"name": "a.b", "tries": 3},
            ),
            f"new-timeout: UDP {A} -> {B}, name a.b, tries 3",
        ),
        (event("new-slow", latency_ns=500 * MS, reason="X"), "new-slow: X: 500 ms"),
    ],
    ids=lambda value: value.kind if isinstance(value, Event) else "",
)
def test_an_event_is_one_line_in_plain_words(happened: Event, line: str) -> None:
    """An event is told in one line: what, why, between whom, where."""
    assert line_of(happened) == line


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS.values()])
def test_a_kind_of_the_catalogue_has_words(kind: str) -> None:
    """Each kind is told in words of its own, not by its bare name, even with nothing else known."""
    line = line_of(event(kind))
    assert line
    assert not line.startswith(kind)
    assert "{" not in line


HOSTILE = st.text(st.characters(), max_size=400)


@given(HOSTILE, st.sampled_from([*(kind.name for kind in KINDS.values()), "new-kind"]))
def test_text_of_nodes_stays_on_the_line(text: str, kind: str) -> None:
    """Whatever a node says, the line has no control characters, and an end."""
    end = End(text, 1, EndKind.POD, text, text, text)
    hostile = event(
        kind,
        reason=text,
        function=text,
        hook=text,
        device=text,
        protocol=text,
        source=end,
        destination=end,
        inner=InnerPacket(text, 1, text, end, end, text),
        tcp_flags=text,
        tcp_state=text,
        error=text,
        task=text,
        details={text: text, "disk": text},
    )
    line = line_of(hostile)
    assert line.isprintable()
    assert len(line) <= MAX_LINE


@pytest.mark.parametrize(
    ("nanoseconds", "words"),
    [
        (0, "0 ns"),
        (850, "850 ns"),
        (1_500, "1.5 µs"),
        (10**6, "1 ms"),
        (999_600_000, "1,000 ms"),
        (1_020_000_000, "1.02 s"),
        (125 * 10**9, "125 s"),
    ],
)
def test_times_have_the_unit_that_people_take(nanoseconds: int, words: str) -> None:
    """A time has three digits and its unit."""
    assert duration(nanoseconds) == words
