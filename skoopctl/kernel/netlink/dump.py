"""The framing of a netlink dump: messages, attributes, and how it ended.

The messages are decoded by hand: importing pyroute2 alone costs more (130 ms) than a whole diagnosis of a
saved bundle may spend on decoding, and it has no class for next hop objects. The layouts are those of
include/uapi/linux/netlink.h and rtnetlink.h.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from struct import Struct
from struct import error as struct_error
from typing import Generic, TypeVar

from skoopctl.kernel.address import IPAddress, IPNetwork

T = TypeVar("T")

AF_INET = 2
AF_INET6 = 10

_HEADER = Struct("=IHHII")  # length, type, flags, sequence, port
_ATTRIBUTE = Struct("=HH")  # length, type
_ERRNO = Struct("=i")
_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_DUMP_INTR = 0x10
_TYPE_MASK = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER

u32 = Struct("=I")
u16 = Struct("=H")
be16 = Struct(">H")
s32 = Struct("=i")


@dataclass(frozen=True, slots=True)
class Dump(Generic[T]):
    """What a dump held. ``problem`` is empty when it was read whole: else entries are missing."""

    entries: tuple[T, ...]
    problem: str = ""


def decode_dump(raw: bytes, kind: int, decode: Callable[[bytes], T | None]) -> Dump[T]:
    """Decode every message of type ``kind``; ``decode`` gets its body and returns None for what is not kept.

    A message that cannot be decoded is left out and named in the problem, and so is a dump that the kernel
    aborted, that changed while it was read, or that has no end. Never raises.
    """
    entries: list[T] = []
    problems: list[str] = []
    for number, (here, body) in enumerate(_messages(raw, problems), 1):
        if here != kind:
            continue
        try:
            entry = decode(body)
        except (ValueError, struct_error, IndexError) as error:
            problems.append(f"message {number} is malformed ({error})")
        else:
            if entry is not None:
                entries.append(entry)
    return Dump(tuple(entries), "; ".join(dict.fromkeys(problems[:4])))


def _messages(raw: bytes, problems: list[str]) -> Iterator[tuple[int, bytes]]:
    """Yield the type and body of each message; what is wrong with the dump itself goes to ``problems``."""
    offset, size, ended = 0, len(raw), False
    while offset + 16 <= size:
        length, kind, flags, _, _ = _HEADER.unpack_from(raw, offset)
        if length < 16 or offset + length > size:
            break
        body = raw[offset + 16 : offset + length]
        if flags & _DUMP_INTR:
            problems.append("the tables changed while they were dumped")
        if kind in {_NLMSG_ERROR, _NLMSG_DONE}:
            ended = True
            problems += _end(body)
        else:
            yield kind, body
        offset += (length + 3) & ~3
    if offset < size:
        problems.append(f"cut or damaged at byte {offset} of {size}")
    elif not ended:
        problems.append("the dump has no end")


def _end(body: bytes) -> list[str]:
    """Read the error number that an end or error message carries."""
    code = -_ERRNO.unpack_from(body)[0] if len(body) >= 4 else 0
    if code <= 0:
        return []
    return [f"the kernel answered {errno.errorcode.get(code, code)} ({os.strerror(code)})"]


def attributes(data: bytes, offset: int = 0) -> dict[int, bytes]:
    """Return the attributes behind a fixed header. Raises ValueError when one does not fit."""
    found: dict[int, bytes] = {}
    size = len(data)
    unpack = _ATTRIBUTE.unpack_from
    while offset + 4 <= size:
        length, kind = unpack(data, offset)
        if length < 4 or offset + length > size:
            raise ValueError(f"an attribute of {length} bytes")
        found[kind & _TYPE_MASK] = data[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found


def attributes_in_order(data: bytes) -> list[tuple[int, bytes]]:
    """Return all attributes where one kind may occur many times. Raises ValueError when one does not fit."""
    found: list[tuple[int, bytes]] = []
    offset = 0
    while offset + 4 <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < 4 or offset + length > len(data):
            raise ValueError(f"an attribute of {length} bytes")
        found.append((kind & _TYPE_MASK, data[offset + 4 : offset + length]))
        offset += (length + 3) & ~3
    return found


def text(data: bytes) -> str:
    """Return a NUL-terminated name; bytes that are not UTF-8 are shown escaped."""
    return data.split(b"\0", 1)[0].decode("utf-8", "backslashreplace")


def number32(found: dict[int, bytes], key: int, default: int = 0) -> int:
    """Return a u32 attribute."""
    raw = found.get(key)
    return default if raw is None else int(u32.unpack_from(raw)[0])


@lru_cache(maxsize=8192)
def address(data: bytes) -> IPAddress:
    """Return an address from its 4 or 16 bytes. Raises ValueError for another size."""
    if len(data) == 4:
        return IPv4Address(data)
    if len(data) == 16:
        return IPv6Address(data)
    raise ValueError(f"an address of {len(data)} bytes")


@lru_cache(maxsize=8192)
def network(data: bytes | None, length: int, family: int) -> IPNetwork:
    """Return a network from its (maybe missing) address bytes and prefix length."""
    if family == AF_INET:
        return IPv4Network((data if data is not None else bytes(4), length), strict=False)
    return IPv6Network((data if data is not None else bytes(16), length), strict=False)


def link_layer(data: bytes) -> str:
    """Return a link layer address in colons; four bytes are a tunnel's IPv4 address."""
    return str(IPv4Address(data)) if len(data) == 4 else data.hex(":")
