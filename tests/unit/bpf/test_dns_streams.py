"""DNS over TCP without a tap: messages put together from segments, in whatever pieces these come."""

from __future__ import annotations

import itertools
import struct
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from skoopctl.bpf.catalogue import PROBES
from tests.support.bpf_loader import loader

POD = 2
CLIENT, SERVER = b"\x0a\x00\x00\x02", b"\x0a\x09\x00\x35"
THERE, BACK = (CLIENT, 5000, SERVER, 53), (SERVER, 53, CLIENT, 5000)
ACK, FIN, SYN = 0x10, 0x11, 0x02
SECOND = 1_000_000_000
TCP = 6


def framed(number: int, flags: int = 0x0100, name: bytes = b"web", more: int = 0) -> bytes:
    """Return a message as TCP carries it, with bytes behind its question."""
    text = (
        struct.pack(">6H", number, flags, 1, 0, 0, 0)
        + bytes([len(name)])
        + name
        + b"\0\0\1\0\1"
        + bytes(more)
    )
    return struct.pack(">H", len(text)) + text


class Tap:
    """A probe that is handed segments in place of a socket."""

    def __init__(self, caught: int = 512) -> None:
        asked = {
            "name": "dns",
            "settings": {"slow_us": 100_000, "timeout_us": 5_000_000},
            "words": list(PROBES["dns"].words),
            "hooks": [["", ""]],
        }
        self.probe: Any = loader().DnsProbe(asked, SimpleNamespace(root=1))
        self.caught = caught
        self.at = {THERE: 1000, BACK: 0xFFFFFFF0}

    def begin(self) -> None:
        """Take the handshake."""
        for ends, number in self.at.items():
            self.sees(ends, b"", number - 1, SYN)

    def says(self, ends: tuple[bytes, int, bytes, int], data: bytes, flags: int = ACK) -> None:
        """Take the next segment of a direction."""
        self.sees(ends, data, self.at[ends], flags)
        self.at[ends] += len(data)

    def sees(self, ends: tuple[bytes, int, bytes, int], data: bytes, sequence: int, flags: int = ACK) -> None:
        """Take a segment, of which the tap has the first bytes."""
        segment = flags, sequence & 0xFFFFFFFF, data[: self.caught], len(data)
        self.probe.packet(POD, (ends, TCP, segment), 100 * SECOND, "eth0", ends == THERE, False)

    @property
    def counted(self) -> dict[int, int]:
        """Return what was counted, by kind."""
        return {kind: count for (_, _, kind), count in self.probe.totals.items()}


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """Cut bytes into segments."""
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[start:end] for start, end in itertools.pairwise(places)]


@given(
    st.lists(st.integers(0, 700), min_size=1, max_size=6),
    st.lists(st.integers(0, 5000), max_size=12),
    st.sampled_from([40, 100, 512, 4096]),
)
def test_messages_are_found_in_any_pieces(sizes: list[int], cuts: list[int], caught: int) -> None:
    """However messages are cut and however little is caught, each is found once, or told as not counted."""
    tap = Tap(caught)
    tap.begin()
    for number in range(len(sizes)):
        tap.says(THERE, framed(number))
    answers = b"".join(framed(number, 0x8180, more=size) for number, size in enumerate(sizes))
    for piece in pieces(answers, cuts):
        tap.says(BACK, piece)
    found = sum(tap.counted.values())
    assert set(tap.counted) <= {loader().DNS_ANSWER}
    assert found + tap.probe.uncounted + len(tap.probe.waiting) == len(sizes)
    if caught == 4096:
        assert found == len(sizes)


