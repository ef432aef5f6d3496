"""The DNS probe without a tap: what it makes of packets, names, and queries that are seen more than once."""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skoopctl.bpf.catalogue import PROBES
from tests.support.bpf_loader import loader

HOST, POD = 1, 2
TCP, UDP = 6, 17
POD_END, NODE_END, SERVER = b"\x0a\x00\x00\x02", b"\x0a\x00\x00\x01", b"\x0a\x09\x00\x35"
SECOND = 1_000_000_000
ASKED = {
    "name": "dns",
    "settings": {"slow_us": 100_000, "timeout_us": 5_000_000},
    "words": list(PROBES["dns"].words),
    "hooks": [["", ""]],
}


def message(number: int = 7, flags: int = 0x0100, name: bytes = b"web.example", kind: int = 1) -> bytes:
    """Return a DNS message with one question."""
    labels = b"".join(bytes([len(label)]) + label for label in name.split(b"."))
    return struct.pack(">6H", number, flags, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", kind, 1)


class Taps:
    """A probe that is handed packets in place of sockets."""

    def __init__(self) -> None:
        self.probe: Any = loader().DnsProbe(ASKED, SimpleNamespace(root=HOST))
        self.now = 100 * SECOND

    def sees(self, inode: int, ends: tuple[bytes, bytes], said: bytes, device: str, *, leaves: bool) -> None:
        """Take a packet from port 5000 to 53, or the other way round for an answer."""
        source, destination = ends
        answers = said[2] & 0x80
        ports = (53, 5000) if answers else (5000, 53)
        packet = (source, ports[0], destination, ports[1]), UDP, said
        self.probe.packet(inode, packet, self.now, device, leaves, device == "lo")

    def counted(self) -> dict[tuple[int, int, int], int]:
        """Return what was counted, by namespace, reason and kind."""
        return dict(self.probe.totals)


@pytest.fixture
def taps() -> Taps:
    """Return a probe without sockets."""
    return Taps()


def test_a_query_seen_on_two_devices_is_one_try(taps: Taps) -> None:
    """The same query on a bond and on its member is sent once; seen on the bond again, it is sent twice."""
    for device in ("bond0", "eth0", "bond0", "eth0"):
        taps.sees(POD, (POD_END, SERVER), message(), device, leaves=True)
    taps.sees(POD, (SERVER, POD_END), message(flags=0x8182), "eth0", leaves=False)
    taps.sees(POD, (SERVER, POD_END), message(flags=0x8182), "bond0", leaves=False)
    (row,) = taps.probe.pending
    assert row["details"]["tries"] == 2
    assert taps.counted() == {(POD, 2, loader().DNS_ERROR): 1}


@pytest.mark.parametrize("source", [POD_END, NODE_END])
def test_what_the_host_forwards_is_not_its_own(taps: Taps, source: bytes) -> None:
    """A query that came in on a veth and the bridge leaves as the pod's, masqueraded or not."""
    for device in ("veth1", "cni0"):
        taps.sees(HOST, (POD_END, SERVER), message(), device, leaves=False)
    taps.sees(HOST, (source, SERVER), message(), "eth0", leaves=True)
    taps.sees(HOST, (SERVER, source), message(flags=0x8180), "eth0", leaves=False)
    assert (taps.probe.waiting, taps.counted()) == ({}, {})


def test_the_hosts_own_query_is_counted(taps: Taps) -> None:
    """A query that leaves the host and did not come in is its own, even with the id of a pod's of long ago."""
    taps.sees(HOST, (POD_END, SERVER), message(), "cni0", leaves=False)
    taps.now += 2 * SECOND
    taps.sees(HOST, (NODE_END, SERVER), message(), "eth0", leaves=True)
    taps.sees(HOST, (SERVER, NODE_END), message(flags=0x8180), "eth0", leaves=False)
    assert taps.counted() == {(HOST, 0, loader().DNS_ANSWER): 1}


def test_a_query_on_loopback_is_the_namespaces_own(taps: Taps) -> None:
    """A local resolver's queries and answers, both of which leave and come on one device, are matched."""
    taps.sees(HOST, (NODE_END, NODE_END), message(), "lo", leaves=True)
    taps.sees(HOST, (NODE_END, NODE_END), message(flags=0x8183), "lo", leaves=True)
    assert taps.counted() == {(HOST, 3, loader().DNS_NXDOMAIN): 1}


def test_queries_that_come_in_are_not_the_servers(taps: Taps) -> None:
    """A namespace that answers queries of others has none of its own."""
    taps.sees(POD, (NODE_END, POD_END), message(), "eth0", leaves=False)
    taps.sees(POD, (POD_END, NODE_END), message(flags=0x8180), "eth0", leaves=True)
    assert (taps.probe.waiting, taps.counted()) == ({}, {})


@pytest.mark.parametrize("other", [{"number": 8}, {"flags": 0x0180}])
def test_answers_to_something_else_answer_nothing(taps: Taps, other: dict[str, int]) -> None:
    """Another id, or a message that is a query itself, leaves the query waiting."""
    taps.sees(POD, (POD_END, SERVER), message(), "eth0", leaves=True)
    taps.sees(POD, (SERVER, POD_END), message(**{"flags": 0x8180, **other}), "eth0", leaves=False)
    assert (len(taps.probe.waiting), taps.counted()) == (1, {})


def test_queries_that_wait_are_bounded(taps: Taps) -> None:
    """More queries than are kept push the oldest out, and are told as not counted."""
    node = loader()
    for number in range(node.MOST_QUERIES + 5):
        ends = (struct.pack(">I", number), SERVER)
        taps.sees(POD, ends, message(), "eth0", leaves=True)
    assert (len(taps.probe.waiting), taps.probe.uncounted) == (node.MOST_QUERIES, 5)


def test_events_are_limited_and_counts_are_not(taps: Taps) -> None:
    """More events at once than may be sent are counted all the same, and told as not sent."""
    node = loader()
    for number in range(node.ROWS_PER_S * 3):
        ends = (struct.pack(">I", number), SERVER)
        taps.sees(POD, ends, message(), "eth0", leaves=True)
        taps.sees(POD, ends[::-1], message(flags=0x8183), "eth0", leaves=False)
    assert sum(taps.counted().values()) == node.ROWS_PER_S * 3
    assert len(taps.probe.pending) + taps.probe.unsent == node.ROWS_PER_S * 3
    assert taps.probe.unsent > 0


def test_a_namespace_that_has_ended_is_told_once_more(taps: Taps) -> None:
    """Counts of a namespace that is left are in the next counts, and then no more; those of others stay."""
    for inode in (POD, POD + 1):
        taps.sees(inode, (POD_END, SERVER), message(), "eth0", leaves=True)
        taps.sees(inode, (SERVER, POD_END), message(flags=0x8180), "eth0", leaves=False)
    taps.sees(POD, (POD_END, SERVER), message(9), "eth0", leaves=True)
    taps.probe.leave(POD)
    told = [{row[1] for row in taps.probe.counts()["totals"]} for _ in range(2)]
    assert told == [{POD, POD + 1}, {POD + 1}]
    assert len(taps.probe.flows) == 1
    assert taps.probe.waiting == {}


def test_flows_that_are_kept_are_those_seen_last(taps: Taps) -> None:
    """Of more pairs of ends than are kept, those stay that were seen last, with their counts."""
    node = loader()
    for number in (*range(node.MOST_FLOWS), 0, node.MOST_FLOWS):
        taps.probe.count_flow(struct.pack("=I", number))
    assert len(taps.probe.flows) == node.MOST_FLOWS
    assert taps.probe.flows[struct.pack("=I", 0)] == 2
    assert struct.pack("=I", 1) not in taps.probe.flows


def test_no_module_is_loaded_by_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where this kernel has no packet sockets yet, none is opened, and the probe says what is missing."""
    node = loader()
    names = node.DnsProbe.open.__globals__
    monkeypatch.setitem(names, "kind_of", lambda _: 0)
    monkeypatch.setitem(names, "sockets", None)
    with pytest.raises(node.Outcome) as raised:
        node.DnsProbe(ASKED, SimpleNamespace(root=HOST))
    assert "af_packet is not loaded" in raised.value.detail


@given(st.binary(max_size=600))
def test_any_bytes_are_a_packet_or_none(data: bytes) -> None:
    """A packet that is cut anywhere, or is something else, raises what the reader expects."""
    node = loader()
    try:
        ends, protocol, content = node.dns_packet(data)
    except (IndexError, struct.error):
        return
    assert len(ends) == 4
    if protocol != UDP:
        _, _, caught, length = content
        assert 0 <= len(caught) <= length <= 1 << 16


@given(st.binary(max_size=600))
def test_any_question_is_short_and_printable(rest: bytes) -> None:
    """Whatever a question is made of, its name is printable ASCII of bounded length, and its type a number."""
    name, kind = loader().question(struct.pack(">6H", 1, 0, 1, 0, 0, 0) + rest)
    assert name.isascii()
    assert name == "" or name.isprintable()
    assert len(name) <= 4 * (255 + 64)
    assert 0 <= kind < 1 << 16


def test_names_are_told_as_people_write_them() -> None:
    """Labels are joined by dots, the root is a dot, and bytes that could deceive are numbers."""
    node = loader()
    assert node.question(message(name=b"Web-1.example", kind=28)) == ("Web-1.example", 28)
    assert node.question(struct.pack(">6H", 1, 0, 1, 0, 0, 0) + b"\0\0\1\0\1") == (".", 1)
    labels = b"\x04a.\\\x1b\0"
    assert node.question(struct.pack(">6H", 1, 0, 1, 0, 0, 0) + labels + b"\0\1\0\1") == (
        "a\\046\\092\\027",
        1,
    )
    assert node.question(struct.pack(">6H", 1, 0, 1, 0, 0, 0) + b"\xc0\x0c\0\1\0\1") == ("", 0)


@pytest.mark.parametrize(
    ("latency_ns", "slot"), [(0, 0), (511, 0), (512, 1), (1023, 1), (1024, 2), (1 << 62, 31)]
)
def test_slots_are_those_of_the_histograms(latency_ns: int, slot: int) -> None:
    """A time falls into the slot whose bound it is below, as in the histograms of eBPF."""
    assert loader().slot_of(latency_ns) == slot
