"""The data types of nftables: what names and literals in a ruleset mean as numbers.

``nft -j`` prints a name where it knows one and a number where it does not, so both must end as the same value.
Names are those of nftables' src/datatype.c, src/proto.c, src/ct.c, src/meta.c and src/fib.c.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address

from skoopctl.dataplane.packet import PROTOCOL_NUMBERS


class UnclearError(Exception):
    """The value is outside the model; the text says why."""


@dataclass(frozen=True)
class Datatype:
    """One type. ``text`` values stay strings (device names); ``flags`` are bits that a list of names ors."""

    name: str
    symbols: Mapping[str, int] = field(default_factory=dict)
    text: bool = False
    flags: bool = False

    def value(self, raw: str | int | bool) -> int | str:
        """Return a literal of this type; raises `UnclearError` for a name that nobody knows."""
        if self.text:
            return str(raw)
        if isinstance(raw, int):
            return int(raw)
        known = self.symbols.get(raw)
        if known is not None:
            return known
        number = number_of(raw)
        if number is None:
            raise UnclearError(f"{raw!r} is not a known {self.name}")
        return number


def number_of(raw: str) -> int | None:
    """Return the number of an address, a MAC address or digits, or None."""
    if raw.isdigit():
        return int(raw)
    try:
        if raw.count(":") == 5 and "::" not in raw and len(raw) == 17:
            return int(raw.replace(":", ""), 16)
        return int(ip_address(raw)) if "." in raw or ":" in raw else int(raw, 0)
    except ValueError:
        return None


INTEGER = Datatype("number")
ADDRESS = Datatype("address")
MAC = Datatype("MAC address")
PORT = Datatype("port")
MARK = Datatype("mark")
NAME = Datatype("device name", text=True)
KIND = Datatype("kind of device", text=True)
BOOLEAN = Datatype("boolean", {"exists": 1, "missing": 0})
PROTOCOL = Datatype("protocol", {**PROTOCOL_NUMBERS, "ipv6-icmp": 58, "icmpv6": 58, "dccp": 33, "comp": 108})
CT_STATE = Datatype(
    "conntrack state",
    {"invalid": 1, "established": 2, "related": 4, "new": 8, "untracked": 64},
    flags=True,
)
CT_STATUS = Datatype(
    "conntrack status",
    {
        "expected": 1,
        "seen-reply": 2,
        "assured": 4,
        "confirmed": 8,
        "snat": 16,
        "dnat": 32,
        "dying": 512,
    },
    flags=True,
)
CT_DIRECTION = Datatype("conntrack direction", {"original": 0, "reply": 1})
NFPROTO = Datatype("protocol family", {"ipv4": 2, "ipv6": 10})
ARP_OPERATION = Datatype(
    "ARP operation",
    {"request": 1, "reply": 2, "rrequest": 3, "rreply": 4, "inrequest": 8, "inreply": 9, "nak": 10},
)
ETHER_TYPE = Datatype(
    "EtherType",
    {
        "ip": 0x0800,
        "ipv4": 0x0800,
        "ip6": 0x86DD,
        "ipv6": 0x86DD,
        "arp": 0x0806,
        "vlan": 0x8100,
        "8021q": 0x8100,
        "8021ad": 0x88A8,
    },
)
TCP_FLAGS = Datatype(
    "TCP flag",
    {"fin": 1, "syn": 2, "rst": 4, "psh": 8, "ack": 16, "urg": 32, "ecn": 64, "ece": 64, "cwr": 128},
    flags=True,
)
ICMP_TYPE = Datatype(
    "ICMP type",
    {
        "echo-reply": 0,
        "destination-unreachable": 3,
        "source-quench": 4,
        "redirect": 5,
        "echo-request": 8,
        "router-advertisement": 9,
        "router-solicitation": 10,
        "time-exceeded": 11,
        "parameter-problem": 12,
        "timestamp-request": 13,
        "timestamp-reply": 14,
        "info-request": 15,
        "info-reply": 16,
        "address-mask-request": 17,
        "address-mask-reply": 18,
    },
)
ICMP_CODE = Datatype(
    "ICMP code",
    {
        "net-unreachable": 0,
        "host-unreachable": 1,
        "prot-unreachable": 2,
        "port-unreachable": 3,
        "frag-needed": 4,
        "net-prohibited": 9,
        "host-prohibited": 10,
        "admin-prohibited": 13,
    },
)
ICMPV6_TYPE = Datatype(
    "ICMPv6 type",
    {
        "destination-unreachable": 1,
        "packet-too-big": 2,
        "time-exceeded": 3,
        "parameter-problem": 4,
        "echo-request": 128,
        "echo-reply": 129,
        "mld-listener-query": 130,
        "mld-listener-report": 131,
        "mld-listener-done": 132,
        "mld-listener-reduction": 132,
        "nd-router-solicit": 133,
        "nd-router-advert": 134,
        "nd-neighbor-solicit": 135,
        "nd-neighbor-advert": 136,
        "nd-redirect": 137,
        "router-renumbering": 138,
        "ind-neighbor-solicit": 141,
        "ind-neighbor-advert": 142,
        "mld2-listener-report": 143,
    },
)
ICMPV6_CODE = Datatype(
    "ICMPv6 code",
    {
        "no-route": 0,
        "admin-prohibited": 1,
        "addr-unreachable": 3,
        "port-unreachable": 4,
        "policy-fail": 5,
        "reject-route": 6,
    },
)
DSCP = Datatype(
    "DSCP",
    {
        "cs0": 0,
        "df": 0,
        "be": 0,
        "lephb": 1,
        "va": 0x2C,
        "ef": 0x2E,
        **{f"cs{n}": n << 3 for n in range(1, 8)},
        **{f"af{c}{d}": c << 3 | d << 1 for c in range(1, 5) for d in range(1, 4)},
    },
)
ECN = Datatype("ECN", {"not-ect": 0, "ect1": 1, "ect0": 2, "ce": 3})
# include/uapi/linux/if_arp.h
DEVICE_TYPE = Datatype(
    "type of device",
    {"ether": 1, "ppp": 512, "ipip": 768, "ipip6": 769, "loopback": 772, "sit": 776, "ipgre": 778},
)
# include/uapi/linux/if_packet.h
PACKET_TYPE = Datatype(
    "packet type",
    {"host": 0, "unicast": 0, "broadcast": 1, "multicast": 2, "other": 3, "otherhost": 3, "outgoing": 4},
)
# include/uapi/linux/rtnetlink.h: RTN_*
FIB_TYPE = Datatype(
    "address type",
    {
        "unspec": 0,
        "unicast": 1,
        "local": 2,
        "broadcast": 3,
        "anycast": 4,
        "multicast": 5,
        "blackhole": 6,
        "unreachable": 7,
        "prohibit": 8,
        "throw": 9,
        "nat": 10,
    },
)
REALM = Datatype("realm", {"cosmos": 0})
DEVICE_GROUP = Datatype("device group", {"default": 0})
