"""IPVS in the hooks: requests for a service go to one of its servers, answers get its address back.

Sources: net/netfilter/ipvs/ip_vs_core.c (ip_vs_in_hook, ip_vs_out_hook, ip_vs_schedule, ip_vs_leave),
ip_vs_xmit.c, ip_vs_nfct.c (ip_vs_update_conntrack). Hooks and priorities are the same from 4.18 to 6.x:

* INPUT, after the filter: 98 answers, 99 requests. Only packets for an address of this host come here, so a
  service whose address the host does not have (kube-ipvs0) never sees a packet from outside.
* OUTPUT, just behind DNAT: -99 answers, -98 requests, whoever has the service's address.
* FORWARD: 100 answers (ICMP errors about them too).

A request for a server elsewhere is taken out of the hook (INPUT's NAT and conntrack's confirmation never see
it) and goes through OUTPUT from its first table on, then POSTROUTING: conntrack's entry stays with it, and
FORWARD is not passed.
"""

from __future__ import annotations

from collections.abc import Callable

from skoopctl.dataplane.conntrack import Balanced, CtState, Tracking
from skoopctl.dataplane.packet import Flags, Packet, Ports, Tuple5, Unreachable
from skoopctl.dataplane.rules.ruling import ACCEPT, Action, Ruling
from skoopctl.dataplane.rules.scene import Hook, Scene
from skoopctl.dataplane.rules.scheduling import NOBODY, choose
from skoopctl.dataplane.topology import Topology
from skoopctl.dataplane.trace import Evidence
from skoopctl.kernel.ipvs import Forwarding, VirtualService
from skoopctl.kernel.ipvs_text import server_text, service_name, service_text
from skoopctl.kernel.netns import NetNamespace
from skoopctl.kernel.route import RouteType

_FTP = 21
_BALANCED = frozenset({6, 17, 132})
_LOOPBACK = 127
_SYSCTLS = "net/ipv4/vs/"
Run = Callable[[Scene], Ruling]


def ipvs_hooks(netns: NetNamespace, hook: Hook) -> tuple[tuple[int, Run], ...]:
    """Return IPVS's functions at a hook with their priorities: none in a namespace without services."""
    if not netns.ipvs.services:
        return ()
    return _HOOKS.get(hook, ())


# --- answers --------------------------------------------------------------------------------------------------


def answer(scene: Scene) -> Ruling:
    """Give a server's packet to a client the service's address (ip_vs_out_hook: handle_response).

    Only masqueraded connections are translated (IP_VS_CONN_F_NOOUTPUT); the others answer by themselves.
    """
    packet = scene.packet
    if packet.ipvs:
        return ACCEPT
    if packet.error is not None:
        _translate_error(scene)
        return ACCEPT
    for connection in scene.connections.balanced:
        if connection.method == Forwarding.MASQ and connection.answer.covers(packet.tuple5):
            packet.source = connection.client.destination
            packet.source_ports = connection.client.destination_ports
            packet.ipvs = True
            if not _tracks(scene):
                _untrack(packet)
            scene.evidence.append(_connection_evidence(scene, connection))
            break
    return ACCEPT


def _translate_error(scene: Scene) -> None:
    """Rewrite an ICMP error about a request: it comes from the service then (ip_vs_out_icmp, ip_vs_nat_icmp)."""
    packet = scene.packet
    about = packet.about
    if about is None:
        return
    for connection in scene.connections.balanced:
        if connection.method == Forwarding.MASQ and connection.answer.inverse().covers(about):
            packet.source = connection.client.destination
            packet.about = about._replace(
                destination=connection.client.destination,
                destination_ports=connection.client.destination_ports,
            )
            packet.ipvs = True
            scene.evidence.append(_connection_evidence(scene, connection))
            return


# --- requests -------------------------------------------------------------------------------------------------


def request(scene: Scene) -> Ruling:
    """Find the packet's connection, or make one for a service, and send it on (ip_vs_in_hook)."""
    packet = scene.packet
    if packet.ipvs or packet.error is not None or packet.protocol not in _BALANCED:
        return ACCEPT
    if _value(scene, "backup_only"):
        reason = f"net.ipv4.vs.backup_only is on: whether {scene.netns.host} is a backup was not read"
        scene.unknowns.append(reason)
        if scene.choices.unknown(reason, key=("ipvs-backup", scene.netns.host)):
            return ACCEPT
    connection = next(
        (c for c in scene.connections.balanced if c.client.covers(packet.tuple5)),
        None,
    )
    if connection is not None:
        return _transmit(scene, connection)
    if packet.protocol == 6 and packet.flags is not Flags.SYN and not _is_sloppy(scene):
        return ACCEPT
    service = _find(scene)
    if service is None:
        return _unlisted(scene)
    return _schedule(scene, service)


