"""Geneve: Ethernet over UDP with one remote a device.

Source: drivers/net/geneve.c (geneve_xmit_skb, geneve_lookup: a device takes only what its own remote sent).
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from skoopctl.dataplane.packet import Packet, Ports
from skoopctl.dataplane.passage import TooBig
from skoopctl.dataplane.topology import Station
from skoopctl.dataplane.trace import Disposition
from skoopctl.dataplane.tunnels.registry import (
    Remote,
    Sending,
    Stop,
    Tunnel,
    line,
    register,
    source_ports,
)
from skoopctl.kernel.tunnel import Df, Geneve

_OVERHEAD = {4: 20 + 8 + 8, 6: 40 + 8 + 8}
_ETHERNET = 14


def remotes(sending: Sending) -> tuple[Remote, ...] | Stop:
    """Return the device's one remote."""
    netns, link, geneve = sending.netns, sending.link, sending.link.tunnel
    if not isinstance(geneve, Geneve) or geneve.external:
        reason = f"{link.name} takes its remote from metadata (external), which is not modelled"
        return Stop(Disposition.OPAQUE, reason, "opaque-program")
    if not geneve.remote:
        return Stop(Disposition.DROPPED, f"{link.name} has no remote", "tunnel-remote-missing")
    address = (IPv4Address if geneve.family == 4 else IPv6Address)(geneve.remote)
    words = f"Geneve {geneve.vni} to {address} port {geneve.port}"
    remote = Remote(
        geneve.remote,
        geneve.family,
        words,
        _OVERHEAD[geneve.family] + (0 if geneve.without_ethernet else _ETHERNET),
        source_ports=source_ports(netns, (0, 0)),
        destination_ports=Ports.of(geneve.port),
        number=geneve.vni,
        too_big=TooBig.SILENT if geneve.family == 6 or geneve.df is not Df.UNSET else TooBig.FRAGMENTS,
        evidence=(line(netns, link, f"geneve id {geneve.vni} remote {address} dstport {geneve.port}"),),
    )
    return (remote,)


def takes(station: Station, outer: Packet) -> int:
    """Tell whether a device takes an outer packet: port, VNI, and the sender is the device's remote."""
    geneve, wrapping = station.link.tunnel, outer.wrapping
    if not isinstance(geneve, Geneve) or wrapping is None or geneve.port != outer.destination_ports.low:
        return 0
    if geneve.external:
        return 1
    same = (geneve.family, geneve.vni, geneve.remote) == (outer.family, wrapping.number, outer.source)
    return 2 if same else 0


GENEVE = register(Tunnel("Geneve", frozenset({"geneve"}), remotes, takes, ethernet=True))
