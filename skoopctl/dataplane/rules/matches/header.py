"""Matches on the IP header and on headers behind it: length, tos, dscp, ecn, ttl, hl, tcpmss, IPv6's extensions.

The walk sends plain packets: no fragments, no extension headers, nothing that IPsec has wrapped.
"""

from __future__ import annotations

from collections.abc import Callable

from skoopctl.dataplane.packet import Flags, Packet
from skoopctl.dataplane.rules.matches.registry import NotUnderstoodError, Predicate, inverts, option, whole
from skoopctl.dataplane.rules.scene import Scene
from skoopctl.dataplane.truth import Truth, Unknown
from skoopctl.kernel.iptables import Match, Option

DSCP_CLASSES = {
    "CS0": 0,
    "BE": 0,
    "LE": 1,
    "EF": 46,
    **{f"CS{n}": n * 8 for n in range(1, 8)},
    **{f"AF{n}{m}": n * 8 + m * 2 for n in range(1, 5) for m in range(1, 4)},
}
TOS_NAMES = {
    "Minimize-Delay": 0x10,
    "Maximize-Throughput": 0x08,
    "Maximize-Reliability": 0x04,
    "Minimize-Cost": 0x02,
    "Normal-Service": 0x00,
}
# What Linux sends with its default sysctls, without the IP header: MSS, SACK, timestamps, window scaling.
_TCP_LENGTHS = {Flags.SYN: 40, Flags.SYN_ACK: 40, Flags.ACK: 32, Flags.RST: 20}
_SYN_OPTIONS = frozenset({1, 2, 3, 4, 8})
_ACK_OPTIONS = frozenset({1, 8})
_PER_SOCKET_OPTIONS = frozenset({19, 28, 29, 30, 34, 253, 254})  # MD5, user timeout, AO, MPTCP, fast open


def value_mask(text: str, names: dict[str, int], name_mask: int, mask: int) -> tuple[int, int]:
    """Return value and mask of ``0x10/0x3f``, ``0x10`` or a name."""
    if text in names:
        return names[text], name_mask
    value, slash, given = text.partition("/")
    return int(value, 0), int(given, 0) if slash else mask


def lengths(packet: Packet) -> tuple[int, int]:
    """Return the least and the most octets that the packet may have, with its IP header."""
    header = 20 if packet.family == 4 else 40
    if packet.protocol == 6 and packet.flags in _TCP_LENGTHS:
        exact = header + _TCP_LENGTHS[packet.flags]
        return exact, exact
    if packet.error is not None:
        # icmp_send quotes at most 576 octets, icmpv6_send at most 1280, at least the header and 8 more.
        return (56, 576) if packet.family == 4 else (96, 1280)
    return header + (8 if packet.protocol in {1, 17, 58, 132} else 0), 65535


@option("length", "length")
def length(opt: Option, _match: Match) -> Predicate:
    """``--length LENGTH[:LENGTH]``: octets with the IP header (net/netfilter/xt_length.c)."""
    low_text, colon, high_text = opt.values[0].partition(":")
    low = int(low_text or 0)
    high = int(high_text or 0xFFFF) if colon else low

    def predicate(scene: Scene) -> Truth:
        least, most = lengths(scene.packet)
        if low <= least and most <= high:
            return True
        if most < low or high < least:
            return False
        return Unknown("--length depends on what is sent")

    return predicate


@option("tos", "tos")
def tos(opt: Option, _match: Match) -> Predicate:
    """``--tos VALUE[/MASK]`` or a name."""
    value, mask = value_mask(opt.values[0], TOS_NAMES, 0x3F, 0xFF)
    return lambda scene: (scene.packet.tos & mask) == value


@option("dscp", "dscp", "dscp-class")
def dscp(opt: Option, _match: Match) -> Predicate:
    """``--dscp VALUE`` and ``--dscp-class CLASS``: the upper six bits of the TOS octet."""
    value = dscp_value(opt)
    return lambda scene: scene.packet.tos >> 2 == value


def dscp_value(opt: Option) -> int:
    """Return the six bits that an option names."""
    text = opt.values[0]
    return DSCP_CLASSES[text.upper()] if opt.name.endswith("class") else int(text, 0)


@option("ecn", "ecn-ip-ect")
def ecn_ip(opt: Option, _match: Match) -> Predicate:
    """``--ecn-ip-ect NUMBER``: the lower two bits of the TOS octet."""
    value = int(opt.values[0], 0)
    return lambda scene: scene.packet.tos & 3 == value


@option("ttl", "ttl-eq", "ttl-lt", "ttl-gt")
def ttl(opt: Option, _match: Match) -> Predicate:
    """``--ttl-eq``, ``--ttl-lt``, ``--ttl-gt``."""
    return _compared(opt, "TTL")


@option("hl", "hl-eq", "hl-lt", "hl-gt")
def hop_limit(opt: Option, _match: Match) -> Predicate:
    """``--hl-eq``, ``--hl-lt``, ``--hl-gt``."""
    return _compared(opt, "hop limit")


_COMPARE: dict[str, Callable[[int, int], bool]] = {
    "eq": lambda actual, wanted: actual == wanted,
    "lt": lambda actual, wanted: actual < wanted,
    "gt": lambda actual, wanted: actual > wanted,
}