@given(st.lists(st.integers(0, 200), max_size=30), st.randoms(use_true_random=False))
def test_nothing_is_made_up(lengths: list[int], random: Any) -> None:
    """Segments of any bytes, in any order, count nothing that was not asked for, and raise nothing."""
    tap = Tap()
    for length in lengths:
        ends = random.choice([THERE, BACK])
        flags = random.choice([ACK, FIN, SYN, 0x04])
        tap.sees(ends, random.randbytes(length), random.getrandbits(32), flags)
    assert sum(tap.counted.values()) + len(tap.probe.waiting) <= sum(lengths) // loader().DNS_HEADER


def test_what_is_sent_again_is_counted_once() -> None:
    """A segment that is seen twice, or overlaps what was seen, brings only what is new."""
    tap = Tap()
    tap.begin()
    for _ in range(2):
        tap.sees(THERE, framed(1), 1000)
    answer = framed(1, 0x8183)
    tap.sees(BACK, answer[:10], 0xFFFFFFF0)
    tap.sees(BACK, answer, 0xFFFFFFF0)
    tap.sees(BACK, answer, 0xFFFFFFF0)
    assert tap.counted == {loader().DNS_NXDOMAIN: 1}
    (row,) = tap.probe.pending
    assert (row["protocol"], row["details"]["tries"], row["details"]["name"]) == (TCP, 1, "web")


def test_answers_behind_a_gap_are_not_guessed() -> None:
    """When a segment was not seen, queries of that connection are told as not counted, not as without an answer."""
    tap = Tap()
    tap.begin()
    tap.says(THERE, framed(1) + framed(2))
    tap.at[BACK] += 700
    tap.says(BACK, b"the middle of something")
    tap.at[BACK] += 300
    tap.says(BACK, framed(2, 0x8180))
    tap.probe.pass_time(0)
    assert (tap.counted, tap.probe.waiting, tap.probe.uncounted) == ({loader().DNS_ANSWER: 1}, {}, 1)


def test_a_server_that_says_nothing_gave_no_answer() -> None:
    """On a connection of before, too: nothing came back that could have been one."""
    tap = Tap()
    tap.says(THERE, framed(1))
    tap.probe.pass_time(0)
    assert (tap.counted, tap.probe.uncounted) == ({loader().DNS_TIMEOUT: 1}, 0)


def test_segments_that_cannot_be_placed_are_remembered_once() -> None:
    """A connection that was joined in the middle of something long costs one entry, however much comes."""
    tap = Tap()
    for _ in range(1000):
        tap.says(BACK, b"the middle of something")
    assert (len(tap.probe.tcp.lost), tap.probe.tcp.streams) == (1, {})
    tap.probe.leave(POD)
    assert tap.probe.tcp.lost == {}


def test_a_connection_of_before_is_followed_from_a_whole_message_on() -> None:
    """Without a beginning, a segment that is one message tells where messages begin."""
    tap = Tap()
    tap.says(THERE, framed(7))
    tap.says(BACK, framed(7, 0x8180))
    assert tap.counted == {loader().DNS_ANSWER: 1}


def test_a_length_of_its_own_is_a_part_of_the_message() -> None:
    """Programs that write the length and then the message are followed as well."""
    tap = Tap()
    tap.begin()
    for ends, data in ((THERE, framed(3)), (BACK, framed(3, 0x8182))):
        tap.says(ends, data[:2])
        tap.says(ends, data[2:])
    assert tap.counted == {loader().DNS_ERROR: 1}


def test_connections_that_are_followed_are_bounded() -> None:
    """More connections than are followed push out those seen least lately; what ends is forgotten."""
    node, tap = loader(), Tap()
    for port in range(node.MOST_DNS_STREAMS + 5):
        tap.sees((CLIENT, port, SERVER, 53), b"", 1, SYN)
    assert len(tap.probe.tcp.streams) == node.MOST_DNS_STREAMS
    tap.sees((CLIENT, node.MOST_DNS_STREAMS, SERVER, 53), b"", 2, FIN)
    assert len(tap.probe.tcp.streams) == node.MOST_DNS_STREAMS - 1
    tap.probe.leave(POD)
    assert tap.probe.tcp.streams == {}
