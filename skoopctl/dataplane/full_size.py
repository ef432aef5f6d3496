"""After the handshake: whether a full-size segment passes each way, and if not, whether its sender is told.

TCP sends segments as large as both ends agreed (MSS), with DF set. Where one does not fit, an ICMP error names
the size that does; if the error is lost, or there is none, the connection stands and its data stalls.

Sources: net/ipv4/icmp.c (icmp_unreach), route.c (ip_rt_update_pmtu), tcp_timer.c (tcp_mtu_probing).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from skoopctl.dataplane.journey import Ending, Journey, World, link_evidence
from skoopctl.dataplane.packet import Packet
from skoopctl.dataplane.passage import UNLIMITED, Narrow, TooBig
from skoopctl.dataplane.routes.size import HEADERS
from skoopctl.dataplane.topology import NsKey
from skoopctl.dataplane.trace import Disposition, PathMtu, Step, StepKind, Walk
from skoopctl.kernel.netns import NetNamespace

ErrorHome = Callable[[Narrow, Journey], tuple[Ending, Walk]]
"""Walks the ICMP error about a packet that did not fit, from there to wherever it gets."""

_PROBE_SIZE = 1024  # TCP_BASE_MSS: what mtu probing falls back to


@dataclass(frozen=True, slots=True)
class Direction:
    """One way of a connection: who sends, the packet that went this way, and as it arrived."""

    name: str
    sender: NetNamespace
    journey: Journey
    arrived: Packet
    heard_mss: int


@dataclass(frozen=True, slots=True)
class Sized:
    """What full-size segments come to. ``stalled`` is the direction whose data does not arrive, or None."""

    mtu: PathMtu
    walks: tuple[Walk, ...] = ()
    stalled: str = ""
    reason: str = ""
    undecided: str = ""


@dataclass(slots=True)
class _Passed:
    """One direction's outcome."""

    size: int
    limit: int
    walks: list[Walk]
    concerns: list[Step]
    reason: str = ""
    undecided: str = ""


def small_only(forward: Journey, reply: Journey) -> Sized:
    """Return the sizes of a flow that is no TCP connection: nothing is agreed on, so nothing can stall."""
    return Sized(PathMtu(_shown(forward.passage.largest), _shown(reply.passage.largest)))


def full_size(world: World, forward: Direction, reply: Direction, error_home: ErrorHome) -> Sized:
    """Send a full-size segment each way. Walks nothing where it fits, which is the rule."""
    there = _send(world, forward, error_home)
    back = _send(world, reply, error_home)
    concerns = tuple(there.concerns + back.concerns)
    mtu = PathMtu(
        _shown(there.limit),
        _shown(back.limit),
        _segment(forward),
        _segment(reply),
        "forward" if there.reason else "reply" if back.reason else "",
        concerns,
    )
    stuck = there if there.reason else back
    walks = (*there.walks, *back.walks)
    return Sized(mtu, walks, mtu.stalls, stuck.reason, there.undecided or back.undecided)


def _shown(size: int) -> int:
    return 0 if size >= UNLIMITED else size


def _segment(direction: Direction) -> int:
    """Return the largest IP packet that the sender makes: its own MTU, and what the other end can take."""
    agreed = direction.heard_mss + HEADERS[direction.arrived.family] if direction.heard_mss else UNLIMITED
    return min(direction.journey.passage.born or UNLIMITED, agreed)


def _send(world: World, direction: Direction, error_home: ErrorHome) -> _Passed:
    """Follow a full-size segment past the narrow places, smaller after each error that comes home."""
    passage = direction.journey.passage
    size = _segment(direction)
    found = _Passed(size, passage.largest, [], [])
    if not passage.narrows or size <= min(narrow.size for narrow in passage.narrows):
        return found
    # inet_create(): with any value but 0 new sockets send without DF, and routers cut what is too large.
    without_df = direction.sender.sysctls.integer("net/ipv4/ip_no_pmtu_disc") or 0
    cut = bool(without_df) and direction.arrived.family == 4
    for narrow in passage.narrows:
        if found.size <= narrow.size:
            continue
        if narrow.too_big in {TooBig.FRAGMENTS, TooBig.UNSEEN} or (cut and narrow.too_big is TooBig.ERROR):
            found.concerns.append(_concern(world, direction, narrow, found.size, cut=cut))
            continue
        told, ended = _told(direction, narrow, error_home)
        found.walks += ended
        if told is None:
            found.undecided = (
                f"whether the ICMP error about large packets comes home: {ended[-1].last.decision}"
            )
            return found
        if told:
            found.concerns.append(_concern(world, direction, narrow, found.size, cut=cut))
            found.size = narrow.size
            continue
        if _probes(direction.sender, narrow):
            found.concerns.append(_concern(world, direction, narrow, found.size, cut=cut))
            found.size = min(found.size, narrow.size)
            continue
        _stall(world, direction, narrow, found)
        return found
    return found


