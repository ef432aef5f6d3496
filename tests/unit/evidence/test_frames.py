"""Frames: the node's writer and the workstation's reader, and what a hostile or cut answer does."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skoopctl.evidence.frames import (
    FLAG_ZLIB,
    HEADER,
    MAGIC,
    MAX_META_BYTES,
    SCHEMA,
    FrameKind,
    decode_answer,
)
from skoopctl.evidence.item import ItemStatus
from tests.support.answers import frame

WRITER: dict[str, Any] = {}
exec((Path(__file__).parents[3] / "remote" / "frames.py").read_text(), WRITER)  # noqa: S102 - as the node does

Items = dict[tuple[int, str], tuple[str, bytes, str]]
names = st.from_regex(r"[a-z][a-z0-9_-]{0,20}", fullmatch=True)
items = st.dictionaries(
    st.tuples(st.integers(0, 2**64 - 1), names),
    st.tuples(
        st.sampled_from([str(status) for status in ItemStatus]),
        st.binary(max_size=3000),
        st.text(max_size=50),
    ),
    max_size=6,
)


def written(content: Items, total: int = 1 << 30) -> bytes:
    """Return the answer that the node program's own writer makes of some items."""
    frames = WRITER["Frames"](-1, total)  # small enough never to be flushed
    frames.send(FrameKind.HELLO, b"{}")
    for (netns, name), (status, data, detail) in content.items():
        payload = WRITER["Payload"](1 << 20)
        payload.add(data)
        frames.item(netns, name, status, payload, detail, 1.25)
    frames.send(FrameKind.END, WRITER["to_json"]({"items": frames.items}).encode())
    return b"".join(frames.pending)


HELLO = frame(FrameKind.HELLO, {})
ROW = {"netns": 1, "name": "link", "status": "ok", "detail": "", "ms": 0.1}
LINK = frame(FrameKind.ITEM, ROW, b"abc")
END = frame(FrameKind.END, {"items": 1})


@settings(max_examples=60)
@given(items)
def test_round_trip(content: Items) -> None:
    """What the node's writer frames, the reader gives back."""
    evidence = decode_answer("h", written(content))
    assert evidence.complete, evidence.problem
    assert {key: (str(item.status), item.payload) for key, item in evidence.items.items()} == {
        key: (status, data) for key, (status, data, _) in content.items()
    }
    assert all(item.elapsed_ms == 1.25 for item in evidence.items.values())


def test_large_payload_is_compressed_on_the_way() -> None:
    """A payload that arrives in pieces is packed while it arrives and unpacked whole."""
    payload = WRITER["Payload"](1 << 20)
    for _ in range(100):
        assert payload.add(b"-A INPUT -j ACCEPT\n" * 50)
    flags, body = payload.finish()
    assert flags == FLAG_ZLIB
    assert len(body) < 2000
    assert zlib.decompress(body) == b"-A INPUT -j ACCEPT\n" * 5000


def test_payload_cap_cuts_and_says_so() -> None:
    """A payload takes bytes up to its cap and tells when it cut some."""
    payload = WRITER["Payload"](10)
    assert payload.add(b"12345678")
    assert not payload.add(b"9abcdef")
    assert payload.finish() == (0, b"123456789a")


def test_total_names_what_no_longer_fits() -> None:
    """Once the answer's total is used up, an item says that it was left out."""
    evidence = decode_answer(
        "h", written({(1, "a"): ("ok", b"x" * 90, ""), (1, "b"): ("ok", b"y" * 90, "")}, 100)
    )
    assert evidence.complete
    assert evidence.items[1, "a"].status is ItemStatus.OK
    assert evidence.items[1, "b"].status is ItemStatus.TRUNCATED
    assert "total" in evidence.items[1, "b"].detail


@settings(max_examples=30)
@given(items, st.data())
def test_cut_keeps_whole_items(content: Items, data: st.DataObject) -> None:
    """An answer cut anywhere keeps the items that came whole, and is never complete."""
    whole = written(content)
    evidence = decode_answer("h", whole[: data.draw(st.integers(0, len(whole) - 1))])
    assert not evidence.complete
    assert evidence.problem
    assert set(evidence.items) <= set(content)
    assert all(item.payload == content[key][1] for key, item in evidence.items.items())


def test_cut_at_every_byte() -> None:
    """Every cut of a small answer is named, and the item is there exactly when all its bytes are."""
    whole = HELLO + LINK + END
    for cut in range(len(whole)):
        evidence = decode_answer("h", whole[:cut])
        assert not evidence.complete
        assert len(evidence.items) == (cut >= len(HELLO + LINK)), cut


def test_every_flipped_byte_is_noticed() -> None:
    """A single damaged byte anywhere makes the answer incomplete or is outside of it."""
    whole = HELLO + LINK + END
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 0x20
        assert not decode_answer("h", bytes(damaged)).complete, position


def test_noise_before_the_answer_is_skipped() -> None:
    """A login shell's greeting and sudo's lecture before the first frame do no harm."""
    noise = "Welcome to node1!\r\nWe trust you have received the usual lecture\n\x89SKP almost".encode(
        "latin-1"
    )
    evidence = decode_answer("h", noise + HELLO + LINK + END + b"goodbye\n")
    assert evidence.complete
    assert evidence.items[1, "link"].payload == b"abc"


def test_foreign_bytes_inside_end_the_answer() -> None:
    """After the first frame nothing is skipped: foreign bytes end the answer, what came before stays."""
    evidence = decode_answer(
        "h", HELLO + LINK + b"Broadcast message" + frame(2, ROW | {"name": "addr"}) + END
    )
    assert not evidence.complete
    assert "foreign bytes" in evidence.problem
    assert list(evidence.items) == [(1, "link")]


