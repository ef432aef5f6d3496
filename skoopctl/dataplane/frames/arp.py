"""From an address to a MAC address: what the neighbour table says, else who would answer.

Sources: net/core/neighbour.c, net/ipv4/arp.c (arp_solicit, arp_process, arp_ignore, arp_filter,
arp_fwd_proxy), devinet.c (inet_confirm_addr), net/ipv6/ndisc.c (ndisc_recv_ns).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from skoopctl.dataplane.frames.segment import Block, Crossing, Place, Segment, Way
from skoopctl.dataplane.frames.stacking import shares_wire
from skoopctl.dataplane.packet import Packet, is_link_local
from skoopctl.dataplane.routes.device_conf import conf
from skoopctl.dataplane.routes.l3mdev import l3_master_index
from skoopctl.dataplane.routes.query import Query
from skoopctl.dataplane.routes.routing import Router
from skoopctl.dataplane.routes.source_address import SCOPE_HOST, SCOPE_LINK, same_subnet
from skoopctl.dataplane.routes.source_check import Refusal, martian, source_refused
from skoopctl.dataplane.topology import NsKey, Station, Topology
from skoopctl.dataplane.trace import Evidence
from skoopctl.dataplane.tunnels import TUNNELS
from skoopctl.kernel.link import Link
from skoopctl.kernel.neighbour import Neighbour, NeighbourState
from skoopctl.kernel.netns import NetNamespace
from skoopctl.kernel.route import RouteType

_VALID = frozenset(
    {
        NeighbourState.PERMANENT,
        NeighbourState.NOARP,
        NeighbourState.REACHABLE,
        NeighbourState.STALE,
        NeighbourState.DELAY,
        NeighbourState.PROBE,
    }
)
_FIXED = frozenset({NeighbourState.PERMANENT, NeighbourState.NOARP})


@dataclass(frozen=True, slots=True)
class Resolution:
    """A MAC address ('' when nobody here can know it, such as a router outside), and how it was found.

    ``asked`` is set where the table has no valid entry, so that the kernel asks (ARP, neighbour discovery): who
    answers, which knows then that ``sender`` is at the asking device.
    """

    mac: str
    evidence: tuple[Evidence, ...] = ()
    asked: Answerer | None = None
    sender: int = 0


@dataclass(frozen=True, slots=True)
class Answerer:
    """A device that answers a question, and the ways of question and answer; None for one outside of what is seen."""

    station: Station | None
    there: Way = ()
    back: Way = ()


Pick = Callable[[tuple[Answerer, ...]], Answerer]
"""Says whose answer counts."""


def resolve(
    topology: Topology,
    station: Station,
    address: int,
    family: int,
    source: int = 0,
    met: Mapping[tuple[NsKey, int, int], str] | None = None,
    pick: Pick = lambda answers: answers[0],
) -> Resolution | None:
    """Return the MAC address of a next hop, or None when nobody answers for it.

    ``source`` is the packet's, which the question names as its sender where the device allows it. ``met`` are
    the neighbours of this flow so far (`World.met`). ``pick`` is asked where several would answer, with other
    MAC addresses.
    """
    netns, link = station.netns, station.link
    tunnel = TUNNELS.get(link.kind)
    if tunnel is not None and not tunnel.ethernet:
        return Resolution("")
    if link.noarp and link.kind != "veth" and tunnel is None:
        return Resolution("")
    entry, valid, evidence = _in_table(topology, station, address)
    known = met.get((station.key, link.index, address), "") if met else ""
    if known and (entry is None or entry.state not in _FIXED):
        return Resolution(known)
    if valid is not None:
        return valid
    sender = asks_as(topology.router(netns), link, address, family, source)
    found = answers(topology, station, address, family, sender)
    if not found and entry is None and _may_be_outside(topology, station, address):
        outside = Answerer(None, (Crossing(Place.OUT, station),), (_into(station),))
        return Resolution("", asked=outside, sender=sender)
    if not found:
        return None
    chosen = found[0] if len({_mac(each) for each in found}) == 1 else pick(found)
    return Resolution(_mac(chosen), evidence, chosen, sender)


def _mac(answerer: Answerer) -> str:
    return answerer.station.link.mac if answerer.station is not None else ""


def _into(station: Station) -> Crossing:
    return Crossing(Place.IN, station)


def _in_table(
    topology: Topology, station: Station, address: int
) -> tuple[Neighbour | None, Resolution | None, tuple[Evidence, ...]]:
    """Return the entry of an address, what it resolves to if it is valid, and the evidence of it."""
    key = "neighbour", station.key, station.link.index, address
    found = topology.caches.get(key)
    if found is None:
        netns, link = station.netns, station.link
        entry = find_entry(netns, link, address)
        evidence = neighbour_evidence(netns, link, address)
        valid = entry is not None and entry.state in _VALID and entry.mac
        resolution = Resolution(entry.mac, evidence) if entry is not None and valid else None
        found = topology.caches[key] = entry, resolution, evidence
    return found  # type: ignore[return-value]


def _may_be_outside(topology: Topology, station: Station, address: int) -> bool:
    """Tell whether somebody who was not collected may answer: not for an address behind the same NIC."""
    if not topology.is_outward(station):
        return False
    return not any(shares_wire(topology, station, owner) for owner in topology.owners(address))


def find_entry(netns: NetNamespace, link: Link, address: int) -> Neighbour | None:
    """Return the neighbour entry of an address on a device."""
    for entry in netns.neighbours:
        if entry.index == link.index and int(entry.ip) == address and not entry.proxy:
            return entry
    return None


def neighbour_evidence(netns: NetNamespace, link: Link, address: int) -> tuple[Evidence, ...]:
    """Return the neighbour entry as evidence."""
    if "neigh" in netns.gaps:
        return (Evidence("gap", netns.gaps["neigh"], "neigh", node=netns.host, netns=netns.inode),)
    entry = find_entry(netns, link, address)
    if entry is None:
        return ()
    text = entry.text or f"{entry.ip} dev {link.name} lladdr {entry.mac} {entry.state.value}"
    return (Evidence("neighbour", text, link.name, node=netns.host, netns=netns.inode),)


def asks_as(router: Router, link: Link, target: int, family: int, source: int) -> int:
    """Return the address that a question for a neighbour has as its sender; ``source`` is the packet's."""
    return (_sender4 if family == 4 else _sender6)(router, link, target, source)


