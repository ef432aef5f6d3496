"""The last step in a namespace: INPUT, then a tunnel's device or a socket."""

from __future__ import annotations

from skoopctl.dataplane.hooks import pass_hook
from skoopctl.dataplane.journey import Ending, Journey, gap, sysctl_evidence
from skoopctl.dataplane.moves import Decapsulate, Deliver, Move
from skoopctl.dataplane.opaque import at_socket
from skoopctl.dataplane.packet import Packet, Unreachable
from skoopctl.dataplane.rules.scene import Hook
from skoopctl.dataplane.trace import Disposition, Evidence, StepKind
from skoopctl.kernel.netns import NetNamespace
from skoopctl.kernel.socket import Socket

_SOCKET_PARTS = {
    6: ("tcp", ("proc-net-tcp", "proc-net-tcp6")),
    17: ("udp", ("proc-net-udp", "proc-net-udp6")),
    132: ("sctp", ("proc-net-sctp-eps",)),
}
# net/ipv4/icmp.c (icmp_echo), net/ipv6/icmp.c (icmpv6_rcv). Echo requests, and who may ignore them.
_ECHO = {8: "net/ipv4/icmp_echo_ignore_all", 128: "net/ipv6/icmp/echo_ignore_all"}


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
    if (ended := at_socket(journey, netns, packet, "ingress")) is not None:
        return ended
    if journey.request and packet.protocol in {1, 58} and packet.icmp_type in _ECHO:
        return _to_kernel(journey, netns, packet)
    if not journey.request or packet.protocol not in _SOCKET_PARTS:
        return _delivered(journey, netns, packet, None)
    return _to_socket(journey, netns, packet)


def _to_kernel(journey: Journey, netns: NetNamespace, packet: Packet) -> Ending:
    """The kernel of whoever owns the address answers an echo request, unless it is told not to."""
    path = _ECHO[packet.icmp_type]
    if netns.sysctls.integer(path):
        return journey.end(
            Disposition.DROPPED,
            netns,
            packet,
            "echo requests are ignored here",
            cause="echo-ignored",
            evidence=(sysctl_evidence(netns, path),),
        )
    return _delivered(journey, netns, packet, None)


def _to_socket(journey: Journey, netns: NetNamespace, packet: Packet) -> Ending:
    protocol, parts = _SOCKET_PARTS[packet.protocol]
    socket = find_socket(netns, protocol, packet)
    if socket is not None:
        if socket.dual_stack is not None or packet.family == 6 or int(socket.ip) != 0:
            return _delivered(journey, netns, packet, socket)
        if _takes_ipv4(journey, netns, socket):
            return _delivered(journey, netns, packet, socket)
    missing = [part for part in parts if part in netns.gaps]
    unread = bool(missing) or (protocol == "sctp" and netns.speaks_sctp is None)
    port = packet.destination_ports.low
    if unread:
        reason = f"sockets of {netns.host} ({journey.topology.label(netns)}) were not read"
        if journey.world.choices.unknown(reason, key=("sockets", netns.host, netns.inode, port)):
            return _delivered(journey, netns, packet, None)
    if protocol == "sctp" and netns.speaks_sctp is False:
        return _no_protocol(journey, netns, packet)
    evidence = tuple(gap(netns, part, netns.gaps[part]) for part in missing) or _listeners(netns, protocol)
    return journey.end(
        Disposition.REFUSED,
        netns,
        packet,
        f"nothing listens on {protocol} port {port}",
        cause="no-listener",
        evidence=evidence,
        error=Unreachable.PORT if packet.protocol == 17 else None,
        reset=packet.protocol in {6, 132},
        kind=StepKind.SOCKET,
    )


def _takes_ipv4(journey: Journey, netns: NetNamespace, socket: Socket) -> bool:
    """Settle for an IPv6 wildcard socket whose IPV6_V6ONLY was not read; ``bindv6only`` is its default."""
    name = socket.text.strip() or str(socket.port)
    if netns.sysctls.integer("net/ipv6/bindv6only") != 1:
        journey.world.assume(f"the IPv6 socket {name} takes IPv4 too")
        return True
    reason = f"whether the IPv6 socket {name} takes IPv4 was not read (bindv6only is 1)"
    return journey.world.choices.unknown(reason, key=("v6only", netns.host, netns.inode, name))


def _no_protocol(journey: Journey, netns: NetNamespace, packet: Packet) -> Ending:
    """A kernel without the protocol says so (ip_local_deliver_finish: ICMP protocol unreachable)."""
    return journey.end(
        Disposition.REFUSED,
        netns,
        packet,
        "this kernel has no SCTP, or has not loaded it",
        cause="no-protocol",
        error=Unreachable.PROTO,
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
