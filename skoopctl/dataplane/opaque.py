"""Programs on the way that decide by themselves: said by name, never guessed, and both ways walked.

Where they sit: net/core/dev.c (do_xdp_generic, sch_handle_ingress, sch_handle_egress), net/ipv4/af_inet.c
(BPF_CGROUP_PRE_CONNECT), ip_output.c and filter.c (BPF_CGROUP_RUN_PROG_INET_*), inet_hashtables.c (sk_lookup).
"""

from __future__ import annotations

from collections.abc import Iterable

from skoopctl.dataplane.journey import Ending, Journey
from skoopctl.dataplane.packet import Packet
from skoopctl.dataplane.trace import Disposition, Evidence
from skoopctl.kernel.bpf import Attachment
from skoopctl.kernel.link import Link
from skoopctl.kernel.netns import NetNamespace

_WORDS = ("the program lets it pass", "the program does not let it pass")
_ON_DEVICE = {
    "into": frozenset({"xdp", "tc ingress", "tcx ingress"}),
    "out of": frozenset({"tc egress", "tcx egress", "netkit primary", "netkit peer"}),
}
_CONNECT = {
    (6, 4): frozenset({"cgroup connect4"}),
    (6, 6): frozenset({"cgroup connect6"}),
    (17, 4): frozenset({"cgroup connect4", "cgroup sendmsg4"}),
    (17, 6): frozenset({"cgroup connect6", "cgroup sendmsg6"}),
}


def at_device(
    journey: Journey, netns: NetNamespace, link: Link, packet: Packet, direction: str
) -> Ending | None:
    """Meet the programs of a device; ``direction`` is ``into`` or ``out of``."""
    if netns.programs is None:
        return _unnamed(journey, netns, link, packet, direction)
    if not netns.programs:
        return None
    found = [p for p in netns.programs if p.index == link.index and p.place in _ON_DEVICE[direction]]
    if not found:
        return None
    reason = f"{_listed(found)} on {link.name} of {netns.host} decides, and is not read"
    return _decide(journey, netns, link, packet, reason, found)


def at_connect(journey: Journey, netns: NetNamespace, packet: Packet) -> Ending | None:
    """Meet the programs that connect() and send() call: they may choose another destination, or refuse.

    Cilium's replacement of kube-proxy translates services here: a packet to the service's address never exists.
    """
    found = _at(netns, _CONNECT.get((packet.protocol, packet.family), frozenset()))
    if not found:
        return None
    target = packet.address(packet.destination)
    reason = (
        f"{_listed(found)} on {netns.host} may send what is for {target} elsewhere: "
        "a packet to that address may never exist"
    )
    return _decide(journey, netns, None, packet, reason, found)


def at_socket(journey: Journey, netns: NetNamespace, packet: Packet, direction: str) -> Ending | None:
    """Meet the programs of a cgroup (``ingress``, ``egress``) and, coming in, those that pick a socket."""
    places = {f"cgroup {direction}"}
    if direction == "ingress" and packet.protocol in {6, 17} and journey.request:
        places.add("sk_lookup")
    found = _at(netns, frozenset(places))
    if not found:
        return None
    reason = f"{_listed(found)} on {netns.host} decides, and is not read"
    return _decide(journey, netns, None, packet, reason, found)


def _at(netns: NetNamespace, places: frozenset[str]) -> list[Attachment]:
    return [program for program in netns.programs or () if program.place in places]


def _listed(found: Iterable[Attachment]) -> str:
    return " and ".join(dict.fromkeys(str(program) for program in found))


def _decide(
    journey: Journey,
    netns: NetNamespace,
    link: Link | None,
    packet: Packet,
    reason: str,
    found: Iterable[Attachment],
) -> Ending | None:
    """Ask whether the programs let the packet pass; one answer for all its packets."""
    key = ("opaque", netns.host, netns.inode, link.index if link else 0, tuple(found))
    if journey.world.choices.unknown(reason, key=key, words=_WORDS):
        return None
    evidence = tuple(
        Evidence("program", str(program), program.place, node=netns.host, netns=netns.inode)
        for program in found
    )
    return journey.end(
        Disposition.OPAQUE, netns, packet, reason, link=link, evidence=evidence, cause="opaque-program"
    )


def _unnamed(
    journey: Journey, netns: NetNamespace, link: Link, packet: Packet, direction: str
) -> Ending | None:
    """Evidence of an older program, or without the right to ask: something may be there, by its traces."""
    programs = []
    if link.xdp and direction == "into":
        programs.append("an XDP program")
    if link.index in netns.tc_devices:
        programs.append("a tc filter or program")
    if not programs:
        return None
    reason = f"{' and '.join(programs)} on {link.name} of {netns.host} decides, and was not read"
    if journey.world.choices.unknown(reason, key=("opaque", netns.host, netns.inode, link.index, direction)):
        return None
    return journey.end(Disposition.OPAQUE, netns, packet, reason, link=link, cause="opaque-program")
