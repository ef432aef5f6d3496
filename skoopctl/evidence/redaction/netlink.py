"""Redact netlink dumps: messages are written anew, with the attributes that somebody reads, and nothing else.

A table says of each type of message what stands before its attributes, and what becomes of each attribute: it is kept
(numbers that tell of no one), replaced, or is a nest with a table of its own. An attribute without a row is left
out, whatever newer kernels may put there; in policy rules it stays, as zeros, because there an attribute that is
not understood means that the rule may match. The layouts are those of include/uapi/linux.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from struct import Struct
from typing import Union

from skoopctl.evidence.redaction.words import Redactor

Attributes = list[tuple[int, bytes]]
Rewrite = Callable[[bytes, Redactor, Mapping[int, bytes]], bytes]
"""What makes the new payload of an old one; it also gets the attributes that stand beside it."""
Row = Union[Rewrite, "Nest"]

_MESSAGE = Struct("=IHHII")  # length, type, flags, sequence, port
_ATTRIBUTE = Struct("=HH")  # length, type
_TYPE = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER
_ERROR, _DONE = 2, 3


@dataclass(frozen=True, slots=True)
class Nest:
    """A table of attributes. ``unknown`` says what becomes of one without a row (None: it is left out)."""

    rows: Mapping[int, Row]
    unknown: Rewrite | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """A type of message: the size of its fixed header, and its attributes, which may depend on that header."""

    header: int
    nest: Nest | Callable[[bytes], Nest]
    fixed: Callable[[bytes], bytes] = field(default=lambda header: header)

    def rewritten(self, body: bytes, redactor: Redactor) -> bytes:
        """Return the body of a message."""
        header = body[: self.header]
        nest = self.nest if isinstance(self.nest, Nest) else self.nest(header)
        return self.fixed(header) + rewrite_attributes(body[self.header :], nest, redactor)


def keep(raw: bytes, _redactor: Redactor, _beside: Mapping[int, bytes]) -> bytes:
    """Keep a payload as it is."""
    return raw


def zeros(raw: bytes, _redactor: Redactor, _beside: Mapping[int, bytes]) -> bytes:
    """Keep a payload's size."""
    return bytes(len(raw))


def address(raw: bytes, redactor: Redactor, _beside: Mapping[int, bytes]) -> bytes:
    """Replace an IPv4, IPv6 or MAC address."""
    return redactor.packed(raw)


def word(raw: bytes, redactor: Redactor, _beside: Mapping[int, bytes]) -> bytes:
    """Replace a name that ends in NUL."""
    return redactor.packed_word(raw)


def network(length: int) -> Rewrite:
    """Return what replaces the address of a network whose prefix length is known."""
    return lambda raw, redactor, _beside: redactor.packed_network(raw, length)


def kept(*kinds: int) -> dict[int, Row]:
    """Return rows of attributes that stay."""
    return dict.fromkeys(kinds, keep)


def rewrite_dump(payload: bytes, messages: Callable[[int], Message | None], redactor: Redactor) -> bytes:
    """Return a dump with its messages rewritten; what is cut or makes no sense keeps its size and loses the rest."""
    parts: list[bytes] = []
    offset, size = 0, len(payload)
    while offset + 16 <= size:
        length, kind, flags, sequence, port = _MESSAGE.unpack_from(payload, offset)
        if length < 16 or offset + length > size:
            break
        body = _body(kind, payload[offset + 16 : offset + length], messages(kind), redactor)
        parts.append(
            _MESSAGE.pack(16 + len(body), kind, flags, sequence, port) + body + bytes(-len(body) % 4)
        )
        offset += (length + 3) & ~3
    return b"".join(parts) + _rest(payload[offset:])


def _rest(cut: bytes) -> bytes:
    """Return what stands for a message that was cut: its header, by which readers see that it was."""
    return cut[:16] + bytes(max(len(cut) - 16, 0))


def _body(kind: int, body: bytes, message: Message | None, redactor: Redactor) -> bytes:
    if kind in {_ERROR, _DONE}:
        return body[:4]
    if message is None:
        return b""
    try:
        return message.rewritten(body, redactor)
    except ValueError:
        return body[: message.header] + b"\1\0\1\0"  # as malformed as it was, without what it said


def rewrite_attributes(data: bytes, nest: Nest, redactor: Redactor) -> bytes:
    """Return attributes rewritten. Raises ValueError when one does not fit."""
    found = list(_attributes(data))
    beside = {kind & _TYPE: payload for kind, payload in found}
    parts = []
    for kind, payload in found:
        row = nest.rows.get(kind & _TYPE, nest.unknown)
        if row is None:
            continue
        new = (
            rewrite_attributes(payload, row, redactor)
            if isinstance(row, Nest)
            else row(payload, redactor, beside)
        )
        parts.append(_ATTRIBUTE.pack(4 + len(new), kind) + new + bytes(-len(new) % 4))
    return b"".join(parts)


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + 4 <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < 4 or offset + length > len(data):
            raise ValueError(f"an attribute of {length} bytes")
        yield kind, data[offset + 4 : offset + length]
        offset += (length + 3) & ~3


def each(nest: Nest) -> Nest:
    """Return the table of a list, whose elements all have the one table, whatever their type is."""
    return Nest({}, lambda raw, redactor, _beside: rewrite_attributes(raw, nest, redactor))
