"""Rounds: what the node's writer says in pieces of any size, and what a hostile or damaged stream does."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skoopctl.errors import EvidenceError
from skoopctl.evidence.frames import FLAG_ZLIB, MAGIC, FrameKind
from skoopctl.evidence.item import ItemStatus
from skoopctl.evidence.request import SAMPLE_ITEMS
from skoopctl.evidence.rounds import DIFFERENCE, LINE, RECORD, Round, RoundReader
from skoopctl.transport.base import MOST_NOISE
from tests.support.answers import frame
from tests.support.round_writer import SAMPLER, RoundWriter, Told

ITEMS = ("places", "snmp", "netstat", "qdisc")
META = {"number": 1, "wall_ns": 1, "mono_ns": 1, "skipped": 0, "took_ms": 1.0, "cpu_ms": 1.0, "rss_kib": 1}
HELLO = frame(FrameKind.HELLO, {"items": ITEMS})

lines = st.lists(st.sampled_from([b"Tcp: 1 2 3", b"Tcp: 1 2 4", b"", b"a", b"x" * 60, b"\xff\0"]), max_size=6)
payloads = st.one_of(lines.map(b"\n".join), st.binary(max_size=200))
told = st.dictionaries(
    st.tuples(st.integers(0, 3), st.sampled_from(ITEMS)),
    st.tuples(st.sampled_from([str(status) for status in ItemStatus]), st.text(max_size=20), payloads),
    max_size=8,
)
conversations = st.lists(st.tuples(told, st.sets(st.integers(1, 3))), min_size=1, max_size=5)


def written(conversation: list[tuple[Told, set[int]]]) -> bytes:
    """Return a whole conversation as the node's own writer puts it."""
    writer = RoundWriter(ITEMS)
    parts = [writer.hello()]
    parts += [writer.round(told, sorted(gone)) for told, gone in conversation]
    return b"".join([*parts, writer.end()])


def read(data: bytes, size: int = 1 << 30) -> tuple[list[Round], RoundReader]:
    """Return the rounds that a reader makes of pieces of one size."""
    reader = RoundReader("h")
    rounds = []
    for start in range(0, len(data), size):
        rounds += reader.feed(data[start : start + size])
    return rounds, reader


def record(inode: int, code: int, payload: bytes, status: int = 0, detail: bytes = b"") -> bytes:
    """Return one record of a round's body."""
    return RECORD.pack(inode, code, status, len(detail), len(payload)) + detail + payload


def one_round(body: bytes, **changed: Any) -> bytes:
    """Return a round made by hand."""
    return frame(FrameKind.ROUND, META | changed, body)


@settings(max_examples=80)
@given(conversations)
def test_what_is_told_is_what_is_read(conversation: list[tuple[Told, set[int]]]) -> None:
    """Putting the changes of all rounds together gives what the node had read, and each change is one."""
    rounds, reader = read(written(conversation))
    assert reader.ended
    assert len(rounds) == len(conversation)
    state: dict[tuple[int, str], tuple[str, str, bytes]] = {}
    want: dict[tuple[int, str], tuple[str, str, bytes]] = {}
    for number, (found, (said, gone)) in enumerate(zip(rounds, conversation, strict=True), 1):
        assert (found.number, found.gone) == (number, frozenset(gone))
        for known in (state, want):
            for key in [key for key in known if key[0] in gone]:
                del known[key]
        want |= {key: (status, _shown(detail), data) for key, (status, detail, data) in said.items()}
        for change in found.changes:
            now = (str(change.status), change.detail, change.payload)
            state[change.netns, change.item] = now
        assert state == want


def _shown(detail: str) -> str:
    return "".join(c if c.isprintable() else " " if c in "\t\r\n" else "�" for c in detail)


@settings(max_examples=40)
@given(conversations, st.integers(1, 400))
def test_pieces_of_any_size_give_the_same_rounds(
    conversation: list[tuple[Told, set[int]]], size: int
) -> None:
    """However the connection cuts the stream, the rounds are the same."""
    data = written(conversation)
    assert read(data, size)[0] == read(data)[0]


def test_every_damaged_byte_is_an_error_or_a_silence() -> None:
    """One damaged byte gives the rounds before it and then one error or nothing more, never another payload."""
    base: dict[tuple[int, str], tuple[str, str, bytes]] = {
        (1, "snmp"): ("ok", "", b"Tcp: A B C\nTcp: 1 2 3\nUdp: 1" + b"0 " * 40),
    }
    more = {(1, "snmp"): ("ok", "", b"Tcp: A B C\nTcp: 1 2 4\nUdp: 1" + b"0 " * 40)}
    data = written([(base, set()), (more, set()), (base, {1})])
    whole = read(data)[0]
    assert len(whole) == 3
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 0x20
        reader = RoundReader("h")
        rounds: list[Round] = []
        try:
            for start in range(0, len(damaged), 64):
                rounds += reader.feed(bytes(damaged[start : start + 64]))
        except EvidenceError as error:
            assert str(error).startswith("h: ")  # noqa: PT017 - it may as well not come
        assert rounds == whole[: len(rounds)], position
        assert not reader.ended, position


