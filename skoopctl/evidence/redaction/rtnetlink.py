"""The rows for rtnetlink: links, addresses, routes, rules, neighbours, forwarding databases, qdiscs, next hops.

They name the attributes that `skoopctl.kernel` reads, and those that are of no harm beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct

from skoopctl.evidence.redaction.netlink import (
    Message,
    Nest,
    address,
    keep,
    kept,
    network,
    rewrite_attributes,
    rewrite_dump,
    word,
    zeros,
)
from skoopctl.evidence.redaction.words import Redactor

_NEXTHOP = Struct("=HBBi")  # struct rtnexthop: length, flags, weight - 1, index

# IFLA_INFO_DATA by kind; IFLA_INFO_SLAVE_DATA of a bridge's port.
_DATA = {
    "bridge": Nest(kept(4, 5, 7, 8, 36, 37, 38, 39)),
    "vlan": Nest(kept(1, 2, 5)),
    "macvlan": Nest(kept(1, 2)),
    "macvtap": Nest(kept(1, 2)),
    "ipvlan": Nest(kept(1, 2)),
    "ipvtap": Nest(kept(1, 2)),
    "vrf": Nest(kept(1)),
    "bond": Nest(kept(1, 2, 3)),
    "vxlan": Nest(
        {**kept(1, 3, 5, 6, 7, 8, 10, 15, 25, 29, 34), 2: address, 4: address, 16: address, 17: address}
    ),
    "geneve": Nest({**kept(1, 3, 4, 5, 6, 8, 9, 10, 13, 14), 2: address, 7: address}),
    **dict.fromkeys(
        ("ipip", "sit", "ip6tnl"),
        Nest({**kept(1, 4, 5, 8, 9, 10, 15, 16, 17, 18, 19, 20), 2: address, 3: address}),
    ),
    **dict.fromkeys(
        ("gre", "gretap", "ip6gre", "ip6gretap", "erspan", "ip6erspan"),
        Nest({**kept(1, 2, 3, 4, 5, 8, 9, 10, 14, 15, 16, 17, 18, 19, 20), 6: address, 7: address}),
    ),
}
_PORT = Nest(kept(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 27, 28, 29, 30, 32, 33, 39))
_KIND, _INFO_DATA, _SLAVE_KIND, _SLAVE_DATA = 1, 2, 4, 5
_KINDS = frozenset(_DATA) | {
    *(
        "dummy",
        "veth",
        "ifb",
        "tun",
        "wireguard",
        "netkit",
        "nlmon",
        "vti",
        "vti6",
        "xfrm",
        "team",
        "hsr",
        "cilium",
    ),
    *("openvswitch", "amt", "bareudp", "gtp", "ipoib", "macsec", "can", "vcan", "rmnet", "bridge_slave"),
}


def _text(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode("ascii", "replace")


def _kind(raw: bytes, redactor: Redactor, beside: Mapping[int, bytes]) -> bytes:
    return raw if _text(raw) in _KINDS else word(raw, redactor, beside)


def _info_data(raw: bytes, redactor: Redactor, beside: Mapping[int, bytes]) -> bytes:
    nest = _DATA.get(_text(beside.get(_KIND, b"")))
    return rewrite_attributes(raw, nest, redactor) if nest else b""


def _slave_data(raw: bytes, redactor: Redactor, beside: Mapping[int, bytes]) -> bytes:
    return (
        rewrite_attributes(raw, _PORT, redactor) if _text(beside.get(_SLAVE_KIND, b"")) == "bridge" else b""
    )


_LINKINFO = Nest({_KIND: _kind, _INFO_DATA: _info_data, _SLAVE_KIND: _kind, _SLAVE_DATA: _slave_data})
_LINK = Nest(
    {
        **kept(
            4,
            5,
            10,
            13,
            16,
            17,
            27,
            30,
            31,
            32,
            33,
            35,
            37,
            39,
            40,
            41,
            43,
            47,
            48,
            49,
            50,
            51,
            58,
            59,
            60,
            61,
        ),
        1: address,
        2: address,
        3: word,
        18: _LINKINFO,
        26: Nest(
            {2: keep}
        ),  # AF_BRIDGE's IFLA_AF_SPEC: bridge_vlan_info; other families put nests of their own here
    }
)
_ADDR = Nest({**kept(6, 8, 9), 1: address, 2: address, 3: word, 4: address, 5: address})


def _via(raw: bytes, redactor: Redactor, _beside: Mapping[int, bytes]) -> bytes:
    """Replace RTA_VIA: two bytes of address family before the address."""
    return raw[:2] + redactor.packed(raw[2:])


_HOP = Nest({**kept(11), 5: address, 18: _via})


def _multipath(raw: bytes, redactor: Redactor, _beside: Mapping[int, bytes]) -> bytes:
    """Replace what is in RTA_MULTIPATH: next hops, each with a header and attributes of its own."""
    parts = []
    offset = 0
    while offset + 8 <= len(raw):
        length, flags, weight, index = _NEXTHOP.unpack_from(raw, offset)
        if length < 8 or offset + length > len(raw):
            raise ValueError(f"a next hop of {length} bytes")
        inner = rewrite_attributes(raw[offset + 8 : offset + length], _HOP, redactor)
        parts.append(_NEXTHOP.pack(8 + len(inner), flags, weight, index) + inner)
        offset += (length + 3) & ~3
    return b"".join(parts)


def _route(header: bytes) -> Nest:
    return Nest(
        {
            **kept(3, 4, 6, 8, 11, 12, 15, 16, 20, 23, 30),
            1: network(header[1]),
            2: network(header[2]),
            5: address,
            7: address,
            9: _multipath,
            18: _via,
        }
    )


def _rule(header: bytes) -> Nest:
    rows = kept(4, 6, 10, 11, 12, 13, 14, 15, 16, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30)
    names = {3: word, 17: word}
    return Nest({**rows, **names, 1: network(header[1]), 2: network(header[2])}, unknown=zeros)


_NEIGHBOUR = Nest({**kept(3, 4, 5, 6, 7, 8, 9, 10, 12, 15), 1: address, 2: address})
_QDISC = Nest({1: word})


def _tc_options(raw: bytes, redactor: Redactor, beside: Mapping[int, bytes]) -> bytes:
    """Keep which eBPF program a filter runs; of any other filter, only that it is one."""
    if _text(beside.get(1, b"")) != "bpf":
        return b""
    return rewrite_attributes(raw, Nest({7: word, **kept(8, 9, 11)}), redactor)


_FILTER = Nest({1: word, 2: _tc_options})
_NEXT_HOP = Nest({**kept(1, 2, 3, 4, 5, 9, 10), 6: address})

_TYPES = {
    16: Message(16, _LINK),
    20: Message(8, _ADDR),
    24: Message(12, _route),
    28: Message(12, _NEIGHBOUR),
    32: Message(12, _rule),
    36: Message(20, _QDISC),
    44: Message(20, _FILTER),
    104: Message(8, _NEXT_HOP),
}
"""RTM_NEW* by number."""


def redact_rtnetlink(payload: bytes, redactor: Redactor) -> bytes:
    """Return a dump of rtnetlink without what tells of anybody."""
    return rewrite_dump(payload, _TYPES.get, redactor)