@settings(max_examples=200)
@given(st.binary(max_size=400))
def test_garbage_never_raises(garbage: bytes) -> None:
    """Any bytes at all, also behind a magic, give evidence with a problem."""
    for data in (garbage, MAGIC + garbage, HELLO + MAGIC + garbage):
        evidence = decode_answer("h", data)
        assert not evidence.complete
        assert evidence.problem


BOMB = zlib.compress(b"\0" * 10_000_000)


@pytest.mark.parametrize(
    ("hostile", "named"),
    [
        (frame(2, ROW, BOMB, flags=FLAG_ZLIB, raw=100), "size that it claims"),
        (frame(2, ROW, BOMB, flags=FLAG_ZLIB, raw=2**32 - 1), "larger than any"),
        (frame(2, ROW, b"no zlib", flags=FLAG_ZLIB, raw=7), "cannot be unpacked"),
        (frame(2, ROW, b"abc", raw=5), "size that it claims"),
        (frame(2, ROW, meta=MAX_META_BYTES + 1), "larger than any"),
        (frame(2, ROW, schema=2), "frame schema 2"),
        (frame(2, b"[" * 60_000), "cannot be read"),
        (frame(2, b"[1]"), "cannot be read"),
        (frame(2, b'{"netns": NaN}'), "cannot be read"),
        (frame(2, b'{"netns": ' + b"9" * 5000 + b"}"), "cannot be read"),
        (frame(2, ROW | {"netns": -1}), "without a namespace"),
        (frame(2, ROW | {"netns": True}), "without a namespace"),
        (frame(2, ROW | {"netns": 2**64}), "without a namespace"),
        (frame(2, ROW | {"name": "../../etc/passwd"}), "proper name"),
        (frame(2, ROW | {"name": ["link"]}), "proper name"),
        (frame(2, ROW | {"status": "fine\x1b[31m"}), "status fine\ufffd[31m"),
        (frame(2, ROW | {"status": []}), "status"),
        (frame(2, ROW | {"ms": "soon"}), "no time"),
        (LINK + LINK, "came twice"),
        (frame(3, {"items": 7}), "counts 7 items"),
    ],
)
def test_hostile_frames_are_named(hostile: bytes, named: str) -> None:
    """Bombs, wrong types, odd names and repeated items end the answer with a reason."""
    evidence = decode_answer("h", HELLO + hostile + END)
    assert not evidence.complete
    assert named in evidence.problem


def test_answer_must_begin_with_hello() -> None:
    """Frames without the hello frame are not an answer."""
    evidence = decode_answer("h", LINK + END)
    assert not evidence.items
    assert "hello" in evidence.problem


def test_detail_is_printable() -> None:
    """What a node says of an item cannot move the cursor of a terminal or fill the screen."""
    hostile = ROW | {"detail": "no\x1b[2J\u202e\n" + "x" * 5000}
    detail = decode_answer("h", HELLO + frame(2, hostile) + END).items[1, "link"].detail
    assert detail.isprintable()
    assert len(detail) <= 300


def test_header_is_what_the_node_writes() -> None:
    """Writer and reader share the format, the magic and the schema."""
    assert WRITER["HEADER"].format == HEADER.format == ">BBHIII"
    assert struct.calcsize(">BBHIII") == HEADER.size
    assert (WRITER["MAGIC"], WRITER["SCHEMA"]) == (MAGIC, SCHEMA)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=4)
    )
)
def test_json_of_the_node_is_json(value: object) -> None:
    """The node's small JSON writer writes what json reads."""
    assert json.loads(WRITER["to_json"]({"value": value})) == {"value": value}


@pytest.mark.parametrize(
    "spoil",
    [lambda packed: packed + b"more", lambda packed: packed[:-4] + b"\0\0\0\0"],
    ids=["tail", "checksum"],
)
def test_a_packed_body_ends_where_its_stream_ends(spoil: Any) -> None:
    """What stands behind the stream, and a wrong checksum, are refused: a bundle keeps the stream as it came."""
    payload = b"x" * 5000
    packed = spoil(zlib.compress(payload))
    meta = {"netns": 7, "name": "link", "status": "ok", "detail": "", "ms": 1.0}
    answer = frame(FrameKind.HELLO, {}) + frame(
        FrameKind.ITEM, meta, packed, flags=FLAG_ZLIB, raw=len(payload)
    )
    evidence = decode_answer("n1", answer + frame(FrameKind.END, {"items": 1}))
    assert not evidence.complete
    assert not evidence.items


@given(
    st.integers(0, 2**64 - 1),
    st.sampled_from([str(status) for status in ItemStatus]),
    st.text(max_size=50),
    st.floats(0, 1e8),
)
def test_both_ways_to_read_a_description_agree(netns: int, status: str, detail: str, ms: float) -> None:
    """What the node writes is read by its shape; the same said in other JSON comes to the same item."""
    usual = '{"netns":%d,"name":"link","status":"%s","detail":%s,"ms":%.3f}'
    meta = (usual % (netns, status, json.dumps(detail), ms)).encode()
    other = json.dumps(json.loads(meta), indent=1).encode()
    items = []
    for description in (meta, other):
        answer = frame(FrameKind.HELLO, {}) + frame(FrameKind.ITEM, description, b"x")
        items.append(decode_answer("n1", answer + frame(FrameKind.END, {"items": 1})).items)
    assert items[0] == items[1]
    assert len(items[0]) == 1