def _told(direction: Direction, narrow: Narrow, error_home: ErrorHome) -> tuple[bool | None, list[Walk]]:
    """Tell whether the sender learns of a narrow place; None when that cannot be decided."""
    if narrow.too_big is TooBig.TOLD:
        return True, []
    if narrow.too_big is not TooBig.ERROR:
        return False, []
    ending, walk = error_home(narrow, direction.journey)
    if ending.disposition in {Disposition.UNKNOWN, Disposition.OPAQUE}:
        return None, [walk]
    key = direction.sender.host, direction.sender.inode
    home = ending.disposition is Disposition.DELIVERED and _key(ending.netns) == key
    origin = direction.journey.origin
    own = ending.packet.about is not None and origin is not None and origin.covers(ending.packet.about)
    return home and own, [walk]


def _probes(sender: NetNamespace, narrow: Narrow) -> bool:
    """Tell whether the sender's TCP finds a smaller size by itself, after some seconds without answers."""
    probing = sender.sysctls.integer("net/ipv4/tcp_mtu_probing") or 0
    return probing > 0 and narrow.size >= _PROBE_SIZE + HEADERS[narrow.packet.family]


def _stall(world: World, direction: Direction, narrow: Narrow, found: _Passed) -> None:
    """Record the segment that is lost: the steps of the packet that went this way until there."""
    size = found.size
    how = "dropped without an error"
    if narrow.too_big is TooBig.ERROR:
        lost = found.walks[-1].last.decision if found.walks else "the sender heeds no ICMP error"
        how = f"dropped, and the ICMP error does not reach the sender ({lost})"
    decision = f"a packet of {size} bytes exceeds {narrow.words}: at most {narrow.size} pass; it is {how}"
    end = _step(world, narrow, decision, "mtu-black-hole", Disposition.MTU)
    label = f"full-size segment ({size} bytes, {direction.name})"
    walk = Walk(label, (*direction.journey.steps[: narrow.step], end), Disposition.MTU)
    found.walks.insert(0, walk)
    found.reason = f"connect() succeeds, and then large packets do not arrive: {decision}"


def _concern(world: World, direction: Direction, narrow: Narrow, size: int, *, cut: bool) -> Step:
    """Record a place where large packets pass only by a detour, or perhaps not."""
    how = {
        TooBig.ERROR: "an ICMP error tells the sender to make them smaller",
        TooBig.TOLD: "the sender is told to make them smaller",
        TooBig.SILENT: "they are lost until the sender's TCP tries smaller ones by itself (tcp_mtu_probing)",
        TooBig.FRAGMENTS: "the tunnel's outer packets are cut into fragments",
        TooBig.UNSEEN: "whether they pass is up to the hardware",
    }[narrow.too_big]
    if cut and narrow.too_big is TooBig.ERROR:
        how = "they are cut into fragments, because the sender does not set DF (ip_no_pmtu_disc)"
    decision = (
        f"packets of {size} bytes ({direction.name}) exceed {narrow.words}, at most {narrow.size}: {how}"
    )
    return _step(world, narrow, decision, "mtu-mismatch", None)


def _step(world: World, narrow: Narrow, decision: str, cause: str, ends: Disposition | None) -> Step:
    netns = narrow.netns
    view = narrow.packet.view()
    return Step(
        StepKind.END if ends else StepKind.TRANSMIT,
        netns.host,
        world.topology.label(netns),
        netns.inode,
        narrow.link.name,
        decision=decision,
        evidence=(link_evidence(netns, narrow.link),),
        before=view,
        after=view,
        ends=ends,
        cause=cause,
    )


def _key(netns: NetNamespace) -> NsKey:
    return netns.host, netns.inode
