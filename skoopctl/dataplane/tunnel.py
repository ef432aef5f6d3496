"""VXLAN: a packet on the tunnel's device becomes the cargo of a new outer packet, which goes its own way.

Source: drivers/net/vxlan/vxlan_core.c (vxlan_xmit, vxlan_rcv).
"""

from __future__ import annotations

from ipaddress import ip_address

from skoopctl.dataplane.journey import Ending, Journey
from skoopctl.dataplane.moves import Arrive, Decapsulate, Encapsulate, Move, Send
from skoopctl.dataplane.packet import Packet, Ports, Unreachable
from skoopctl.dataplane.trace import Disposition, Evidence, StepKind
from skoopctl.kernel.link import Link
from skoopctl.kernel.neighbour import FdbEntry
from skoopctl.kernel.netns import NetNamespace

_ALL_ZERO = "00:00:00:00:00:00"
_DEFAULT_PORTS = Ports(32768, 60999)


def encapsulate(journey: Journey, move: Encapsulate) -> Ending | Move:
    """Wrap the packet for the remote that the forwarding database names for ``mac``, and send it."""
    netns, link, packet, mac = move.netns, move.link, move.packet, move.mac
    vxlan = link.vxlan
    if vxlan is None or vxlan.external:
        reason = f"{link.name} takes its remote from metadata (external), which is not modelled"
        return journey.end(Disposition.OPAQUE, netns, packet, reason, link=link, cause="opaque-program")
    remote, entry = _remote(netns, link, mac)
    if remote is None:
        return journey.end(
            Disposition.DROPPED,
            netns,
            packet,
            f"{link.name} has no forwarding entry for {mac}: the kernel does not know which node to send to",
            cause="fdb-entry-missing",
            link=link,
            evidence=_fdb_evidence(netns, link),
            kind=StepKind.ENCAPSULATE,
        )
    outer = Packet(
        family=4,
        source=_address(vxlan.local),
        destination=remote,
        protocol=17,
        source_ports=_source_ports(netns, vxlan.port_range),
        destination_ports=Ports.of(vxlan.port),
        mark=packet.mark,
        ipvs=packet.ipvs,  # skb_scrub_packet keeps both within a namespace
        inner=packet,
        inner_mac=mac,
        vni=vxlan.vni,
    )
    evidence = (Evidence("fdb", entry.text, link.name, node=netns.host, netns=netns.inode),) if entry else ()
    decision = f"VXLAN {vxlan.vni} to {outer.address(remote)} port {vxlan.port}"
    journey.depth += 1
    journey.step(StepKind.ENCAPSULATE, netns, link, decision, outer, evidence=evidence)
    return Send(netns, outer, vxlan.lower)


def decapsulate(journey: Journey, move: Decapsulate) -> Ending | Move:
    """Take the cargo out at the device that listens for it, and receive it there."""
    netns, link, outer = move.netns, move.link, move.packet
    inner = outer.inner
    assert inner is not None  # noqa: S101 - the caller looked
    device = next(
        (
            candidate
            for candidate in netns.links.values()
            if candidate.vxlan is not None
            and candidate.up
            and candidate.vxlan.port == outer.destination_ports.low
            and candidate.vxlan.vni == outer.vni
        ),
        None,
    )
    if device is None:
        port = outer.destination_ports.low
        return journey.end(
            Disposition.REFUSED,
            netns,
            outer,
            f"no VXLAN device for VNI {outer.vni} listens on UDP port {port}",
            cause="tunnel-not-listening",
            link=link,
            error=Unreachable.PORT,
            kind=StepKind.DECAPSULATE,
        )
    journey.depth -= 1
    cargo = inner.copy()
    cargo.mark, cargo.tracking, cargo.untracked, cargo.zone = outer.mark, None, False, 0
    journey.step(StepKind.DECAPSULATE, netns, device, f"VXLAN {outer.vni} unwrapped", cargo)
    return Arrive(netns, device, cargo, outer.inner_mac)


def _remote(netns: NetNamespace, link: Link, mac: str) -> tuple[int | None, FdbEntry | None]:
    """Return the remote for a MAC: its own entry, the all-zero entry, or the device's default."""
    entries = [e for e in netns.fdb if e.index == link.index and e.remote is not None]
    for wanted in (mac, _ALL_ZERO):
        for entry in entries:
            if entry.mac == wanted and entry.remote is not None:
                return int(entry.remote), entry
    group = link.vxlan.group if link.vxlan else ""
    return (_address(group), None) if group else (None, None)


def _fdb_evidence(netns: NetNamespace, link: Link) -> tuple[Evidence, ...]:
    if "fdb" in netns.gaps:
        return (Evidence("gap", netns.gaps["fdb"], "fdb", node=netns.host, netns=netns.inode),)
    entries = [e.text for e in netns.fdb if e.index == link.index and e.remote is not None]
    text = "; ".join(entries) or "(no entries)"
    return (Evidence("fdb", text, link.name, node=netns.host, netns=netns.inode),)


def _address(text: str) -> int:
    return int(ip_address(text)) if text else 0


def _source_ports(netns: NetNamespace, configured: tuple[int, int]) -> Ports:
    """Return the outer source ports: the flow's hash picks one (udp_flow_src_port)."""
    if configured != (0, 0):
        return Ports(*configured)
    words = (netns.sysctls.text("net/ipv4/ip_local_port_range") or "").split()
    return Ports(int(words[0]), int(words[1])) if len(words) == 2 else _DEFAULT_PORTS
