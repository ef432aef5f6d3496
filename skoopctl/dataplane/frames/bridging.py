"""A Linux bridge: ports, the forwarding database, hairpin, and netfilter on bridged packets.

Sources: net/bridge/br_input.c (br_handle_frame_finish), br_forward.c (should_deliver),
br_netfilter_hooks.c (br_nf_pre_routing_finish, br_nf_forward_ip, br_nf_post_routing).
"""

from __future__ import annotations

from skoopctl.dataplane import mtu
from skoopctl.dataplane.frames.arp import resolve
from skoopctl.dataplane.frames.stacking import uppers, vlan_device
from skoopctl.dataplane.frames.vlans import UNREAD, Passage, egress, ingress, membership_text
from skoopctl.dataplane.hooks import pass_device_chains, pass_hook
from skoopctl.dataplane.ip.forwarding import forwards
from skoopctl.dataplane.journey import Ending, Journey, link_evidence
from skoopctl.dataplane.moves import (
    Arrive,
    Cross,
    Encapsulate,
    IntoBridge,
    LeaveHost,
    Move,
    OutOfBridge,
    Receive,
)
from skoopctl.dataplane.opaque import at_device
from skoopctl.dataplane.packet import Packet, Unreachable
from skoopctl.dataplane.routes.routing import Query
from skoopctl.dataplane.rules.scene import Hook
from skoopctl.dataplane.topology import Station, Topology
from skoopctl.dataplane.trace import Disposition, Evidence, StepKind
from skoopctl.dataplane.tunnels import TUNNELS
from skoopctl.kernel.link import Link, PortState
from skoopctl.kernel.netns import NetNamespace
from skoopctl.kernel.route import RouteType


def calls_netfilter(netns: NetNamespace, bridge: Station, family: int, tag: int = 0) -> bool:
    """Tell whether bridged packets meet iptables (``bridge-nf-call-iptables``, or the bridge's own flag).

    Frames with a VLAN tag do only with ``bridge-nf-filter-vlan-tagged`` (is_vlan_ip).
    """
    if tag and netns.sysctls.integer("net/bridge/bridge-nf-filter-vlan-tagged") != 1:
        return False
    name = "iptables" if family == 4 else "ip6tables"
    own = bridge.link.bridge
    flagged = own is not None and (own.nf_call_iptables if family == 4 else own.nf_call_ip6tables)
    return flagged or netns.sysctls.integer(f"net/bridge/bridge-nf-call-{name}") == 1


def into_bridge(journey: Journey, move: IntoBridge) -> Ending | Move:
    """A frame comes in on a port."""
    port, bridge, packet, mac = move.port, move.bridge, move.packet, move.mac
    netns = port.netns
    closed = _closed(journey, port, bridge, packet)
    if closed is not None:
        return closed
    ended: Ending | Move | None = pass_device_chains(
        journey, netns, packet, "bridge", "prerouting", in_link=port.link
    )
    if ended is not None:
        return ended
    filtered = calls_netfilter(netns, bridge, packet.family, packet.vlan)
    if filtered:
        packet.bridge_port = port.link.index
        destination = packet.destination
        in_link = _input_device(journey, bridge, packet)
        ended = pass_hook(journey, netns, packet, Hook.PREROUTING, in_link=in_link, in_port=port.link)
        if ended is not None:
            return ended
        if packet.destination != destination:
            redirected = _after_dnat(journey, bridge, packet)
            if isinstance(redirected, Ending):
                return redirected
            mac = packet.destination_mac = redirected
    admitted = ingress(bridge.link, port.link, packet.vlan)
    barred = _vlan_ends(journey, bridge, port, packet, admitted, packet.vlan)
    if barred is not None:
        return barred
    if mac in {"", bridge.link.mac} or _is_own(netns, bridge, mac, admitted.vlan):
        return _upwards(journey, bridge, port, packet, admitted.vlan, filtered)
    return _forward(journey, bridge, port, packet, mac, admitted.vlan)


def _input_device(journey: Journey, bridge: Station, packet: Packet) -> Link:
    """Return what rules see as the input device: with bridge-nf-pass-vlan-input-dev, the bridge's VLAN device."""
    if packet.vlan and bridge.netns.sysctls.integer("net/bridge/bridge-nf-pass-vlan-input-dev") == 1:
        above = vlan_device(journey.topology, bridge, packet.vlan)
        if above is not None and above.key == bridge.key:
            return above.link
    return bridge.link