@settings(max_examples=60)
@given(st.binary(max_size=400), st.booleans())
def test_no_bytes_make_another_error(data: bytes, magic: bool) -> None:
    """Whatever bytes come, the reader's only exception is an EvidenceError."""
    try:
        read(HELLO + (MAGIC if magic else b"") + data, 50)
    except EvidenceError:
        return


@settings(max_examples=100)
@given(st.binary(max_size=120))
def test_no_body_makes_another_error(body: bytes) -> None:
    """Whatever stands in a body whose checksum is right, the reader's only exception is an EvidenceError."""
    try:
        rounds, _ = read(HELLO + one_round(body))
    except EvidenceError:
        return
    assert len(rounds) == 1


@pytest.mark.parametrize(
    ("stream", "words"),
    [
        (one_round(b""), "hello"),
        (HELLO + HELLO, "kind 1"),
        (HELLO + frame(FrameKind.ITEM, {}), "kind 2"),
        (frame(FrameKind.HELLO, {"items": []}), "items"),
        (frame(FrameKind.HELLO, {"items": ["snmp", "snmp"]}), "items"),
        (frame(FrameKind.HELLO, {"items": ["shadow"]}), "items"),
        (frame(FrameKind.HELLO, {"items": [["snmp"]]}), "items"),
        (HELLO + one_round(b"", number=2), "round 2 after round 0"),
        (HELLO + one_round(b"") + one_round(b"", mono_ns=2), "round 1 after round 1"),
        (HELLO + one_round(b"") + one_round(b"", number=2), "clock"),
        (HELLO + one_round(b"", took_ms="x"), "took_ms"),
        (HELLO + one_round(b"", cpu_ms=-1), "cpu_ms"),
        (HELLO + one_round(b"", wall_ns=1 << 64), "wall_ns"),
        (HELLO + one_round(b"", skipped=True), "skipped"),
        (HELLO + one_round(b"", gone=[-1]), "ended"),
        (HELLO + one_round(b"", gone={"1": 2}), "ended"),
        (HELLO + one_round(record(1, 1, b"") * 2), "snmp of namespace 1 came twice"),
        (HELLO + one_round(record(1, 1, b"")[:-1]), "head"),
        (HELLO + one_round(record(1, 1, b"abc")[:-1]), "record"),
        (HELLO + one_round(record(1, len(ITEMS), b"")), "record"),
        (HELLO + one_round(record(1, 1, b"", status=6)), "record"),
        (HELLO + one_round(record(1, 1, b"", status=DIFFERENCE)), "never came"),
        (HELLO + frame(FrameKind.END, {"rounds": 1}), "end frame"),
        (HELLO + b"noise in between", "foreign"),
        (HELLO + frame(FrameKind.ROUND, META, b"x", flags=FLAG_ZLIB), "unpack"),
        (HELLO + frame(FrameKind.ROUND, META, b"", raw=1 << 31), "larger"),
        (HELLO + frame(FrameKind.ROUND, b"[]", b""), "description"),
        (HELLO + frame(FrameKind.ROUND, META, b"", schema=2), "schema"),
    ],
)
def test_what_is_no_round_is_refused(stream: bytes, words: str) -> None:
    """What the node program never writes ends the conversation with one line that names the host and says what."""
    reader = RoundReader("node7")
    with pytest.raises(EvidenceError, match=words) as caught:
        _fed(reader, stream)
    assert str(caught.value).startswith("node7: ")
    assert "\n" not in str(caught.value)
    with pytest.raises(EvidenceError, match=words):
        reader.feed(HELLO)


def _fed(reader: RoundReader, stream: bytes) -> None:
    """Feed a stream, and then nothing: after rounds that are returned, the error comes with the next piece."""
    reader.feed(stream)
    reader.feed(b"")


@pytest.mark.parametrize(
    "difference",
    [LINE.pack(9, 0) + b"x\n", LINE.pack(0, 99) + b"x\n", LINE.pack(0, 0) + b"x", b"\0"],
)
def test_a_difference_that_does_not_fit_is_refused(difference: bytes) -> None:
    """A line that is not there, a beginning longer than the line and a cut line are errors."""
    second = one_round(record(1, 1, difference, status=DIFFERENCE), number=2, mono_ns=2)
    reader = RoundReader("h")
    reader.feed(HELLO + one_round(record(1, 1, b"ab\ncd")))
    with pytest.raises(EvidenceError, match="difference"):
        reader.feed(second)