def _unlisted(scene: Scene) -> Ruling:
    """No service takes the packet, if all services were read."""
    gap = scene.netns.gaps.get("ip_vs")
    if gap is None:
        return ACCEPT
    packet = scene.packet
    where = f"{packet.address(packet.destination)}:{packet.destination_ports}"
    reason = f"whether IPVS of {scene.netns.host} has a service {where} was not read: {gap}"
    if scene.choices.unknown(reason, key=("ipvs-gap", scene.netns.host, packet.destination)):
        return ACCEPT
    return Ruling(Action.DROP, cause="evidence-incomplete", reason=reason, opaque=True)


def _is_sloppy(scene: Scene) -> bool:
    """Tell whether another segment than a SYN begins a connection (tcp_conn_schedule)."""
    return scene.packet.flags is not Flags.RST and bool(_value(scene, "sloppy_tcp"))


def _find(scene: Scene) -> VirtualService | None:
    """Find the service: by mark, by address and port, FTP's, by address alone (ip_vs_service_find)."""
    packet = scene.packet
    services = _index(scene.topology, scene.netns)
    family, ip, port = packet.family, packet.destination, packet.destination_ports.low
    if packet.mark and (found := services.get((family, packet.mark))):
        return found
    found = services.get((family, packet.protocol, ip, port))
    if found is None and packet.protocol == 6 and port >= 1024:  # FTPDATA, or a port for anybody
        found = services.get((family, 6, ip, _FTP))
    return found or services.get((family, packet.protocol, ip, 0))


def _index(topology: Topology, netns: NetNamespace) -> dict[tuple[int, ...], VirtualService]:
    key = ("ipvs", netns.host, netns.inode)
    if key not in topology.caches:
        topology.caches[key] = {service.key: service for service in netns.ipvs.services}
    return topology.caches[key]  # type: ignore[return-value]


def _schedule(scene: Scene, service: VirtualService) -> Ruling:
    """Choose a server for a new connection (ip_vs_schedule); without one the client is told (ip_vs_leave)."""
    packet, netns = scene.packet, scene.netns
    scene.evidence.append(
        Evidence("ipvs-service", service_text(service), "ipvs", node=netns.host, netns=netns.inode)
    )
    port = packet.destination_ports.low
    if service.fwmark == 0 and port != service.port and not service.persistent_s and service.port != _FTP:
        return _nobody(service, "a service for all ports must be persistent")
    if service.port == _FTP and port != _FTP and not service.persistent_s:
        return ACCEPT
    if service.damaged:
        reason = f"a server of {service_name(service)} on {netns.host} could not be read"
        if not scene.choices.unknown(reason, key=("ipvs-damaged", netns.host, service.key)):
            return Ruling(Action.DROP, cause="evidence-incomplete", reason=reason, opaque=True)
    server = choose(scene, service)
    if server is NOBODY or server is None:
        return _nobody(service, _why_nobody(service))
    ports = Ports.of(server.port) if server.port and (service.fwmark or port == service.port) else None
    connection = Balanced(
        packet.tuple5, int(server.ip), ports or packet.destination_ports, server.forwarding.value
    )
    if not ("ops" in service.flags and packet.protocol == 17):
        # A connection for one packet is not kept: an answer to it is nobody's (ip_vs_conn_hash).
        scene.connections.balanced.append(connection)
    text = server_text(service, server)
    scene.evidence.append(Evidence("ipvs-server", text, "ipvs", node=netns.host, netns=netns.inode))
    followed = server.tunnel == "ipip" and packet.family == 4
    remote = not scene.router.is_local(int(server.ip), server.ip.version)
    if server.forwarding is Forwarding.TUNNEL and remote and not followed:
        reason = f"IPVS sends to {server.ip} in a {server.tunnel} tunnel, which is not followed"
        return Ruling(Action.DROP, cause="opaque-program", reason=reason, opaque=True)
    if server.ip.version != packet.family:
        reason = f"IPVS sends to {server.ip}, a server of the other family, which is not modelled"
        return Ruling(Action.DROP, cause="opaque-program", reason=reason, opaque=True)
    return _transmit(scene, connection)


def _why_nobody(service: VirtualService) -> str:
    if not service.servers:
        return "it has no server"
    if all(server.weight == 0 for server in service.servers):
        return "all its servers have weight 0, which takes no new connections"
    return "the scheduler names no server"


