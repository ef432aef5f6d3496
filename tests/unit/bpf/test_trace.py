"""The kernel's trace buffers, as their pages and format files are on kernels of different age."""

from __future__ import annotations

import struct

import pytest

from tests.support.bpf_loader import loader

HEAD = "name: x\nID: 77\nformat:\n\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\n"
DATA_AT = 16


def form_of(*fields: str, shown: str = "") -> object:
    """Return a format with fields that are given as ``TYPE NAME @OFFSET+SIZE``."""
    lines = []
    for field in fields:
        word, _, place = field.rpartition(" @")
        offset, size = place.split("+")
        lines.append(f"\tfield:{word};\toffset:{offset};\tsize:{size};\tsigned:0;\n")
    return loader().Format(HEAD + "".join(lines) + f"\nprint fmt: {shown}\n")


def page_of(*parts: bytes, now: int = 1000, flags: int = 0) -> bytes:
    """Return a page whose events are these parts."""
    body = b"".join(parts)
    return (struct.pack("=QQ", now, len(body) | flags) + body).ljust(4096, b"\0")


def event(data: bytes, delta: int) -> bytes:
    """Return a short event."""
    assert len(data) % 4 == 0
    return struct.pack("=I", delta << 5 | len(data) // 4) + data


@pytest.mark.parametrize("flags", [0, 1 << 31, 1 << 31 | 1 << 30])
def test_events_of_a_page_have_their_times(flags: int) -> None:
    """Each event's time is the sum of all before it, with extended ones; a page that lost events is read too."""
    long = b"L" * 200
    page = page_of(
        event(b"1234", 5),
        struct.pack("=II", 3 << 5 | 30, 2),  # 3 + 2 << 27 later
        event(b"12345678", 1),
        struct.pack("=I", 7 << 5) + struct.pack("=I", len(long) + 4) + long,
        struct.pack("=II", 1 << 5 | 29, 8) + b"gone",  # an event that was discarded
        event(b"last", 2),
        flags=flags,
    )
    later = 1000 + 5 + 3 + (2 << 27)
    assert list(loader().events_of(page, DATA_AT)) == [
        (1005, b"1234"),
        (later + 1, b"12345678"),
        (later + 8, long),
        (later + 11, b"last"),
    ]


def test_a_page_that_is_padded_ends_there() -> None:
    """Padding without a length is the rest of the page."""
    assert list(loader().events_of(page_of(event(b"1234", 0), struct.pack("=I", 29)), DATA_AT)) == [
        (1000, b"1234")
    ]


def test_a_page_that_promises_more_than_it_has_is_read_to_its_end() -> None:
    """A commit that is larger than the page gives what is there, and no error."""
    page = struct.pack("=QQ", 1000, 0xFFFFF) + event(b"1234", 1)
    assert list(loader().events_of(page, DATA_AT)) == [(1001, b"1234")]


def test_words_of_a_reason_are_the_nodes() -> None:
    """The names of numbers are those that the event prints; names without a number are passed over."""
    form = form_of(
        "enum skb_drop_reason reason @36+4",
        shown='"%s", __print_symbolic(REC->reason, { 2, "NOT_SPECIFIED" }, { 12, "NETFILTER_DROP" }, { X, "Y" })',
    )
    assert form.words("reason") == {2: "NOT_SPECIFIED", 12: "NETFILTER_DROP"}  # type: ignore[attr-defined]
    assert form.words("protocol") == {}  # type: ignore[attr-defined]
    assert form.number == 77  # type: ignore[attr-defined]


V4, V6 = bytes((10, 0, 0, 1)), bytes.fromhex("fd77" + "00" * 13 + "01")
MAPPED = bytes(10) + b"\xff\xff" + V4


@pytest.mark.parametrize("family", [True, False])
@pytest.mark.parametrize(("v6", "expected"), [(V6, (6, V6)), (MAPPED, (4, V4))])
def test_ends_of_sockets_with_and_without_a_family(
    family: bool, v6: bytes, expected: tuple[int, bytes]
) -> None:
    """Before 5.12 there is no family, and a mapped address tells that the packets are IPv4."""
    fields = [
        "__u8 saddr[4] @8+4",
        "__u8 daddr[4] @12+4",
        "__u8 saddr_v6[16] @16+16",
        "__u8 daddr_v6[16] @32+16",
    ]
    form = form_of(*fields, *(["__u16 family @48+2"] if family else []))
    data = bytes(8) + V4 * 2 + v6 * 2 + struct.pack("=H", 10 if v6 == V6 else 2)
    assert loader().ends_of(form, data)[:2] == expected


def test_resets_before_6_10_are_undecided() -> None:
    """Without a reason in the event, which kind of reset it is may not be known, and that is said."""
    node = loader()
    fields = (
        "const void * skbaddr @8+8",
        "const void * skaddr @16+8",
        "__u16 sport @24+2",
        "__u16 dport @26+2",
    )
    form = form_of(*fields, "__u8 saddr[4] @28+4", "__u8 daddr[4] @32+4")
    row = node.reset_sent(form, bytes(8) + struct.pack("=QQHH", 1, 1, 80, 4000) + V4 * 2, {})
    assert (row["kind"], row["flags"], row["source_port"]) == (12, node.UNDECIDED, 80)