def test_rounds_before_a_break_are_returned() -> None:
    """Rounds that came whole before damage in the same piece are kept; the error comes with the next piece."""
    reader = RoundReader("h")
    assert [each.number for each in reader.feed(HELLO + one_round(b"") + b"damage")] == [1]
    with pytest.raises(EvidenceError, match="foreign"):
        reader.feed(b"")


def test_noise_before_the_first_frame_is_skipped_within_limits() -> None:
    """What a login shell prints is skipped, up to a limit, also when the frame's beginning is cut."""
    reader = RoundReader("h")
    reader.feed(b"Welcome!\n" * 100 + HELLO[:3])
    reader.feed(HELLO[3:])
    assert [each.number for each in reader.feed(one_round(b""))] == [1]
    with pytest.raises(EvidenceError, match="no frame within"):
        RoundReader("h").feed(b"x" * (MOST_NOISE + 100))


def test_what_comes_after_the_end_is_not_kept() -> None:
    """After the end frame the reader takes nothing more and holds nothing."""
    rounds, reader = read(HELLO + one_round(b"") + frame(FrameKind.END, {"rounds": 1}) + b"bye")
    assert len(rounds) == 1
    assert reader.ended
    assert reader.feed(b"x" * 1000) == []
    assert not reader._arriving.waiting


def test_what_is_kept_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that tells of ever more is cut off before it fills the memory."""
    monkeypatch.setattr("skoopctl.evidence.rounds.MOST_KEPT_BYTES", 1000)
    reader = RoundReader("h")
    reader.feed(HELLO + one_round(record(1, 1, b"x" * 900)))
    reader.feed(one_round(record(2, 1, b"x" * 900), number=2, mono_ns=2, gone=[1]))
    with pytest.raises(EvidenceError, match="more than 1000 bytes"):
        reader.feed(one_round(record(3, 1, b"x" * 900), number=3, mono_ns=3))


def test_what_is_as_it_was_is_not_sent_again() -> None:
    """An item with the same status, detail and payload is in the first round only."""
    writer = RoundWriter(ITEMS)
    same: Told = {(1, "snmp"): ("ok", "", b"x"), (1, "qdisc"): ("absent", "no tables", b"")}
    rounds, _ = read(writer.hello() + writer.round(same) + writer.round(same))
    assert [len(each.changes) for each in rounds] == [2, 0]


def test_a_namespace_that_came_again_is_told_whole() -> None:
    """After it was gone, everything of an inode is sent as if for the first time, in the same round too."""
    writer = RoundWriter(ITEMS)
    same: Told = {(1, "snmp"): ("ok", "", b"x")}
    rounds, _ = read(writer.hello() + writer.round(same) + writer.round(same, gone=[1]))
    assert rounds[1].gone == {1}
    assert [change.payload for change in rounds[1].changes] == [b"x"]


def test_a_few_lines_that_differ_cost_a_few_bytes() -> None:
    """A file of which one number has changed is sent as the end of its line."""
    text = b"".join(b"Name%d: " % number + b"0 " * 100 + b"%d\n" % number for number in range(20))
    writer = RoundWriter(ITEMS)
    writer.hello()
    writer.round({(1, "snmp"): ("ok", "", text)})
    second = writer.round({(1, "snmp"): ("ok", "", text.replace(b" 7\n", b" 8\n"))})
    assert len(second) < 230


def test_what_does_not_fit_into_a_round_comes_with_later_ones() -> None:
    """When a round is full, an item says so instead of being sent, and is sent when there is room again."""
    writer = RoundWriter(ITEMS, 100)
    both: Told = {(1, "snmp"): ("ok", "", b"x" * 80), (2, "snmp"): ("ok", "", b"y" * 80)}
    rounds, _ = read(writer.hello() + writer.round(both) + writer.round(both))
    first, second = ({change.netns: change for change in each.changes} for each in rounds)
    assert (first[1].status, first[2].status) == (ItemStatus.OK, ItemStatus.TRUNCATED)
    assert "used up" in first[2].detail
    assert second.keys() == {2}
    assert second[2].payload == b"y" * 80


def test_writer_and_reader_agree_on_codes() -> None:
    """The structures, the order of statuses and the mark of differences are the same on both sides."""
    assert SAMPLER["RECORD"].format == RECORD.format
    assert SAMPLER["LINE"].format == LINE.format
    assert SAMPLER["STATUSES"] == tuple(ItemStatus)
    assert SAMPLER["DIFFERENCE"] == DIFFERENCE
    assert SAMPLER["ROUND"] == FrameKind.ROUND
    assert struct.calcsize(RECORD.format) == 16


def test_every_item_has_its_reader() -> None:
    """Each item that may be asked for is read by one function of the program, and no other is."""
    assert {*SAMPLER["HOST_READERS"], *SAMPLER["NETNS_READERS"]} == set(SAMPLE_ITEMS)
