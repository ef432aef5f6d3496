"""The last look at a redacted bundle, byte by byte, for anything in it that should have been replaced.

It knows nothing of the rewriters. It looks for every original of the map, as text and in its binary forms, in all
members of the file, their names and the manifest.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from struct import Struct

from skoopctl.evidence.bundle import Bundle
from skoopctl.evidence.bundle_file import write_to
from skoopctl.evidence.redaction.names import beginning
from skoopctl.evidence.redaction.vocabulary import VOCABULARY, WELL_KNOWN

SHORTEST = 4
"""Names of fewer letters occur by chance, in words and in numbers."""
_OF_EVERYBODY = frozenset(
    {"10.0.0.0", "100.64.0.0", "172.16.0.0", "192.168.0.0", "fc00::", "fd00::", "fe80::", "2000::"}
)
"""Private ranges stand for themselves, whoever has an address like this."""
_MOST_PARTS = 8
"""Parts of a word, at its dots and dashes, that are looked at together."""

_WORD = re.compile(rb"[0-9A-Za-z_.-]{4,}")
_ADDRESSES = re.compile(
    rb"(?<![0-9A-Za-z.])[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![0-9])|(?<![0-9A-Za-z:])[0-9a-fA-F:]{6,}(?:[0-9.]*[0-9a-fA-F:])?"
)
_HEX = re.compile(rb"(?<![0-9A-Za-z])(?:[0-9A-F]{32}|[0-9A-F]{8})(?![0-9A-Za-z])")
_PARTS = re.compile(r"(__|[.-])")
_ATTRIBUTE = Struct("=HH")
_MESSAGE = Struct("=IH")
_DEPTH = 8


@dataclass(frozen=True, slots=True)
class Leak:
    """An original that is in the redacted bundle: in which member, and which."""

    member: str
    original: str


@dataclass(slots=True)
class _Wanted:
    """What must not be found: texts, hexadecimal forms, and packed bytes; each with its original."""

    texts: dict[str, str] = field(default_factory=dict)
    hexadecimal: dict[bytes, str] = field(default_factory=dict)
    packed: dict[bytes, str] = field(default_factory=dict)


def find_leaks(bundle: Bundle, replacements: Mapping[str, Mapping[str, str]]) -> list[Leak]:
    """Return what of the originals is left in a redacted bundle, each with the first member that has it.

    An original that also stands for another one is no leak: in a full subnet, most addresses are. Nor are words that
    everybody uses, or names too short to be told from chance.
    """
    wanted = _wanted(replacements)
    found: dict[str, Leak] = {}
    for member, data in _members(bundle):
        for original in _in_bytes(data, wanted):
            found.setdefault(original, Leak(member, original))
    return list(found.values())


def _members(bundle: Bundle) -> Iterator[tuple[str, bytes]]:
    file = io.BytesIO()
    write_to(file, bundle)
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            yield info.filename, info.filename.encode()
            yield info.filename, archive.read(info)


def _wanted(replacements: Mapping[str, Mapping[str, str]]) -> _Wanted:
    wanted = _Wanted()
    addresses = {
        old.partition("/")[0]: new.partition("/")[0] for old, new in replacements["addresses"].items()
    }
    for old in _originals(addresses):
        if old in _OF_EVERYBODY:
            continue
        wanted.texts[old] = old
        for form in _packed(old):
            wanted.packed[form] = old
            if len(form) in {4, 16}:
                words = (form[at : at + 4] for at in range(0, len(form), 4))
                memory = b"".join(word[::-1] for word in words)
                wanted.hexadecimal[form.hex().upper().encode()] = old
                wanted.hexadecimal[memory.hex().upper().encode()] = old
    for old in _originals(replacements["names"]):
        if len(old) >= SHORTEST and old not in VOCABULARY | WELL_KNOWN and not old.isdigit():
            wanted.texts[old] = old
    for old in _originals(replacements["keys"]):
        wanted.packed[bytes.fromhex(old)] = old
    return wanted


def _originals(replaced: Mapping[str, str]) -> Iterator[str]:
    standing = set(replaced.values())
    return (old for old, new in replaced.items() if old != new and old not in standing)


def _packed(text: str) -> Iterable[bytes]:
    if text.count(":") == 5 and len(text) == 17:
        return (bytes.fromhex(text.replace(":", "")),)
    return (ip_address(text).packed,)


def _in_bytes(data: bytes, wanted: _Wanted) -> Iterator[str]:
    texts = {match.decode("ascii") for match in _WORD.findall(data)}
    for word in texts:
        yield from (wanted.texts[part] for part in _parts(_own(word)) if part in wanted.texts)
    for match in set(_ADDRESSES.findall(data)):
        text = match.decode("ascii").lower()
        if text in wanted.texts:
            yield wanted.texts[text]
    for match in set(_HEX.findall(data)):
        if match in wanted.hexadecimal:
            yield wanted.hexadecimal[match]
    for payload in set(_payloads(data)):
        yield from (wanted.packed[form] for form in _forms(payload) if form in wanted.packed)


def _own(word: str) -> str:
    """Return a word without what software puts before it; nothing of one that everybody uses."""
    while True:
        if word in VOCABULARY or word in WELL_KNOWN:
            return ""
        begin = beginning(word)
        if not begin:
            return word
        word = word[len(begin) :]


def _parts(word: str) -> Iterator[str]:
    """Yield a word, and what stands in it between dots and dashes."""
    pieces = _PARTS.split(word)
    if len(pieces) > 4 * _MOST_PARTS:
        pieces = pieces[: 4 * _MOST_PARTS]
    for first in range(0, len(pieces), 2):
        for last in range(first, min(first + 2 * _MOST_PARTS, len(pieces)), 2):
            yield "".join(pieces[first : last + 1])
    yield word


def _payloads(data: bytes) -> Iterator[bytes]:
    """Yield the payloads of netlink attributes at all depths, if the bytes are a dump."""
    offset = 0
    while offset + 16 <= len(data):
        length, _ = _MESSAGE.unpack_from(data, offset)
        if length < 16 or offset + length > len(data):
            return
        body = data[offset + 16 : offset + length]
        for header in range(4, min(24, len(body)), 4):
            yield from _attributes(body[header:], 0)
        offset += (length + 3) & ~3


def _attributes(data: bytes, depth: int) -> Iterator[bytes]:
    """Yield payloads if the bytes are attributes to their very end, else nothing."""
    found: list[bytes] = []
    offset = 0
    while offset + 4 <= len(data):
        length, _ = _ATTRIBUTE.unpack_from(data, offset)
        if length < 4 or offset + length > len(data):
            return
        found.append(data[offset + 4 : offset + length])
        offset += (length + 3) & ~3
    for payload in found:
        yield payload
        if depth < _DEPTH and len(payload) >= 8:
            yield from _attributes(payload, depth + 1)


def _forms(payload: bytes) -> Iterator[bytes]:
    """Yield what of an attribute's payload may be an address or key: all of it, or where structures have one."""
    yield payload
    if len(payload) == 16 and not any(payload[4:]):
        yield payload[:4]  # union nf_inet_addr
    if len(payload) in {16, 28}:
        yield payload[4:8]  # struct sockaddr_in
        yield payload[8:24]  # struct sockaddr_in6
    if len(payload) in {6, 18}:
        yield payload[2:]  # struct rtvia