def _upwards(
    journey: Journey, bridge: Station, port: Station, packet: Packet, vlan: int, filtered: bool
) -> Ending | Move:
    """The frame is for the host itself: to the bridge's device, or to a VLAN device on it."""
    netns = bridge.netns
    passage = egress(bridge.link, bridge.link, vlan, packet.vlan)
    ended = _vlan_ends(journey, bridge, bridge, packet, passage, vlan)
    if ended is not None:
        return ended
    packet.vlan = passage.vlan
    stopped = pass_device_chains(journey, netns, packet, "bridge", "input", in_link=port.link)
    if stopped is not None:
        return stopped
    journey.step(StepKind.BRIDGE, netns, port.link, f"to {bridge.link.name} itself", packet)
    if packet.vlan:
        return Arrive(netns, bridge.link, packet, bridge.link.mac, above_bridge=True)
    # br_netif_receive_skb: the frame is received once more, on the bridge's own device.
    stopped = at_device(journey, netns, bridge.link, packet, "into") or pass_device_chains(
        journey, netns, packet, "netdev", "ingress", in_link=bridge.link
    )
    if stopped is not None:
        return stopped
    return Receive(netns, bridge.link, packet, prerouted=filtered, in_port=port.link)


def _vlan_ends(
    journey: Journey, bridge: Station, port: Station, packet: Packet, passage: Passage, vlan: int
) -> Ending | None:
    """End at a port that is no member of a frame's VLAN; one whose VLANs were not read may be."""
    name = port.link.name
    if passage.allowed is None:
        reason = f"the VLANs of {name} on {port.netns.host} were not read"
        if journey.world.choices.unknown(reason, key=("vlans", port.key, port.link.index, vlan)):
            return None
    elif passage.allowed:
        return None
    frames = f"VLAN {vlan}" if vlan > 0 else "untagged frames"
    return journey.end(
        Disposition.DROPPED,
        port.netns,
        packet,
        f"{name} of {bridge.link.name} is no member of {frames}",
        cause="vlan-not-allowed",
        link=port.link,
        evidence=(link_evidence(port.netns, port.link, membership_text(port.link)),),
        kind=StepKind.BRIDGE,
    )


def out_of_bridge(journey: Journey, move: OutOfBridge) -> Ending | Move:
    """The host itself sends out of its bridge."""
    bridge, packet, mac, next_hop = move.bridge, move.packet, move.mac, move.next_hop
    if not mac:
        return LeaveHost(bridge, packet, mac, next_hop)
    admitted = ingress(bridge.link, bridge.link, packet.vlan)
    ended = _vlan_ends(journey, bridge, bridge, packet, admitted, packet.vlan)
    if ended is not None:
        return ended
    return _forward(journey, bridge, None, packet, mac, admitted.vlan, next_hop)


def _closed(journey: Journey, port: Station, bridge: Station, packet: Packet) -> Ending | None:
    """A bridge that is down, or a port that does not forward, takes nothing in."""
    state = port.link.port.state if port.link.port else PortState.FORWARDING
    if bridge.link.up and state is PortState.FORWARDING:
        return _locked(journey, port, packet)
    reason = f"{bridge.link.name} is down"
    if bridge.link.up:
        reason = f"the bridge port {port.link.name} is {state.name.lower()}"
    evidence = (link_evidence(port.netns, bridge.link),)
    return journey.end(
        Disposition.DROPPED,
        port.netns,
        packet,
        reason,
        link=port.link,
        evidence=evidence,
        cause="bridge-port-closed",
    )


def _locked(journey: Journey, port: Station, packet: Packet) -> Ending | None:
    """A locked port takes only sources that its own entries know, which the walk does not follow."""
    name = port.link.name
    reason = f"the bridge port {name} is locked: whether it takes this source is not followed"
    if port.link.port is None or not port.link.port.locked:
        return None
    if journey.world.choices.unknown(reason, key=("locked", port.key, port.link.index)):
        return None
    cause = "bridge-port-closed"
    return journey.end(Disposition.DROPPED, port.netns, packet, reason, link=port.link, cause=cause)