def _sender4(router: Router, link: Link, target: int, source: int) -> int:
    """Return the address that asks (arp_solicit): the packet's own, or what arp_announce allows."""
    announce = conf(router.netns, "arp_announce", link)
    if announce < 2 and source and router.address_type(source, 4) is RouteType.LOCAL:
        addresses = router.addresses.by_index.get(link.index, ())
        both = (
            a for a in addresses if a.ip.version == 4 and same_subnet(a, target) and same_subnet(a, source)
        )
        if announce == 0 or any(both):
            return source
    return router.addresses.select4(link.index, target, SCOPE_LINK) or 0


def _sender6(router: Router, link: Link, _target: int, source: int) -> int:
    """Return the address that asks (ndisc_solicit): the packet's if the device holds it, else its link-local one."""
    own = [int(a.ip) for a in router.addresses.by_index.get(link.index, ()) if a.ip.version == 6]
    if source in own:
        return source
    return next((address for address in own if is_link_local(address)), 0)


def answers(
    topology: Topology, station: Station, address: int, family: int, sender: int = 0
) -> tuple[Answerer, ...]:
    """Return the devices that would answer for an address on this segment."""
    known = topology.caches.setdefault("who answers", {})
    assert isinstance(known, dict)  # noqa: S101 - this module's own entry
    key = station.key, station.link.index, address, family, sender
    if key not in known:
        known[key] = tuple(_find_answers(topology, station, address, family, sender))
    found: tuple[Answerer, ...] = known[key]
    return found


def _find_answers(
    topology: Topology, station: Station, address: int, family: int, sender: int
) -> Iterator[Answerer]:
    segment = Segment(topology, multicast=family == 6)
    near = False
    for heard, _ in segment.hears(station):
        if not _answers(topology, heard, address, family, sender, station.link.mac):
            continue
        way = segment.way
        back = Segment(topology, answer=station.link.mac)
        returned = next((back.way for there, _ in back.hears(heard) if there == station), None)
        if returned is not None:
            near = True
            yield Answerer(heard, way, returned)
    if near:
        return
    for leaving, way in segment.outward:
        owners = topology.underlay_owners(address, leaving.key)
        found = next((o for o in owners if o.link.up and not shares_wire(topology, station, o)), None)
        if found is not None:
            yield Answerer(found, (*way, _into(found)), (Crossing(Place.OUT, found), _into(station)))
            return


def what_stops(
    topology: Topology, station: Station, address: int, family: int, source: int = 0
) -> Block | None:
    """Return what keeps the question from whoever would answer it: a bridge on the way, a check of its sender.

    ``source`` is the packet's.
    """
    sender = asks_as(topology.router(station.netns), station.link, address, family, source)
    for heard, block in Segment(topology, multicast=family == 6, beyond=True).hears(station):
        holds = topology.router(heard.netns).addresses.holds(address, family)
        if not holds or heard.key == station.key:
            continue
        if block is not None:
            return block
        where = f"{heard.link.name} of {topology.label(heard.netns)}"
        if family == 6 and heard.netns.sysctls.integer(ipv6_switch(heard.link)) == 1:
            return Block("ipv6-disabled", f"IPv6 is disabled on {where}", heard, ipv6_switch(heard.link))
        refused = (
            _refusal4(topology.router(heard.netns), heard.link, address, sender) if family == 4 else None
        )
        if refused is not None and not refused.doubt:
            reason = (
                f"{where} takes no question from {Packet(4, sender, 0, 0).address(sender)}: {refused.reason}"
            )
            return Block(refused.cause, reason, heard, refused.sysctl)
    return None


