"""What the tunnels straight over IP share: where they send to, and which device takes a packet at the far end.

Sources: net/ipv4/ip_tunnel.c (ip_tunnel_xmit, ip_tunnel_lookup), net/ipv6/ip6_tunnel.c (ip6_tnl_lookup,
ip6_tnl_xmit).
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

from skoopctl.dataplane.packet import Packet
from skoopctl.dataplane.passage import TooBig
from skoopctl.dataplane.topology import Station
from skoopctl.dataplane.trace import Disposition, Evidence
from skoopctl.dataplane.tunnels.registry import Remote, Sending, Stop, line
from skoopctl.kernel.tunnel import IpTunnel

_CHECKSUM = 1

ByNextHop = Callable[[Sending], tuple[int, tuple[Evidence, ...]]]
"""Where a device without a remote sends to (0: nowhere), and the evidence for it."""


def remote_of(
    sending: Sending, name: str, protocol: int, overhead: int, by_next_hop: ByNextHop
) -> tuple[Remote, ...] | Stop:
    """Return the device's remote; without one, what ``by_next_hop`` makes of the packet's next hop."""
    link, tunnel = sending.link, sending.link.tunnel
    if not isinstance(tunnel, IpTunnel):
        return Stop(Disposition.UNKNOWN, f"what {link.name} is was not read", "evidence-incomplete")
    if tunnel.external:
        reason = f"{link.name} takes its remote from metadata (external), which is not modelled"
        return Stop(Disposition.OPAQUE, reason, "opaque-program")
    if tunnel.wrapped:
        reason = f"{link.name} wraps its packets in UDP (FOU or GUE), which is not modelled"
        return Stop(Disposition.UNKNOWN, reason, "not-decided")
    address, evidence = (
        (tunnel.remote, (describe(sending, tunnel),)) if tunnel.remote else by_next_hop(sending)
    )
    if not address:
        reason = f"{link.name} has no remote, and the route gives no next hop that names one"
        return Stop(Disposition.DROPPED, reason, "tunnel-remote-missing", (describe(sending, tunnel),))
    words = f"{name} to {_text(tunnel.family, address)}"
    remote = Remote(
        address,
        tunnel.family,
        words if tunnel.out_key is None else f"{words} key {tunnel.out_key}",
        overhead,
        source=tunnel.local,
        protocol=protocol,
        number=-1 if tunnel.out_key is None else tunnel.out_key,
        checked=tunnel.out_checked,
        oif=tunnel.lower,
        too_big=_too_big(sending, tunnel),
        evidence=evidence,
    )
    return (remote,)


def _too_big(sending: Sending, tunnel: IpTunnel) -> TooBig:
    """An IPv4 cargo with DF is answered (tnl_update_pmtu); with `ignore-df nopmtudisc` the outer has no DF."""
    if tunnel.family == 4 and tunnel.ignore_df and not tunnel.pmtudisc and sending.packet.family == 4:
        return TooBig.FRAGMENTS
    return TooBig.ERROR


def describe(sending: Sending, tunnel: IpTunnel) -> Evidence:
    """Write the tunnel as ``ip -d link`` does."""
    words = [sending.link.kind]
    words += ["remote", _text(tunnel.family, tunnel.remote) if tunnel.remote else "any"]
    words += ["local", _text(tunnel.family, tunnel.local) if tunnel.local else "any"]
    words += [] if tunnel.in_key is None else ["ikey", str(tunnel.in_key)]
    words += [] if tunnel.out_key is None else ["okey", str(tunnel.out_key)]
    return line(sending.netns, sending.link, " ".join(words))


def gateway(sending: Sending) -> tuple[int, tuple[Evidence, ...]]:
    """A device without a remote sends an IPv4 packet to its next hop: so Calico's tunl0 works (rt_nexthop)."""
    tunnel = sending.link.tunnel
    assert isinstance(tunnel, IpTunnel)  # noqa: S101 - the caller looked
    if sending.packet.family != tunnel.family:
        return 0, ()
    return sending.next_hop, (describe(sending, tunnel),)


def rank(station: Station, outer: Packet, protocols: frozenset[int] | None = None) -> int:
    """Tell how well a device fits: remote and local first, wildcards next, the fallback device last.

    ``protocols`` are the inner protocols that devices of this kind may be limited to.
    """
    tunnel, wrapping = station.link.tunnel, outer.wrapping
    if (
        not isinstance(tunnel, IpTunnel)
        or wrapping is None
        or tunnel.family != outer.family
        or tunnel.wrapped
    ):
        return 0
    if tunnel.external:
        return 2
    if tunnel.remote not in {0, outer.source} or tunnel.local not in {0, outer.destination}:
        return 0
    if protocols is not None and tunnel.protocol not in {0, outer.protocol}:
        return 0
    if not _key_fits(tunnel.in_key, wrapping.number):
        return 0
    if not tunnel.remote and not tunnel.local:
        return 1 if station.link.name.endswith("0") and tunnel.in_key is None else 3
    return 3 + (2 if tunnel.local else 0) + (4 if tunnel.remote else 0)


def _key_fits(wanted: int | None, number: int) -> bool:
    """ip_tunnel_key_match(): a device with a key takes only that key, one without takes only none."""
    return number == (-1 if wanted is None else wanted)


def refuses(station: Station, outer: Packet, _inner: Packet) -> Stop | None:
    """Checksums and sequence numbers that the device requires must be there, and no checksum that it does not.

    net/ipv4/ip_tunnel.c (ip_tunnel_rcv), ip6_tunnel.c (__ip6_tnl_rcv): rx_crc_errors for both.
    """
    tunnel, wrapping = station.link.tunnel, outer.wrapping
    if not isinstance(tunnel, IpTunnel) or wrapping is None or tunnel.external:
        return None
    name = station.link.name
    if tunnel.in_checked & ~wrapping.checked:
        reason = f"{name} requires a checksum or sequence numbers, and the packet has none"
    elif wrapping.checked & _CHECKSUM & ~tunnel.in_checked:
        reason = f"the packet has a GRE checksum, and {name} takes none (icsum is off)"
    else:
        return None
    return Stop(Disposition.DROPPED, reason, "tunnel-not-listening")


def _text(family: int, address: int) -> str:
    return str(IPv4Address(address) if family == 4 else IPv6Address(address))