def _nobody(service: VirtualService, why: str) -> Ruling:
    """ip_vs_leave: ICMP port unreachable for TCP too, because there is no socket that could reset."""
    reason = f"IPVS has no server for {service_name(service)}: {why}"
    return Ruling(Action.REJECT, Unreachable.PORT, cause="ipvs-no-server", reason=reason)


# --- on the way -----------------------------------------------------------------------------------------------


def _transmit(scene: Scene, connection: Balanced) -> Ruling:
    """Send a packet to its server: into this hook's rest if the server is here, out of it if not."""
    packet = scene.packet
    if connection.method == Forwarding.LOCAL:
        return _mark_done(scene, None)
    way = scene.router.address_type(connection.server, packet.family)
    local = way is RouteType.LOCAL
    if not local and packet.family == 4 and packet.source >> 24 == _LOOPBACK:
        # ip_vs_xmit.c (crosses_local_route_boundary): dropped without a word.
        server = packet.address(connection.server)
        source = packet.address(packet.source)
        reason = f"IPVS does not send a packet from {source} to {server}, which is elsewhere"
        return Ruling(Action.DROP, cause="ipvs-loopback-source", reason=reason)
    if local and packet.family == 4 and connection.server >> 24 == _LOOPBACK and scene.hook is Hook.INPUT:
        reason = f"IPVS does not bring a packet from outside to {packet.address(connection.server)}"
        return Ruling(Action.DROP, cause="ipvs-loopback-source", reason=reason)
    _mark_done(scene, connection)
    if connection.method == Forwarding.MASQ:
        packet.destination = connection.server
        packet.destination_ports = connection.ports
    if not local and scene.hook is Hook.INPUT and packet.ttl:
        packet.ttl = max(packet.ttl - 1, 1)  # decrement_ttl
    tunnelled = connection.method == Forwarding.TUNNEL
    return ACCEPT if local else Ruling(Action.STOLEN, towards=connection.server, tunnelled=tunnelled)


def _mark_done(scene: Scene, connection: Balanced | None) -> Ruling:
    """Settle what conntrack makes of the packet (ip_vs_update_conntrack, ip_vs_notrack).

    With net.ipv4.vs.conntrack, the answer's tuple of a new entry becomes the server's, but no NAT status bit is
    set: ``--ctstate DNAT`` does not match. Without it the packet is UNTRACKED from here on, so that no rule
    masquerades it.
    """
    packet = scene.packet
    packet.ipvs = True
    if not _tracks(scene):
        _untrack(packet)
        return ACCEPT
    tracking = packet.tracking
    entry = tracking.entry if tracking is not None and not tracking.is_reply else None
    if connection is not None and connection.method == Forwarding.MASQ and entry and not entry.confirmed:
        old = entry.reply
        entry.reply = Tuple5(
            old.protocol, connection.server, connection.ports, old.destination, old.destination_ports
        )
    return ACCEPT


def _untrack(packet: Packet) -> None:
    packet.untracked = True
    packet.tracking = Tracking(CtState.UNTRACKED)


def _tracks(scene: Scene) -> bool:
    """Tell whether net.ipv4.vs.conntrack is on; where none of IPVS's switches was read, both ways are walked."""
    value = _value(scene, "conntrack")
    if value is not None:
        return bool(value)
    if _value(scene, "conn_reuse_mode") is not None:
        return False  # a kernel without CONFIG_IP_VS_NFCT
    reason = f"net.ipv4.vs.conntrack of {scene.netns.host} was not read"
    return scene.choices.unknown(reason, key=("ipvs-conntrack", scene.netns.host, scene.netns.inode))


def _value(scene: Scene, name: str) -> int | None:
    return scene.netns.sysctls.integer(_SYSCTLS + name)


def _connection_evidence(scene: Scene, connection: Balanced) -> Evidence:
    packet, client = scene.packet, connection.client
    ends = (
        (client.source, client.source_ports),
        (client.destination, client.destination_ports),
        (connection.server, connection.ports),
    )
    text = " → ".join(f"{packet.address(ip)}:{ports}" for ip, ports in ends)
    return Evidence("ipvs-connection", text, "ipvs", node=scene.netns.host, netns=scene.netns.inode)


_HOOKS: dict[Hook, tuple[tuple[int, Run], ...]] = {
    Hook.INPUT: ((98, answer), (99, request)),
    Hook.OUTPUT: ((-99, answer), (-98, request)),
    Hook.FORWARD: ((100, answer),),
}