def _refusal4(router: Router, link: Link, address: int, sender: int) -> Refusal | None:
    """Return why the holder of an address does not take the question for it."""
    if sender == 0:
        return None
    question = Packet(4, sender, address, 0)
    return martian(router.netns, link, question) or source_refused(router, link, question, 0)


def ipv6_switch(link: Link) -> str:
    """Return the path of the sysctl that turns IPv6 off on a device."""
    return f"net/ipv6/conf/{link.name}/disable_ipv6"


def _answers(topology: Topology, station: Station, address: int, family: int, sender: int, mac: str) -> bool:
    """Tell whether a device answers: for an address of its namespace, or as a proxy."""
    router = topology.router(station.netns)
    if family == 4:
        return _answers4(router, station.link, address, sender)
    # An ARP reply goes to the MAC address that asked; an advertisement is sent by the neighbour table.
    entry = find_entry(station.netns, station.link, sender)
    misled = entry is not None and entry.state in _FIXED and entry.mac != mac
    return not misled and _answers6(router, station.link, address)


def _answers4(router: Router, link: Link, address: int, sender: int) -> bool:
    """The question is routed like a packet from the sender, and has to pass the same checks (arp_process)."""
    netns = router.netns
    if sender == 0:  # a probe for a duplicate: only the holder of the address answers
        return router.is_local(address) and not _ignores(router, link, address, 0)
    question = Packet(4, sender, address, 0)
    if martian(netns, link, question) is not None:
        return False
    vrf = l3_master_index(netns, link.index)
    found = router.lookup(Query(address, 4, sender, iif=link.name, l3mdev=vrf))
    if found.doubt:  # what comes after this question is uncertain in the same way, and is asked there
        return router.addresses.holds(address, 4) or (
            _forwards(netns, link) and _is_proxy(netns, link, address, sender, 0)
        )
    if found.type is RouteType.LOCAL:
        return (
            _accepts(router, link, question, 0)
            and not _ignores(router, link, address, sender)
            and not (
                conf(netns, "arp_filter", link) and _leaves_elsewhere(router, link, address, sender, vrf)
            )
        )
    if found.type is not RouteType.UNICAST or not _forwards(netns, link):
        return False
    return any(
        _accepts(router, link, question, hop.index) and _is_proxy(netns, link, address, sender, hop.index)
        for hop in found.hops
    )


def _accepts(router: Router, link: Link, question: Packet, out: int) -> bool:
    refused = source_refused(router, link, question, out)
    return refused is None or bool(refused.doubt)


def _forwards(netns: NetNamespace, link: Link) -> bool:
    value = netns.sysctls.integer(f"net/ipv4/conf/{link.name}/forwarding")
    return bool(netns.sysctls.integer("net/ipv4/ip_forward") if value is None else value)


def _is_proxy(netns: NetNamespace, link: Link, address: int, sender: int, out: int) -> bool:
    """Tell whether a router answers for an address that it forwards to (arp_fwd_proxy, arp_fwd_pvlan)."""
    if out == link.index:
        return bool(conf(netns, "proxy_arp_pvlan", link)) and sender != address
    return bool(conf(netns, "proxy_arp", link)) or _has_proxy_entry(netns, link, address)


def _has_proxy_entry(netns: NetNamespace, link: Link, address: int) -> bool:
    return any(n.proxy and n.index in {0, link.index} and int(n.ip) == address for n in netns.neighbours)


def _ignores(router: Router, link: Link, address: int, sender: int) -> bool:
    """Tell whether ``arp_ignore`` keeps a device from answering for a local address."""
    mode = conf(router.netns, "arp_ignore", link)
    holders = router.addresses.local.get((4, address), [])
    here = [a for a in holders if a.index == link.index]
    if mode == 1:
        return not here
    if mode == 2:
        near = [a for a in router.addresses.by_index.get(link.index, ()) if a.ip.version == 4]
        return not here or not any(
            same_subnet(a, address) and (not sender or same_subnet(a, sender)) for a in near
        )
    if mode == 3:
        return all(a.scope >= SCOPE_HOST for a in holders)
    return mode == 8


def _leaves_elsewhere(router: Router, link: Link, address: int, sender: int, vrf: int) -> bool:
    """With arp_filter a device answers only if an answer to the sender would leave by it."""
    back = router.lookup(Query(sender, 4, address, oif=vrf, l3mdev=vrf))
    return back.type is not RouteType.UNICAST or all(hop.index != link.index for hop in back.hops)


def _answers6(router: Router, link: Link, address: int) -> bool:
    """Neighbour discovery answers for addresses of the device itself, or for entries to proxy."""
    netns = router.netns
    if netns.sysctls.integer(ipv6_switch(link)) == 1:
        return False
    places = {link.index, l3_master_index(netns, link.index)}
    if any(a.index in places and not a.tentative for a in router.addresses.local.get((6, address), ())):
        return True
    names = ("all", link.name)
    proxies = any(netns.sysctls.integer(f"net/ipv6/conf/{name}/proxy_ndp") for name in names)
    forwards = netns.sysctls.integer(f"net/ipv6/conf/{link.name}/forwarding")
    return proxies and forwards != 0 and _has_proxy_entry(netns, link, address)
