"""The last step in a namespace: INPUT, then a tunnel's device or a socket."""

from __future__ import annotations

from skoopctl.dataplane.hooks import pass_hook
from skoopctl.dataplane.journey import Ending, Journey, gap
from skoopctl.dataplane.moves import Decapsulate, Deliver, Move
from skoopctl.dataplane.packet import Packet, Unreachable
from skoopctl.dataplane.scene import Hook
from skoopctl.dataplane.trace import Disposition, Evidence, StepKind
from skoopctl.kernel.netns import NetNamespace
from skoopctl.kernel.socket import Socket

_SOCKET_PARTS = {
    6: ("tcp", ("proc-net-tcp", "proc-net-tcp6")),
    17: ("udp", ("proc-net-udp", "proc-net-udp6")),
}


def deliver(journey: Journey, move: Deliver) -> Ending | Move:
    """Take the packet to INPUT and to whoever waits for it."""
    netns, link, packet = move.netns, move.link, move.packet
    ended = pass_hook(journey, netns, packet, Hook.INPUT, in_link=link)
    if ended is not None:
        return ended
    if netns.ipvs_services and not netns.ipvs.services and packet.inner is None:
        reason = f"IPVS has services on {netns.host}, and they could not be read"
        if not journey.world.choices.unknown(reason, key=("ipvs", netns.host)):
            return journey.end(Disposition.OPAQUE, netns, packet, reason, link=link, cause="opaque-program")
    if packet.inner is not None:
        return Decapsulate(netns, link, packet)
    if not journey.request or packet.protocol not in _SOCKET_PARTS:
        return _delivered(journey, netns, packet, None)
    return _to_socket(journey, netns, packet)


def _to_socket(journey: Journey, netns: NetNamespace, packet: Packet) -> Ending:
    protocol, parts = _SOCKET_PARTS[packet.protocol]
    socket = find_socket(netns, protocol, packet)
    if socket is not None:
        if socket.dual_stack is None and packet.family == 4:
            journey.world.assume(f"the IPv6 socket {socket.text.strip() or socket.port} takes IPv4 too")
        return _delivered(journey, netns, packet, socket)
    missing = [part for part in parts if part in netns.gaps]
    port = packet.destination_ports.low
    if missing:
        reason = f"sockets of {netns.host} ({journey.topology.label(netns)}) were not read"
        if journey.world.choices.unknown(reason, key=("sockets", netns.host, netns.inode, port)):
            return _delivered(journey, netns, packet, None)
    evidence = tuple(gap(netns, part, netns.gaps[part]) for part in missing) or _listeners(netns, protocol)
    return journey.end(
        Disposition.REFUSED,
        netns,
        packet,
        f"nothing listens on {protocol} port {port}",
        cause="no-listener",
        evidence=evidence,
        error=None if packet.protocol == 6 else Unreachable.PORT,
        reset=packet.protocol == 6,
        kind=StepKind.SOCKET,
    )


def find_socket(netns: NetNamespace, protocol: str, packet: Packet) -> Socket | None:
    """Return the socket that takes the packet: bound to its address, or to any."""
    found = None
    for socket in netns.sockets:
        if socket.protocol != protocol or socket.port != packet.destination_ports.low:
            continue
        if int(socket.ip) == packet.destination and socket.ip.version == packet.family:
            return socket
        wildcard = int(socket.ip) == 0
        if wildcard and (
            socket.ip.version == packet.family or (packet.family == 4 and socket.dual_stack is not False)
        ):
            found = found or socket
    return found


def _listeners(netns: NetNamespace, protocol: str) -> tuple[Evidence, ...]:
    """Return what does listen, as evidence for what does not."""
    ports = sorted({socket.port for socket in netns.sockets if socket.protocol == protocol})
    listed = ", ".join(str(port) for port in ports[:20]) or "none"
    text = f"listening {protocol} ports: {listed}" + (" …" if len(ports) > 20 else "")
    return (Evidence("socket", text, f"/proc/net/{protocol}", node=netns.host, netns=netns.inode),)


def _delivered(journey: Journey, netns: NetNamespace, packet: Packet, socket: Socket | None) -> Ending:
    evidence: tuple[Evidence, ...] = ()
    decision = "delivered"
    if socket is not None:
        text = socket.text.strip() or f"{socket.protocol} {socket.ip}:{socket.port}"
        place = f"/proc/net/{socket.protocol}{'6' if socket.ip.version == 6 else ''}"
        evidence = (Evidence("socket", text, place, node=netns.host, netns=netns.inode),)
        decision = f"delivered to the socket on {socket.protocol} port {socket.port}"
    return journey.end(
        Disposition.DELIVERED, netns, packet, decision, evidence=evidence, socket=socket, kind=StepKind.SOCKET
    )
