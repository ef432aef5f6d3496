"""Read the text of ``ipset save`` (ipset(8)): what the recorded clusters hold, and what people paste."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_network, summarize_address_range
from itertools import islice, product

from skoopctl.kernel.ipset import (
    TYPES,
    Dimension,
    Interface,
    IpSet,
    IpSets,
    Member,
    Net,
    ProtocolPort,
    Value,
)
from skoopctl.kernel.iptables_save import split_words

MOST_OF_A_RANGE = 1 << 16
"""A range of addresses or ports that stands for more members than this is not written out."""

_PROTOCOLS = {
    "icmp": 1,
    "igmp": 2,
    "tcp": 6,
    "udp": 17,
    "gre": 47,
    "esp": 50,
    "ah": 51,
    "icmpv6": 58,
    "ipv6-icmp": 58,
    "ospf": 89,
    "vrrp": 112,
    "sctp": 132,
    "udplite": 136,
}
# lib/icmp.c and icmpv6.c of ipset: names that `ipset save` prints in place of type/code.
_ICMP = {
    "echo-reply": 0,
    "pong": 0,
    "network-unreachable": 3 << 8,
    "host-unreachable": 3 << 8 | 1,
    "protocol-unreachable": 3 << 8 | 2,
    "port-unreachable": 3 << 8 | 3,
    "fragmentation-needed": 3 << 8 | 4,
    "source-route-failed": 3 << 8 | 5,
    "network-unknown": 3 << 8 | 6,
    "host-unknown": 3 << 8 | 7,
    "network-prohibited": 3 << 8 | 9,
    "host-prohibited": 3 << 8 | 10,
    "TOS-network-unreachable": 3 << 8 | 11,
    "TOS-host-unreachable": 3 << 8 | 12,
    "communication-prohibited": 3 << 8 | 13,
    "host-precedence-violation": 3 << 8 | 14,
    "precedence-cutoff": 3 << 8 | 15,
    "source-quench": 4 << 8,
    "network-redirect": 5 << 8,
    "host-redirect": 5 << 8 | 1,
    "TOS-network-redirect": 5 << 8 | 2,
    "TOS-host-redirect": 5 << 8 | 3,
    "echo-request": 8 << 8,
    "ping": 8 << 8,
    "router-advertisement": 9 << 8,
    "router-solicitation": 10 << 8,
    "ttl-zero-during-transit": 11 << 8,
    "ttl-zero-during-reassembly": 11 << 8 | 1,
    "ip-header-bad": 12 << 8,
    "required-option-missing": 12 << 8 | 1,
    "timestamp-request": 13 << 8,
    "timestamp-reply": 14 << 8,
    "address-mask-request": 17 << 8,
    "address-mask-reply": 18 << 8,
}
_ICMPV6 = {
    "no-route": 1 << 8,
    "communication-prohibited": 1 << 8 | 1,
    "beyond-scope": 1 << 8 | 2,
    "address-unreachable": 1 << 8 | 3,
    "port-unreachable": 1 << 8 | 4,
    "failed-policy": 1 << 8 | 5,
    "reject-route": 1 << 8 | 6,
    "packet-too-big": 2 << 8,
    "ttl-zero-during-transit": 3 << 8,
    "ttl-zero-during-reassembly": 3 << 8 | 1,
    "bad-header": 4 << 8,
    "unknown-header-type": 4 << 8 | 1,
    "unknown-option": 4 << 8 | 2,
    "echo-request": 128 << 8,
    "ping": 128 << 8,
    "echo-reply": 129 << 8,
    "pong": 129 << 8,
    "router-solicitation": 133 << 8,
    "router-advertisement": 134 << 8,
    "neighbour-solicitation": 135 << 8,
    "neigbour-solicitation": 135 << 8,
    "neighbour-advertisement": 136 << 8,
    "neigbour-advertisement": 136 << 8,
    "redirect": 137 << 8,
}


def decode_ipset_save(text: str) -> IpSets:
    """Decode ``create`` and ``add`` lines. What makes no sense marks its set, or the whole; never raises."""
    headers: dict[str, IpSet] = {}
    members: dict[str, list[Member]] = {}
    problems: list[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        words = split_words(line)
        if words == [] or line.startswith("#"):
            continue
        name = words[1] if words is not None and len(words) > 2 else ""
        try:
            if _is_create(words):
                headers[name] = _create(words or [])
            else:
                members.setdefault(name, []).extend(_add(headers[name], words or []))
        except (ValueError, IndexError, KeyError, OverflowError) as error:
            said = f"line {number}: {line[:120]!r}: {error}"
            if name in headers:
                headers[name] = replace(headers[name], problem=headers[name].problem or said)
            else:
                problems.append(said)
    if text and not text.endswith("\n"):
        problems.append("the text ends within a line: it was cut")
        last = next(reversed(headers), "")
        if last:
            headers[last] = replace(headers[last], problem=headers[last].problem or problems[-1])
    sets = {name: replace(each, members=tuple(members.get(name, ()))) for name, each in headers.items()}
    return IpSets(sets, "; ".join(problems[:4]))


def _is_create(words: list[str] | None) -> bool:
    """Tell ``create`` from ``add``; anything else is a ValueError."""
    if words is None or len(words) < 3 or words[0] not in {"create", "add", "-N", "-A"}:
        raise ValueError("neither create nor add")
    return words[0] in {"create", "-N"}


def _options(words: list[str]) -> dict[str, str]:
    """Return what follows the fixed words, by name; a name without a value has ''."""
    found: dict[str, str] = {}
    at = 0
    while at < len(words):
        if words[at] in _FLAGS:
            found[words[at]] = ""
            at += 1
        else:
            found[words[at]] = words[at + 1]
            at += 2
    return found


_FLAGS = frozenset({"counters", "comment", "skbinfo", "forceadd", "nomatch", "wildcard"})


def _create(words: list[str]) -> IpSet:
    name, kind = words[1], words[2]
    # The word `comment` is a flag here and takes a value in `add`.
    options = _options(words[3:])
    family = {"inet": 4, "inet6": 6}.get(options.get("family", ""), 0)
    if kind.startswith("bitmap:ip"):
        family = 4
    first, last = _bounds(options.get("range", ""))
    return IpSet(
        name,
        kind,
        family,
        first=first,
        last=last,
        mask=_mask(options, 32 if family == 4 else 128),
        mark_mask=int(options.get("markmask", "0xffffffff"), 0),
        timeout_s=int(options["timeout"]) if "timeout" in options else None,
        counters="counters" in options,
        comments="comment" in options,
        skbinfo="skbinfo" in options,
        problem="" if kind in TYPES else f"set type {kind} is not modelled",
    )


def _bounds(text: str) -> tuple[int, int]:
    if "/" in text:
        network = ip_network(text, strict=False)
        return int(network.network_address), int(network.broadcast_address)
    low, _, high = text.partition("-")
    if not low:
        return 0, 0
    if "." in low:
        return int(ip_address(low)), int(ip_address(high or low))
    return int(low), int(high or low)


def _mask(options: dict[str, str], bits: int) -> int:
    if "bitmask" in options:
        return int(ip_address(options["bitmask"]))
    length = int(options.get("netmask", bits))
    if not 0 <= length <= bits:
        raise ValueError(f"netmask {length}")
    return 0 if length == bits else ((1 << length) - 1) << (bits - length)


def _add(ipset: IpSet, words: list[str]) -> Iterator[Member]:
    """Yield the members of one line (several for ranges)."""
    dimensions = ipset.dimensions
    if not dimensions:
        return
    options: dict[str, str] = {}
    at = 3
    while at < len(words):
        flag = words[at] in {"nomatch", "wildcard"}
        options[words[at]] = "" if flag else words[at + 1]
        at += 1 if flag else 2
    texts = words[2].split(",")
    if len(texts) != len(dimensions) and ipset.type != "bitmap:ip,mac":
        raise ValueError(f"not {len(dimensions)} parts")
    texts += [""] * (len(dimensions) - len(texts))
    several = [_READERS[each](text, ipset, options) for each, text in zip(dimensions, texts, strict=True)]
    made = _extensions(options)
    found = list(islice(product(*several), MOST_OF_A_RANGE + 1))
    if len(found) > MOST_OF_A_RANGE:
        raise ValueError(f"a range of more than {MOST_OF_A_RANGE} members")
    for values in found:
        yield made._replace(values=values)


def _extensions(options: dict[str, str]) -> Member:
    mark, prio = options.get("skbmark"), options.get("skbprio")
    value, _, mask = (mark or "").partition("/")
    major, _, minor = (prio or "").partition(":")
    return Member(
        (),
        "nomatch" in options,
        int(options["timeout"]) or None if "timeout" in options else None,
        int(options["packets"]) if "packets" in options else None,
        int(options["bytes"]) if "bytes" in options else None,
        str(options.get("comment", "")),
        None if mark is None else (int(value, 0), int(mask or "0xffffffff", 0)),
        None if prio is None else int(major or "0", 16) << 16 | int(minor or "0", 16),
        int(options["skbqueue"]) if "skbqueue" in options else None,
    )


def _nets(text: str, _set: IpSet, _options: dict[str, str]) -> list[Value]:
    low, dash, high = text.partition("-")
    if dash:
        first, last = ip_address(low), ip_address(high)
        networks = summarize_address_range(first, last)
        return [Net(int(each.network_address), each.prefixlen) for each in networks]
    network = ip_network(text, strict=False)
    if network.version != (_set.family or network.version):
        raise ValueError("an address of the other family")
    return [Net(int(network.network_address), network.prefixlen)]


def _ips(text: str, ipset: IpSet, options: dict[str, str]) -> list[Value]:
    """Return single addresses; a network stands for all of its own, or is one member (``netmask``)."""
    found = _nets(text, ipset, options)
    bits = 32 if ipset.family == 4 else 128
    if ipset.mask:
        return [Net(each.address & ipset.mask, bits) for each in found if isinstance(each, Net)]
    if all(isinstance(each, Net) and each.length == bits for each in found):
        return found
    single: list[Value] = []
    for each in found:
        if isinstance(each, Net):
            count = 1 << (bits - each.length)
            if len(single) + count > MOST_OF_A_RANGE:
                raise ValueError(f"a range of more than {MOST_OF_A_RANGE} members")
            single += [Net(each.address + n, bits) for n in range(count)]
    return single


def _ports(text: str, ipset: IpSet, _options: dict[str, str]) -> list[Value]:
    word, colon, rest = text.partition(":")
    if ipset.type == "bitmap:port":
        word, rest = "0", text if not colon else rest
    elif not colon:
        word, rest = "tcp", text
    protocol = int(word) if word.isdigit() else _PROTOCOLS[word]
    if protocol in {1, 58}:
        names = _ICMP if protocol == 1 else _ICMPV6
        if rest in names:
            return [ProtocolPort(protocol, names[rest])]
        kind, _, code = rest.partition("/")
        return [ProtocolPort(protocol, int(kind) << 8 | int(code or 0))]
    low, _, high = rest.partition("-")
    first, last = int(low), int(high or low)
    if not 0 <= first <= last <= 0xFFFF:
        raise ValueError(f"ports {rest}")
    return [ProtocolPort(protocol, port) for port in range(first, last + 1)]


def _macs(text: str, _set: IpSet, _options: dict[str, str]) -> list[Value]:
    return [int(text.replace(":", ""), 16) if text else None]


def _ifaces(text: str, _set: IpSet, options: dict[str, str]) -> list[Value]:
    physdev = text.startswith("physdev:")
    return [Interface(text.removeprefix("physdev:"), physdev, "wildcard" in options)]


def _marks(text: str, ipset: IpSet, _options: dict[str, str]) -> list[Value]:
    return [int(text, 0) & ipset.mark_mask]


def _names(text: str, _set: IpSet, _options: dict[str, str]) -> list[Value]:
    return [text]


_READERS: dict[Dimension, Callable[[str, IpSet, dict[str, str]], list[Value]]] = {
    Dimension.IP: _ips,
    Dimension.NET: _nets,
    Dimension.PORT: _ports,
    Dimension.MAC: _macs,
    Dimension.IFACE: _ifaces,
    Dimension.MARK: _marks,
    Dimension.SET: _names,
}
