"""The dump of conntrack's table (recorded from a kernel), damaged and whole."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from skoopctl.kernel.conntrack import connection_table
from skoopctl.kernel.netlink import decode_conntrack
from tests.support.as_json import expect

CASE = Path(__file__).parent / "cases" / "netlink" / "conntrack.bin"
RAW = CASE.read_bytes()


def test_case() -> None:
    """A dump of TCP, UDP, ICMP and IPv6 entries, with NAT, zones and marks, gives the entries beside it."""
    expect(CASE, decode_conntrack(RAW))


def test_entries_are_written_as_conntrack_does() -> None:
    """The text of an entry is the line that ``conntrack -L`` prints."""
    texts = {entry.text for entry in decode_conntrack(RAW).entries}
    assert (
        "udp 17 300 src=10.1.0.2 dst=10.96.0.10 sport=40001 dport=80 [UNREPLIED] "
        "src=10.2.0.99 dst=10.1.0.2 sport=80 dport=40001 mark=7 zone=9"
    ) in {text.replace(" 299 ", " 300 ").replace(" 298 ", " 300 ") for text in texts}


def test_an_entry_in_two_dumps_counts_once() -> None:
    """Two filtered dumps may both hold an entry."""
    assert decode_conntrack(RAW + RAW) == decode_conntrack(RAW)


def test_entries_are_found_by_their_addresses() -> None:
    """The index gives the entries of a protocol from one address to another, and no others."""
    entries = decode_conntrack(RAW).entries
    table = connection_table(entries)
    for entry in entries:
        way = entry.original
        same = table.between(entry.protocol, int(way.source), int(way.destination))
        assert entry in same
        assert {(e.protocol, e.original.source, e.original.destination) for e in same} == {
            (entry.protocol, way.source, way.destination)
        }
    assert table.between(6, 1, 2) == ()


@given(st.integers(0, len(RAW)))
def test_a_cut_dump_says_so(size: int) -> None:
    """A cut dump keeps whole entries and has a problem."""
    found = decode_conntrack(RAW[:size])
    assert bool(found.problem) == (size < len(RAW))
    assert set(found.entries) <= set(decode_conntrack(RAW).entries)


@given(st.integers(0, len(RAW) - 1), st.binary(min_size=1, max_size=8))
def test_a_damaged_dump_is_survived(at: int, noise: bytes) -> None:
    """No damage makes the decoder raise, or makes a full table look empty."""
    found = decode_conntrack(RAW[:at] + noise + RAW[at + len(noise) :])
    assert found.problem or found.entries
