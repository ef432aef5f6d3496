"""The redactor: everything that stands for something, and texts in which such things occur."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address

from skoopctl.evidence.redaction.addresses import AddressMap, address_text
from skoopctl.evidence.redaction.names import NameMap

REDACTED = "redacted"
"""What stands where nothing could stand for what was there; no parser takes it for an address or a number."""

_V4 = r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}"
_V6 = r"[0-9A-Fa-f]{0,4}:[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:.]*[0-9A-Fa-f:]|::"
_MAC = r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}"
_V4_END = r"(?![0-9A-Za-z]|\.[0-9])"
# A MAC before an IPv6 address, which it could be the beginning of; a port may follow an IPv4 address only.
ADDRESS = re.compile(
    rf"(?<![0-9A-Za-z.:])(?P<mac>{_MAC})(?![0-9A-Za-z:])"
    rf"|(?<![0-9A-Za-z.])(?P<v4>{_V4}){_V4_END}(?:-(?P<last4>{_V4}){_V4_END}|/(?P<mask4>{_V4}|[0-9]{{1,2}})(?![0-9A-Za-z.]))?"
    rf"|(?<![0-9A-Za-z.:])(?P<v6>{_V6})(?![0-9A-Za-z:])(?:-(?P<last6>{_V6})|/(?P<mask6>[0-9]{{1,3}}))?(?![0-9A-Za-z:])"
)
_ATOM = re.compile(r"[0-9A-Za-z_.\u0080-\U0010ffff][0-9A-Za-z_.\u0080-\U0010ffff-]*")
_OBJECT = re.compile(r"(?<![0-9A-Za-z/_.-])([a-z0-9][a-z0-9.-]*)/([a-z0-9][a-z0-9.-]*)")
_PLAIN_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]+")
_NFT_CHAIN = re.compile(
    r"(service|endpoint|external|firewall|affinity|mark-for-masquerade)-([A-Z2-7]{8})-(.+)"
)
_KEY_BYTES = 32
Span = tuple[int, int, int]
"""A range: IP version, first and last address."""
Length = tuple[int, int]
"""IP version, and the length of a prefix."""


class UnredactableError(Exception):
    """An item cannot be redacted without saying something else than before; the text says what is in the way."""


@dataclass(slots=True)
class Redactor:
    """One key's replacements. ``seen_*`` record what was replaced by what, for the map and the check for leaks.

    ``ranges``, and ``carried`` (lengths of prefixes behind which NETMAP carries what is there), are what the texts
    held that only a permutation that was fitted to them keeps. With ``keep_names``, only addresses, UIDs, ids and keys
    are replaced.
    """

    key: bytes
    keep_names: bool = False
    addresses: AddressMap = field(init=False)
    names: NameMap = field(init=False)
    seen_addresses: dict[str, str] = field(default_factory=dict)
    seen_keys: dict[str, str] = field(default_factory=dict)
    ranges: set[Span] = field(default_factory=set)
    carried: set[Length] = field(default_factory=set)
    _packed: dict[bytes, bytes] = field(default_factory=dict)
    _texts: dict[str, str] = field(default_factory=dict)
    _prose: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.addresses = AddressMap(hashlib.blake2b(b"addresses", key=self.key).digest())
        self.names = NameMap(hashlib.blake2b(b"names", key=self.key).digest(), self.keep_names)

    def pin(self, ranges: Iterable[Span], carried: Iterable[Length]) -> None:
        """Make the permutation of addresses keep ranges, and what NETMAP carries. Before anything is replaced."""
        for version, first, last in ranges:
            self.addresses.pin(version, first, last)
        for version, length in carried:
            self.addresses.keep_hosts(version, length)

    # --- bytes --------------------------------------------------------------------------------------------------

    def packed(self, raw: bytes) -> bytes:
        """Return what stands for the bytes of an IPv4, IPv6 or MAC address; of another size, zeros."""
        known = self._packed.get(raw)
        if known is None:
            known = self._packed[raw] = self._packed_anew(raw)
        return known

    def _packed_anew(self, raw: bytes) -> bytes:
        value = int.from_bytes(raw, "big")
        if len(raw) == 6:
            return self._mac(value).to_bytes(6, "big")
        if len(raw) in {4, 16}:
            return self._ip(4 if len(raw) == 4 else 6, value).to_bytes(len(raw), "big")
        return bytes(len(raw))

    def packed_network(self, raw: bytes, length: int) -> bytes:
        """Return what stands for the bytes of a network; one with host bits counts as an address."""
        if len(raw) not in {4, 16}:
            return bytes(len(raw))
        version = 4 if len(raw) == 4 else 6
        return self._network(version, int.from_bytes(raw, "big"), length).to_bytes(len(raw), "big")

    def public_key(self, raw: bytes) -> bytes:
        """Return what stands for a WireGuard key."""
        if not any(raw):
            return raw
        new = hashlib.blake2b(raw, key=self.key, digest_size=_KEY_BYTES).digest()[: len(raw)]
        self.seen_keys[raw.hex()] = new.hex()
        return new

    def packed_word(self, raw: bytes) -> bytes:
        """Return what stands for a name that ends in NUL."""
        text, nul, _ = raw.partition(b"\0")
        word = self.wildcard(text.decode("utf-8", "surrogateescape"))
        return word.encode("utf-8", "surrogateescape") + nul

    # --- texts --------------------------------------------------------------------------------------------------

    def ip(self, text: str) -> str:
        """Return what stands for a text that should be an address or a network; any other is a name."""
        found = ADDRESS.fullmatch(text)
        if found is None:
            return self.names.name(text)
        return self._address(found)

    def wildcard(self, text: str) -> str:
        """Return what stands for a device's name, which may end in ``+`` or ``*`` for all that begin so."""
        bare = text.rstrip("+*")
        return self.composite(bare) + text[len(bare) :]

    def in_text(self, text: str) -> str:
        """Replace the addresses in a text, and nothing else."""
        return ADDRESS.sub(self._address, text)

    def composite(self, text: str) -> str:
        """Return what stands for an identifier, which may be made of names, addresses and hashes."""
        known = self._texts.get(text)
        if known is None:
            known = self._texts[text] = self._composite(text)
        return known

    def _composite(self, text: str) -> str:
        made = _NFT_CHAIN.fullmatch(text)
        if made:  # kube-proxy's, in nftables: KIND-HASH-NAMESPACE/SERVICE/PROTOCOL/PORT__ADDRESS/PORT
            inner = "__".join(self.prose(part) for part in made[3].split("__"))
            return f"{made[1]}-{self.names.name(made[2])}-{inner}"
        if ADDRESS.search(text) or "/" in text:
            return self.prose(text)
        return _ATOM.sub(lambda atom: self.names.word(atom[0]), text)

    def prose(self, text: str) -> str:
        """Return a text for people with addresses and names replaced: every word that not everybody uses."""
        known = self._prose.get(text)
        if known is None:
            parts: list[str] = []
            at = 0
            for found in ADDRESS.finditer(text):
                parts += [self._words(text[at : found.start()]), self._address(found)]
                at = found.end()
            known = self._prose[text] = "".join([*parts, self._words(text[at:])])
        return known

    def lines(self, text: str) -> str:
        """Return lines with the words and addresses in each replaced."""
        return "\n".join(self.prose(line) for line in text.split("\n"))

    def _words(self, text: str) -> str:
        """Replace words; of ``namespace/name``, both parts are names, even if they read like a common word."""
        pieces: list[str] = []
        at = 0
        for found in _OBJECT.finditer(text):
            pieces.append(_ATOM.sub(self._atom, text[at : found.start()]))
            pieces.append(f"{self._part(found[1])}/{self._part(found[2])}")
            at = found.end()
        return "".join([*pieces, _ATOM.sub(self._atom, text[at:])])

    def _part(self, text: str) -> str:
        return text if _PLAIN_NUMBER.fullmatch(text) else self.names.name(text)

    def _atom(self, found: re.Match[str]) -> str:
        bare = found[0].rstrip(".")
        if bare in {"a", "s"}:
            return found[0]  # an article, seconds
        return self.names.word(bare) + found[0][len(bare) :]

    def _address(self, found: re.Match[str]) -> str:
        """Return what stands for a match of `ADDRESS`: a MAC, an address, a network, or a range."""
        if found["mac"]:
            new = self._mac(int(found["mac"].replace(":", ""), 16)).to_bytes(6, "big").hex(":")
            return new.upper() if re.search("[A-F]", found["mac"]) else new
        first = _parsed(found["v4"] or found["v6"])
        if first is None:
            return self._words(found[0])  # a time, or digits that only look like an address
        last = found["last4"] or found["last6"]
        if last:
            return self._range(first, _parsed(last))
        return self._with_mask(first, found["mask4"] or found["mask6"])

    def _range(self, first: IPv4Address | IPv6Address, last: IPv4Address | IPv6Address | None) -> str:
        """Return a range's image, or what no parser takes for one where it has none."""
        ends = self.range_ends(first, last)
        if ends is None:
            return REDACTED
        return "-".join(address_text(first.version, end) for end in ends)

    def range_ends(
        self, first: IPv4Address | IPv6Address, last: IPv4Address | IPv6Address | None
    ) -> tuple[int, int] | None:
        """Return the first and last address of a range's image, or None where that is no range."""
        if last is None or last.version != first.version or last < first:  # type: ignore[operator]
            return None
        low, high = int(first), int(last)
        self.ranges.add((first.version, low, high))
        if not self.addresses.spans(first.version, low, high):
            return None
        ends = sorted(self._ip(first.version, value) for value in (low, high))
        host = low ^ high
        if not host & (host + 1) and not low & host:  # a prefix
            return ends[0] & ~host, ends[0] | host
        return ends[0], ends[1]

    def carries(self, found: re.Match[str]) -> bool:
        """Tell whether what is behind a network stays as it is, and note that it should."""
        first = _parsed(found["v4"] or found["v6"] or "")
        mask = found["mask4"] or found["mask6"] or ""
        if first is None:
            return True
        length = int(mask) if mask.isdigit() else _length_of_mask(mask) if mask else first.max_prefixlen
        return length is not None and self.carries_behind(first.version, length)

    def carries_behind(self, version: int, length: int) -> bool:
        """Tell whether what is behind prefixes of a length stays as it is, and note that it should."""
        self.carried.add((version, length))
        return self.addresses.keeps_hosts(version, length)

    def _with_mask(self, first: IPv4Address | IPv6Address, mask: str | None) -> str:
        version, value = first.version, int(first)
        if mask is None:
            return address_text(version, self._ip(version, value))
        length = int(mask) if mask.isdigit() else _length_of_mask(mask)
        if length is None:
            return f"{REDACTED}/{mask}"  # a prefix is all that the permutation keeps
        if length > first.max_prefixlen:
            return f"{address_text(version, self._ip(version, value))}/{mask}"
        return f"{address_text(version, self._network(version, value, length))}/{mask}"

    def _network(self, version: int, value: int, length: int) -> int:
        """Return what stands for a network; one with host bits counts as an address."""
        bits = 32 if version == 4 else 128
        if length >= bits or value & ((1 << (bits - length)) - 1):
            return self._ip(version, value)
        mapped = self.addresses.network(version, value, length)
        if mapped != value:
            old, new = (f"{address_text(version, each)}/{length}" for each in (value, mapped))
            self.seen_addresses[old] = new
        return mapped

    def _ip(self, version: int, value: int) -> int:
        mapped = self.addresses.address(version, value)
        if mapped != value:
            self.seen_addresses[address_text(version, value)] = address_text(version, mapped)
        return mapped

    def _mac(self, value: int) -> int:
        mapped = self.addresses.mac(value)
        if mapped != value:
            self.seen_addresses[value.to_bytes(6, "big").hex(":")] = mapped.to_bytes(6, "big").hex(":")
        return mapped

    def seen(self) -> Mapping[str, Mapping[str, str]]:
        """Return what was replaced by what: addresses, names (with UIDs and ids), keys."""
        return {"addresses": self.seen_addresses, "names": self.names.seen, "keys": self.seen_keys}


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _length_of_mask(mask: str) -> int | None:
    parsed = _parsed(mask)
    value = int(parsed) if parsed is not None and parsed.version == 4 else 0
    inverted = value ^ 0xFFFFFFFF
    return None if inverted & (inverted + 1) else 32 - inverted.bit_length()