def _compared(opt: Option, what: str) -> Predicate:
    wanted, compare = int(opt.values[0], 0), _COMPARE[opt.name[-2:]]
    unknown = Unknown(f"the packet's {what} is not known: its sender was not collected")
    return lambda scene: compare(scene.packet.ttl, wanted) if scene.packet.ttl else unknown


@whole("tcpmss", "mss")
def tcpmss(match: Match) -> Predicate:
    """``--mss VALUE[:VALUE]``: a SYN's segment size; a segment without one never matches, unless inverted.

    net/netfilter/xt_tcpmss.c: without the option the match is its ``!``.
    """
    (opt,) = match.options
    low_text, colon, high_text = opt.values[0].partition(":")
    low, high = int(low_text), int(high_text) if colon else int(low_text)

    def predicate(scene: Scene) -> Truth:
        packet = scene.packet
        if packet.protocol != 6 or packet.flags not in {Flags.SYN, Flags.SYN_ACK}:
            return False
        if not packet.mss:
            return Unknown("the segment size that the SYN announces is not known")
        return low <= packet.mss <= high

    return inverts(predicate, opt.inverted)


@option("tcp", "tcp-option")
def tcp_option(opt: Option, _match: Match) -> Predicate:
    """``--tcp-option NUMBER``: those that Linux puts into a SYN and later by default."""
    number = int(opt.values[0], 0)

    def predicate(scene: Scene) -> Truth:
        packet = scene.packet
        if packet.protocol != 6 or packet.flags is Flags.RST:
            return False
        if number in _PER_SOCKET_OPTIONS:
            return Unknown(f"whether a segment has TCP option {number} depends on the program that sends")
        usual = _SYN_OPTIONS if packet.flags in {Flags.SYN, Flags.SYN_ACK} else _ACK_OPTIONS
        return number in usual

    return predicate


# --- headers that plain packets do not have ----------------------------------------------------------------


def _absent(_match: Match) -> Predicate:
    """A header that is not there matches nothing, inverted or not (ipv6_find_hdr fails: return false)."""
    return lambda _scene: False


whole("frag", "fragid", "fraglen", "fragres", "fragfirst", "fragmore", "fraglast")(_absent)
whole("rt", "rt-type", "rt-segsleft", "rt-len", "rt-0-res", "rt-0-addrs", "rt-0-not-strict")(_absent)
whole("hbh", "hbh-len", "hbh-opts")(_absent)
whole("dst", "dst-len", "dst-opts")(_absent)
whole("mh", "mh-type")(_absent)


@whole("ah", "ahspi", "ahlen", "ahres")
def authentication(match: Match) -> Predicate:
    """``--ahspi SPI[:SPI]``: packets of IPsec only."""
    return _of_protocol(match, 51)


@whole("esp", "espspi")
def encrypted(match: Match) -> Predicate:
    """``--espspi SPI[:SPI]``: packets of IPsec only."""
    return _of_protocol(match, 50)


def _of_protocol(match: Match, number: int) -> Predicate:
    unknown = Unknown(f"-m {match.module}: the security parameters of IPsec are not known")
    return lambda scene: (
        unknown if scene.packet.protocol == number and match.options else (scene.packet.protocol == number)
    )


_HEADER_BITS = {
    **dict.fromkeys(("hop", "hop-by-hop", "0"), 128),
    **dict.fromkeys(("dst", "ipv6-opts", "60"), 64),
    **dict.fromkeys(("route", "ipv6-route", "43"), 32),
    **dict.fromkeys(("frag", "ipv6-frag", "44"), 16),
    **dict.fromkeys(("auth", "ah", "51"), 8),
    **dict.fromkeys(("esp", "50"), 4),
    **dict.fromkeys(("none", "ipv6-nonxt", "59"), 2),
    **dict.fromkeys(("prot", "proto", "protocol", "255"), 1),
}
_UPPER = 1


@whole("ipv6header", "header", "soft")
def ipv6header(match: Match) -> Predicate:
    """``[--soft] [!] --header LIST``: a plain packet has its upper protocol (ip6t_ipv6header.c)."""
    by_name = {opt.name: opt for opt in match.options}
    told = by_name["header"]
    wanted = 0
    for name in told.values[0].lower().split(","):
        wanted |= _HEADER_BITS[name]
    flipped = 0xFF if told.inverted else 0
    matched = (_UPPER ^ wanted ^ flipped) & wanted == 0 if "soft" in by_name else wanted ^ flipped == _UPPER
    return lambda _scene: matched


@whole("policy", "dir", "pol", "strict", "next", "reqid", "spi", "proto", "mode", "tunnel-src", "tunnel-dst")
def policy(match: Match) -> Predicate:
    """``--pol none|ipsec``: a packet that IPsec does not handle has no policy (xt_policy.c: policy_mt)."""
    pol = next((opt for opt in match.options if opt.name == "pol"), None)
    if pol is None or pol.inverted or pol.values[0] not in {"none", "ipsec"}:
        raise NotUnderstoodError(match.module)
    result = pol.values[0] == "none"
    return lambda _scene: result