def _after_dnat(journey: Journey, bridge: Station, packet: Packet) -> str | Ending:
    """Return the MAC to go on with after DNAT in the bridge: the new endpoint's, or the bridge's own."""
    netns = bridge.netns
    if forwards(netns, bridge.link, packet.family) is False:
        # The input lookup then gives a route that only rejects: the frame goes up to it (ip_route_input_slow).
        return bridge.link.mac
    query = Query(packet.destination, packet.family, packet.source, iif=bridge.link.name, mark=packet.mark)
    found = journey.topology.router(netns).lookup(query)
    if found.type is not RouteType.UNICAST or all(hop.index != bridge.link.index for hop in found.hops):
        return bridge.link.mac
    hop = found.hops[0]
    next_hop = int(hop.gateway) if hop.gateway is not None else packet.destination
    resolved = resolve(journey.topology, bridge, next_hop, packet.family, packet.source)
    if resolved is None:
        target = packet.address(next_hop)
        return journey.end(
            Disposition.HOST_UNREACHABLE,
            netns,
            packet,
            f"nobody answers for {target} on {bridge.link.name}",
            cause="neighbour-unreachable",
            link=bridge.link,
            error=Unreachable.HOST,
            kind=StepKind.NEIGHBOUR,
        )
    return resolved.mac


def _is_own(netns: NetNamespace, bridge: Station, mac: str, vlan: int) -> bool:
    """Tell whether a MAC belongs to the bridge: a local entry of one of its ports, in the frame's VLAN."""
    return any(
        e.master == bridge.link.index and e.mac == mac and e.local and (e.vlan in {0, vlan} or vlan == UNREAD)
        for e in netns.fdb
    )


def _forward(
    journey: Journey,
    bridge: Station,
    port: Station | None,
    packet: Packet,
    mac: str,
    vlan: int,
    next_hop: int = 0,
) -> Ending | Move:
    """Find the port for a MAC and send the frame out of it."""
    netns = bridge.netns
    out, evidence = _out_port(journey, bridge, port, mac, vlan)
    if out is None:
        return journey.end(
            Disposition.DROPPED,
            netns,
            packet,
            f"no port of {bridge.link.name} leads to {mac}",
            cause="bridge-port-closed",
            link=bridge.link,
            evidence=evidence,
            kind=StepKind.BRIDGE,
        )
    refused = _refuses(bridge, port, out)
    if refused:
        return journey.end(
            Disposition.DROPPED,
            netns,
            packet,
            refused,
            cause="hairpin-off" if "hairpin" in refused else "bridge-port-closed",
            link=out.link,
            evidence=(*evidence, *_port_evidence(out)),
            kind=StepKind.BRIDGE,
        )
    passage = egress(bridge.link, out.link, vlan, packet.vlan)
    barred = _vlan_ends(journey, bridge, out, packet, passage, vlan)
    if barred is not None:
        return barred
    packet.vlan = passage.vlan
    journey.step(
        StepKind.BRIDGE, netns, bridge.link, f"{mac} is behind {out.link.name}", packet, evidence=evidence
    )
    ended = _out_hooks(journey, bridge, port, out, packet)
    if ended is not None:
        return ended
    # br_dev_queue_push_xmit: a port sends like any device.
    ended = at_device(journey, netns, out.link, packet, "out of") or pass_device_chains(
        journey, netns, packet, "netdev", "egress", out_link=out.link
    )
    if ended is not None:
        return ended
    mtu.at_frame(journey, out, packet)
    if out.link.kind in TUNNELS:
        return Encapsulate(netns, out.link, packet, mac, next_hop or packet.destination)
    peer = journey.topology.peer(out)
    if peer is not None:
        return Cross(out, peer, packet, mac)
    return LeaveHost(out, packet, mac, next_hop or packet.destination)


def _out_hooks(
    journey: Journey, bridge: Station, port: Station | None, out: Station, packet: Packet
) -> Ending | Move | None:
    """The hooks on the way out of a port: FORWARD, or OUTPUT for the host's own frames, then POSTROUTING."""
    netns = bridge.netns
    if port is not None:
        ended = _bridged_hooks(journey, bridge, port, out, packet)
    else:
        ended = pass_device_chains(journey, netns, packet, "bridge", "output", out_link=out.link)
    if ended is not None:
        return ended
    return pass_device_chains(journey, netns, packet, "bridge", "postrouting", out_link=out.link)


