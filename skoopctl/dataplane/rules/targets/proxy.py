"""Targets that hand the packet to something local: TPROXY, SYNPROXY; and NETMAP (iptables-extensions(8))."""

from __future__ import annotations

from ipaddress import ip_address

from skoopctl.dataplane.conntrack import bind_destination, bind_source
from skoopctl.dataplane.rules.matches.address import network_of
from skoopctl.dataplane.rules.matches.connection import value_and_mask
from skoopctl.dataplane.rules.ruling import ACCEPT, DROP, Ruling
from skoopctl.dataplane.rules.scene import Hook, Scene
from skoopctl.dataplane.rules.targets.registry import nat_entry, options_of, target
from skoopctl.kernel.iptables import Target
from skoopctl.kernel.socket import Socket

_WORD = 0xFFFFFFFF


@target("NETMAP")
def netmap(scene: Scene, item: Target) -> Ruling:
    """``--to ADDRESS[/MASK]``: the network part becomes another, the host part stays (xt_NETMAP.c)."""
    entry = nat_entry(scene)
    if entry is not None:
        base, mask = network_of(options_of(item)["to"])
        packet = scene.packet
        if scene.hook in {Hook.PREROUTING, Hook.OUTPUT}:
            bind_destination(entry, packet.destination & ~mask | base, packet.destination_ports)
        else:
            bind_source(entry, packet.source & ~mask | base, packet.source_ports)
    return ACCEPT


@target("TPROXY")
def tproxy(scene: Scene, item: Target) -> Ruling:
    """``--on-port --on-ip --tproxy-mark``: to a local socket, unchanged; without one it is dropped (xt_TPROXY.c).

    The mark decides by a policy rule that the packet is for this host; who answers then is the proxy.
    """
    values = options_of(item)
    port = int(values.get("on-port", "0"), 0) or scene.packet.destination_ports.low
    address = int(ip_address(values["on-ip"])) if "on-ip" in values else 0
    protocol = {6: "tcp", 17: "udp"}.get(scene.packet.protocol, "")
    parts = [part for part in scene.netns.gaps if part.startswith(f"proc-net-{protocol}")]
    if not any(_takes(socket, protocol, port, address) for socket in scene.netns.sockets):
        if not parts:
            scene.notes.append(f"TPROXY: nothing listens on {protocol} port {port}, the kernel drops")
            return DROP
        reason = f"TPROXY: sockets of {scene.netns.host} were not read"
        scene.unknowns.append(reason)
        if not scene.choices.unknown(reason, key=("tproxy", scene.netns.inode, port)):
            return DROP
    if "tproxy-mark" in values:
        value, mask = value_and_mask(values["tproxy-mark"])
        scene.packet.mark = (scene.packet.mark & ~mask & _WORD) ^ value
    reason = f"TPROXY hands the packet to the program on port {port}, and what it does is not known"
    scene.unknowns.append(reason)
    return ACCEPT if scene.choices.unknown(reason, key=("tproxy to", scene.netns.inode, port)) else DROP


def _takes(socket: Socket, protocol: str, port: int, address: int) -> bool:
    return socket.protocol == protocol and socket.port == port and int(socket.ip) in {0, address}


@target("SYNPROXY")
def synproxy(scene: Scene, item: Target) -> Ruling:
    """The kernel answers the SYN itself, and opens the connection to the server later (xt_SYNPROXY.c)."""
    reason = f"{item.name}: the kernel answers in the server's place"
    scene.unknowns.append(reason)
    return ACCEPT if scene.choices.unknown(reason, key=("synproxy", scene.netns.inode)) else DROP
