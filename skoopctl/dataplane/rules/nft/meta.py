"""``meta``: what nftables reads of a packet's way: devices, marks, families (net/netfilter/nft_meta.c)."""

from __future__ import annotations

from collections.abc import Callable

from skoopctl.dataplane.routes.realms import UNKNOWN_REALMS
from skoopctl.dataplane.rules.nft import types
from skoopctl.dataplane.rules.nft.compare import WORD, Scalar, Span
from skoopctl.dataplane.rules.nft.fields import AbsentError, Field, Reader, ether_type, unknown
from skoopctl.dataplane.rules.scene import Cast, Hook, Scene
from skoopctl.kernel.link import Link

Side = Callable[[Scene], Link | None]


def _in(scene: Scene) -> Link | None:
    return scene.in_link


def _out(scene: Scene) -> Link | None:
    return scene.out_link


def _index(side: Side) -> Reader:
    return lambda scene: link.index if (link := side(scene)) else 0


def _name(side: Side) -> Reader:
    return lambda scene: link.name if (link := side(scene)) else ""


def _of_device(side: Side, read: Callable[[Link], Scalar]) -> Reader:
    """Read something that only a device has: without one the rule ends."""

    def value(scene: Scene) -> Scalar:
        link = side(scene)
        if link is None:
            raise AbsentError
        return read(link)

    return value


def _kind(link: Link) -> Scalar:
    if not link.kind:
        raise AbsentError
    return link.kind


# ARPHRD_* by the kind of device; what has no kind is a NIC.
_ARPHRD = {
    "ipip": 768,
    "ip6tnl": 769,
    "sit": 776,
    "gre": 778,
    "ip6gre": 823,
    "wireguard": 0xFFFE,
    "tun": 0xFFFE,
}


def _type(link: Link) -> Scalar:
    if link.loopback:
        return 772
    return _ARPHRD.get(link.kind, 1)


def _group(_link: Link) -> Scalar:
    return Span(0, WORD, "the device's group")


def _bridge_of(side: Side) -> Reader:
    """The bridge that a port belongs to (nft_meta_bridge.c)."""

    def value(scene: Scene) -> Scalar:
        link = side(scene)
        master = scene.netns.links.get(link.master) if link is not None and link.master else None
        if master is None or master.kind != "bridge":
            raise AbsentError
        return master.name

    return value


def _l3_device(scene: Scene) -> Link | None:
    """The VRF's member device by which a packet came in (inet_sdif), where there are VRFs at all."""
    link = scene.in_link
    master = scene.netns.links.get(link.master) if link is not None and link.master else None
    return link if master is not None and master.kind == "vrf" else None


def _transport(scene: Scene) -> Scalar:
    """The protocol on top of IP; ARP has none (NFT_PKTINFO_L4PROTO is not set)."""
    if scene.packet.arp:
        raise AbsentError
    return scene.packet.protocol


def _packet_type(scene: Scene) -> Scalar:
    if scene.cast is not Cast.UNICAST:
        return scene.cast.value
    # A bridge's port sees most frames as addressed to somebody else (eth_type_trans); IP gets none of those.
    if scene.in_link is not None and scene.in_link.master and scene.in_link.kind != "bridge":
        return Span(0, 3, "whether the frame is for the port's own address")
    return 0


def _owner(what: str) -> Reader:
    """The local socket's owner: a forwarded packet, or one that just came in, has no socket here."""

    def value(scene: Scene) -> Scalar:
        established = scene.packet.tracking is not None and scene.packet.tracking.state == "ESTABLISHED"
        if scene.hook is Hook.INPUT and established:
            return Span(0, WORD, f"whose socket it is ({what})")
        if scene.hook not in {Hook.OUTPUT, Hook.POSTROUTING} or scene.in_link is not None:
            raise AbsentError
        return Span(0, WORD, f"which program sends ({what})")

    return value


def _realms(scene: Scene) -> Scalar:
    """The realms of the packet's route, which it has none of before the lookup."""
    if scene.bridged:
        return Span(0, WORD, "whether a bridged packet has a route")
    if scene.hook is Hook.PREROUTING and not (scene.in_link is not None and scene.in_link.loopback):
        raise AbsentError
    return Span(0, WORD, UNKNOWN_REALMS) if scene.packet.realms is None else scene.packet.realms


META: dict[str, Field] = {
    "mark": Field(lambda scene: scene.packet.mark, types.MARK),
    "l4proto": Field(_transport, types.PROTOCOL),
    "nfproto": Field(lambda scene: 2 if scene.packet.family == 4 else 10, types.NFPROTO),
    "protocol": Field(ether_type, types.ETHER_TYPE),
    "iif": Field(_index(_in)),
    "oif": Field(_index(_out)),
    "iifname": Field(_name(_in), types.NAME),
    "oifname": Field(_name(_out), types.NAME),
    "iiftype": Field(_of_device(_in, _type), types.DEVICE_TYPE),
    "oiftype": Field(_of_device(_out, _type), types.DEVICE_TYPE),
    "iifkind": Field(_of_device(_in, _kind), types.KIND),
    "oifkind": Field(_of_device(_out, _kind), types.KIND),
    "iifgroup": Field(_of_device(_in, _group), types.DEVICE_GROUP),
    "oifgroup": Field(_of_device(_out, _group), types.DEVICE_GROUP),
    "ibrname": Field(_bridge_of(_in), types.NAME),
    "obrname": Field(_bridge_of(_out), types.NAME),
    "sdif": Field(_index(_l3_device)),
    "sdifname": Field(_name(_l3_device), types.NAME),
    "pkttype": Field(_packet_type, types.PACKET_TYPE),
    "skuid": Field(_owner("skuid")),
    "skgid": Field(_owner("skgid")),
    "cgroup": Field(_owner("cgroup")),
    "length": Field(lambda _scene: Span(20, 0xFFFF, "the packet's length")),
    "cpu": Field(unknown("the processor", WORD)),
    "priority": Field(unknown("the packet's priority", WORD)),
    "rtclassid": Field(_realms, types.REALM),
    "random": Field(unknown("a random number", WORD)),
    "time": Field(unknown("the time", WORD << 32)),
    "hour": Field(unknown("the hour", 86_400)),
    "day": Field(unknown("the day", 6)),
    "ipsec": Field(unknown("whether IPsec has decrypted the packet", 1), types.BOOLEAN),
    "secpath": Field(unknown("whether IPsec has decrypted the packet", 1), types.BOOLEAN),
    "secmark": Field(unknown("the security mark", WORD)),
    "ibrpvid": Field(unknown("the port's VLAN", 4095)),
    "ibrvproto": Field(unknown("the bridge's VLAN protocol", 0xFFFF), types.ETHER_TYPE),
}