def _bridged_hooks(
    journey: Journey, bridge: Station, port: Station, out: Station, packet: Packet
) -> Ending | Move | None:
    """FORWARD and POSTROUTING for a packet that stays in the bridge."""
    netns = bridge.netns
    ended: Ending | Move | None = pass_device_chains(
        journey, netns, packet, "bridge", "forward", in_link=port.link, out_link=out.link
    )
    if ended is not None or not calls_netfilter(netns, bridge, packet.family, packet.vlan):
        return ended
    ended = pass_hook(
        journey,
        netns,
        packet,
        Hook.FORWARD,
        in_link=bridge.link,
        out_link=bridge.link,
        in_port=port.link,
        out_port=out.link,
    )
    if ended is not None:
        return ended
    return pass_hook(
        journey,
        netns,
        packet,
        Hook.POSTROUTING,
        out_link=bridge.link,
        in_port=port.link,
        out_port=out.link,
        next_hop=packet.destination,
    )


def _out_port(
    journey: Journey, bridge: Station, port: Station | None, mac: str, vlan: int
) -> tuple[Station | None, tuple[Evidence, ...]]:
    """Return the port for a MAC: by the database, else by flooding to whoever has that MAC."""
    netns = bridge.netns
    moved = _moved_to(journey, bridge, mac)
    for entry in netns.fdb:
        here = entry.master == bridge.link.index and entry.index in netns.links
        if entry.mac == mac and here and vlan in {entry.vlan, UNREAD} and moved in {0, entry.index}:
            evidence = (Evidence("fdb", entry.text, bridge.link.name, node=netns.host, netns=netns.inode),)
            return Station(netns, netns.links[entry.index]), evidence
    for candidate in journey.topology.ports(bridge):
        peer = journey.topology.peer(candidate)
        if peer is None or not _is_behind(journey.topology, peer, mac):
            continue
        info = candidate.link.port
        # What has sent a frame in this exchange was learned from it (br_fdb_update); others are flooded to.
        learned = mac in journey.world.heard or (port is not None and candidate.link.index == port.link.index)
        if info is None or info.flood or (learned and info.learning):
            return candidate, ()
    outward = [
        p
        for p in journey.topology.ports(bridge)
        if journey.topology.peer(p) is None and p.link.up and p != port
    ]
    members = [p for p in outward if egress(bridge.link, p.link, vlan, 0).allowed is not False]
    chosen = members or outward
    return (chosen[0], ()) if chosen else (None, ())


def _moved_to(journey: Journey, bridge: Station, mac: str) -> int:
    """Return the port by which an address has sent a frame, if the port learns: even a static entry follows it there.

    br_fdb_update: only an entry that is sticky, or the bridge's own, stays. 0: the database is as it was.
    """
    if mac not in journey.world.heard:
        return 0
    for port in journey.topology.ports(bridge):
        end, info = journey.topology.peer(port), port.link.port
        learns = info is not None and info.learning and not _refuses(bridge, None, port)
        if learns and end is not None and _is_behind(journey.topology, end, mac):
            return port.link.index
    return 0


def _is_behind(topology: Topology, peer: Station, mac: str) -> bool:
    """Tell whether the device at a port's far end, or one on top of it, has a MAC address."""
    return peer.link.mac == mac or any(upper.link.mac == mac for upper in uppers(topology, peer))


def _refuses(bridge: Station, port: Station | None, out: Station) -> str:
    """Say why a port does not send (should_deliver), or '' when it does."""
    state = out.link.port.state if out.link.port else PortState.FORWARDING
    if not bridge.link.up:
        return f"{bridge.link.name} is down"
    if not out.link.up:
        return f"the bridge port {out.link.name} is down"
    if state is not PortState.FORWARDING:
        return f"the bridge port {out.link.name} is {state.name.lower()}"
    if port is None:
        return ""
    if port.link.index == out.link.index and not (out.link.port and out.link.port.hairpin):
        return f"the packet would leave by the port it came in on, and hairpin is off on {out.link.name}"
    both = [p.link.port for p in (port, out)]
    if all(p is not None and p.isolated for p in both):
        return f"{port.link.name} and {out.link.name} are isolated from each other"
    return ""


def _port_evidence(out: Station) -> tuple[Evidence, ...]:
    info = out.link.port
    text = f"{out.link.name}: hairpin {'on' if info and info.hairpin else 'off'}"
    return (link_evidence(out.netns, out.link, text),)
