"""One flow as a transaction: the first packet, the answer, and the one after that, each with its state.

Success is forward *and* reply. What the client would see follows from the last packet: a reset or an ICMP
error that finds its way back is an answer too; one that does not is a timeout.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from skoopctl.dataplane import client as clients
from skoopctl.dataplane.client import Seen
from skoopctl.dataplane.conntrack import CtState
from skoopctl.dataplane.exchange import EXCHANGES, answering, icmp_error, inverse
from skoopctl.dataplane.full_size import Direction, Sized, full_size, small_only
from skoopctl.dataplane.journey import Ending, Journey, World
from skoopctl.dataplane.moves import Arrive, Cross, Send
from skoopctl.dataplane.opaque import at_connect, at_socket
from skoopctl.dataplane.packet import (
    NO_PORTS,
    Flags,
    Packet,
    Ports,
    Tuple5,
    Unreachable,
    icmp_name,
)
from skoopctl.dataplane.passage import Narrow
from skoopctl.dataplane.routes.routing import Query
from skoopctl.dataplane.rules.scene import Hook
from skoopctl.dataplane.topology import NsKey, Station
from skoopctl.dataplane.trace import Disposition, Outcome, PathMtu, Step, StepKind, Walk
from skoopctl.dataplane.travel import travel
from skoopctl.kernel.netns import NetNamespace
from skoopctl.kernel.route import RouteType

_DEFAULT_EPHEMERAL = Ports(32768, 60999)
_PROTOCOLS = {"tcp": 6, "udp": 17, "icmp": 1, "sctp": 132}
ECHO_REQUEST = 8


_SILENT = frozenset(
    {
        Disposition.DROPPED,
        Disposition.BLACKHOLE,
        Disposition.RP_FILTER,
        Disposition.MTU,
    }
)
_UNDECIDED = frozenset({Disposition.UNKNOWN, Disposition.OPAQUE})


@dataclass(frozen=True, slots=True)
class Question:
    """A flow made ready to be walked.

    ``client`` is the namespace that connects, or None for a source that was not collected; ``source`` is
    its address then. ``entry`` is where such an outside packet comes in.
    """

    client: NetNamespace | None
    source: int
    destination: int
    family: int
    protocol: str
    port: int
    entry: Station | None = None


@dataclass(frozen=True, slots=True)
class Transaction:
    """What became of one flow on one way through all branches.

    ``doubt`` is set where a flow leaves what was collected and it is not known whether it can come back.
    ``errno`` is what the client's program gets, by name ('' when it gets none).
    """

    walks: tuple[Walk, ...]
    reply: Walk | None
    disposition: Disposition
    outcome: Outcome
    reason: str
    doubt: str
    server: NsKey | None
    responder: str
    seen_source: str
    assumptions: tuple[str, ...]
    errno: str = ""
    mtu: PathMtu | None = None


class _Attempt:
    """The packets of one run, in order."""

    def __init__(self, question: Question, world: World) -> None:
        self.question = question
        self.exchange = EXCHANGES[question.protocol]
        self.world = world
        self.walks: list[Walk] = []
        self.reply: Walk | None = None
        self.server: NsKey | None = None
        self.responder = ""
        self.seen_source = ""
        self.expected: Tuple5 | None = None
        self.answered = Tuple5(0, 0, NO_PORTS, 0, NO_PORTS)
        self.sent: tuple[Journey, Ending] | None = None
        self.came_back: tuple[Journey, Ending] | None = None
        self.mtu: PathMtu | None = None

    def run(self) -> Transaction:
        first = self._first_packet()
        journey = Journey(self.world, self.exchange.request, request=True)
        ending = self._send_first(journey, first)
        self.expected = (journey.origin or first.tuple5).inverse()
        self.walks.append(journey.walk(ending.disposition))
        self.sent = journey, ending
        if ending.disposition in {Disposition.DELIVERED, Disposition.EXITS_CLUSTER}:
            return self._answered(ending)
        return self._failed(ending, journey)

    # --- the first packet --------------------------------------------------------------------------------

    def _first_packet(self) -> Packet:
        q = self.question
        number = 58 if q.protocol == "icmp" and q.family == 6 else _PROTOCOLS[q.protocol]
        ported = q.protocol != "icmp"
        return Packet(
            family=q.family,
            source=q.source,
            destination=q.destination,
            protocol=number,
            source_ports=self._ephemeral() if ported else NO_PORTS,
            destination_ports=Ports.of(q.port) if ported else NO_PORTS,
            flags=self.exchange.flags,
            icmp_type=0 if ported else (ECHO_REQUEST if q.family == 4 else 128),
        )

    def _ephemeral(self) -> Ports:
        client = self.question.client
        words = (client.sysctls.text("net/ipv4/ip_local_port_range") or "").split() if client else []
        return Ports(int(words[0]), int(words[1])) if len(words) == 2 else _DEFAULT_EPHEMERAL

    def _send_first(self, journey: Journey, packet: Packet) -> Ending:
        client = self.question.client
        if client is not None:
            ended = at_connect(journey, client, packet) or at_socket(journey, client, packet, "egress")
            return ended or travel(journey, Send(client, packet))
        entry = self.question.entry
        assert entry is not None  # noqa: S101 - a question has one or the other
        return travel(journey, Arrive(entry.netns, entry.link, packet, entry.link.mac))

    # --- the answer --------------------------------------------------------------------------------------

    def _answered(self, ending: Ending) -> Transaction:
        packet = ending.packet
        self.seen_source = packet.address(packet.source)
        if ending.disposition is Disposition.DELIVERED:
            self.server = (ending.netns.host, ending.netns.inode)
            self.responder = self.world.topology.label(ending.netns)
        reply = inverse(packet, self.exchange.answer_flags)
        if self._has_other_source(ending, packet):
            reply.source = 0
        journey = Journey(self.world, self.exchange.answer)
        self.answered = reply.tuple5
        self._note_source(ending, packet)
        back = self._send_back(journey, ending, reply)
        self.reply = journey.walk(back.disposition)
        self.walks.append(self.reply)
        self.came_back = journey, back
        if not self._reaches_client(back):
            return self._lost_answer(back, ending)
        if not self._is_expected(back.packet):
            return self._stranger(journey, back)
        # Rules may have picked a part of the client's ports on the way: what follows is of that part.
        self.expected = back.packet.tuple5
        if ending.disposition is Disposition.EXITS_CLUSTER:
            return self._beyond(ending)
        return self._confirm()

    def _has_other_source(self, ending: Ending, packet: Packet) -> bool:
        """Tell whether a UDP server may not answer from where it was asked, for no device has that address.

        ip6_datagram_send_ctl wants an address that is assigned, and a local route alone assigns none; the server
        that does not say where it answers from gets what routing picks.
        """
        socket, netns = ending.socket, ending.netns
        if self.question.protocol != "udp" or packet.family == 4 or socket is None:
            return False
        assigned = self.world.topology.router(netns).addresses.holds(packet.destination, 6)
        nonlocal_bind = netns.sysctls.integer("net/ipv6/ip_nonlocal_bind") == 1
        return socket.ip.is_unspecified and not assigned and not nonlocal_bind

    def _note_source(self, ending: Ending, packet: Packet) -> None:
        """A UDP server that does not say which address it sends from gets the one that routing picks."""
        socket, netns = ending.socket, ending.netns
        if self.question.protocol != "udp" or socket is None or not socket.ip.is_unspecified:
            return
        router = self.world.topology.router(netns)
        query = Query(packet.source, packet.family, protocol=packet.protocol)
        answer = router.lookup(query)
        if not answer.hops or answer.type is not RouteType.UNICAST:
            return
        source = router.source_for(answer, answer.hops[0], query)
        if source not in {None, packet.destination}:
            where, other = packet.address(packet.destination), packet.address(source or 0)
            self.world.assume(
                f"the server answers from {where}, where it was asked (one that does not use IP_PKTINFO "
                f"answers from {other}, and a connected client does not hear it)"
            )

    def _send_back(self, journey: Journey, ending: Ending, reply: Packet) -> Ending:
        """Send an answer from where the request ended; from outside it comes in where the request left."""
        if ending.disposition is Disposition.DELIVERED or ending.station is None:
            ended = at_socket(journey, ending.netns, reply, "egress")
            return ended or travel(journey, Send(ending.netns, reply))
        station = ending.station
        return travel(journey, Arrive(station.netns, station.link, reply, station.link.mac))

    def _reaches_client(self, back: Ending) -> bool:
        client = self.question.client
        if client is None:
            return (
                back.disposition is Disposition.EXITS_CLUSTER
                and back.packet.destination == self.question.source
            )
        here = (client.host, client.inode)
        return back.disposition is Disposition.DELIVERED and (back.netns.host, back.netns.inode) == here

    def _is_expected(self, packet: Packet) -> bool:
        return self.expected is not None and self.expected.covers(packet.tuple5)

    def _stranger(self, journey: Journey, back: Ending) -> Transaction:
        """The answer reaches the client, but not from where it asked: the client's kernel resets it."""
        packet, expected = back.packet, self.expected
        assert expected is not None  # noqa: S101 - set before
        asked = f"{packet.address(expected.source)}:{expected.source_ports}"
        reason = (
            f"the answer comes from {packet.address(packet.source)}:{packet.source_ports}, the client asked "
            f"{asked}: nobody undid the NAT on the way back, and the client's kernel rejects it"
        )
        journey.step(StepKind.END, back.netns, None, reason, packet)
        walk = Walk(journey.label, (*journey.steps[:-1], _ending(journey.steps[-1])), Disposition.DROPPED)
        self.reply = walk
        self.walks[-1] = walk
        return self._result(Disposition.DROPPED, clients.TIMEOUT, reason)

    def _lost_answer(self, back: Ending, ending: Ending) -> Transaction:
        if back.disposition in _UNDECIDED:
            return self._result(back.disposition, clients.UNDECIDED, back.reason)
        if back.disposition is Disposition.EXITS_CLUSTER or (
            back.disposition is Disposition.DELIVERED and ending.disposition is Disposition.DELIVERED
        ):
            reason = f"the answer does not come back to the client: {back.reason}"
            return self._result(Disposition.DROPPED, clients.TIMEOUT, reason)
        return self._result(back.disposition, self._asked_again(ending.packet), back.reason)

    def _asked_again(self, arrived: Packet) -> clients.Seen:
        """Send the SYN again, as TCP does after a second without an answer (tcp_retransmit_timer).

        The connection is ESTABLISHED for conntrack since the answer passed, wherever it was lost: a rule that
        rejects such packets now tells the client. It is of the same port as the one that ``arrived``: of the same part
        of the range, where rules divided it.
        """
        client, expected = self.question.client, self.expected
        if self.question.protocol != "tcp" or client is None or expected is None:
            return clients.TIMEOUT
        first = expected.inverse()
        if arrived.source == first.source and arrived.source_ports.within(first.source_ports):
            first = first._replace(source_ports=arrived.source_ports)
        journey = Journey(self.world, "SYN again", request=True)
        ending = travel(journey, Send(client, self._later_packet(first, Flags.SYN)))
        if ending.disposition in {Disposition.DELIVERED, Disposition.EXITS_CLUSTER} | _UNDECIDED:
            return clients.TIMEOUT
        answer = self.reply
        self.walks.append(journey.walk(ending.disposition))
        told = self._failed(ending, journey)
        self.reply = answer
        return clients.Seen(told.outcome, told.errno)

    def _beyond(self, ending: Ending) -> Transaction:
        """The flow leaves what was collected; its answer, if there is one, would come back."""
        packet = ending.packet
        where = packet.address(packet.destination)
        source = packet.address(packet.source)
        station = ending.station
        on_link = station is not None and self.world.topology.router(station.netns).has_address(packet.source)
        if on_link and ending.doubt:
            return self._result(Disposition.EXITS_CLUSTER, clients.UNDECIDED, ending.reason, ending.doubt)
        if on_link:
            self.world.assume(f"{where} was not collected: whether it answers {source} was not seen")
            return self._result(Disposition.EXITS_CLUSTER, clients.UNDECIDED, ending.reason)
        doubt = f"{where} was not collected, and sees the source {source}: does it have a route back?"
        return self._result(Disposition.EXITS_CLUSTER, clients.UNDECIDED, ending.reason, doubt)

    # --- the packets after that --------------------------------------------------------------------------

    def _confirm(self) -> Transaction:
        """TCP's third packet and SCTP's cookies meet ESTABLISHED; UDP and ICMP are done with the answer."""
        client, server = self.question.client, self.server
        if client is None or self.expected is None or server is None:
            return self._with_sizes()
        ends = (client, self.world.topology.netns(server))
        tuples = (self.expected.inverse(), self.answered)
        for place, flags in enumerate(self._later()):
            here, there = ends[place % 2], ends[1 - place % 2]
            packet = self._later_packet(tuples[place % 2], flags)
            journey = Journey(self.world, "data" if place and flags is Flags.ACK else flags.value)
            ending = travel(journey, Send(here, packet))
            self.walks.append(journey.walk(ending.disposition))
            arrived = (ending.netns.host, ending.netns.inode) == (there.host, there.inode)
            if ending.disposition is not Disposition.DELIVERED or not arrived:
                return self._unconfirmed(ending, flags)
        return self._with_sizes()

    def _later(self) -> tuple[Flags, ...]:
        """Return what follows the answer: the server's data as well, where conntrack made nothing of the SYN-ACK.

        A SYN-ACK without a connection is INVALID, and the data after it NEW, picked up in the middle
        (nf_conntrack_proto_tcp.c: tcp_new): rules may let a handshake pass and reject what follows.
        """
        steps = self.reply.steps if self.reply is not None else ()
        invalid = any(s.before is not None and s.before.state == CtState.INVALID.value for s in steps)
        is_tcp = self.question.protocol == "tcp"
        return (*self.exchange.more, Flags.ACK) if is_tcp and invalid else self.exchange.more

    def _later_packet(self, tuple5: Tuple5, flags: Flags) -> Packet:
        return Packet(
            family=self.question.family,
            source=tuple5.source,
            destination=tuple5.destination,
            protocol=tuple5.protocol,
            source_ports=tuple5.source_ports,
            destination_ports=tuple5.destination_ports,
            flags=flags,
        )

    def _unconfirmed(self, ending: Ending, flags: Flags) -> Transaction:
        if ending.disposition in _UNDECIDED:
            return self._result(ending.disposition, clients.UNDECIDED, ending.reason)
        reason = f"the {flags.value} does not arrive: {ending.reason}"
        if self.exchange.connects_at_answer:
            # connect() returns at the SYN-ACK: the client believes it is connected.
            reason = f"connect() succeeds, and then nothing that is sent arrives: {ending.reason}"
        return self._result(ending.disposition, clients.TIMEOUT, reason)

    # --- large packets ------------------------------------------------------------------------------------

    def _with_sizes(self) -> Transaction:
        """All packets of the handshake arrive: see whether full-size ones do."""
        client = self.question.client
        assert self.sent is not None  # noqa: S101 - what was answered was sent
        assert self.came_back is not None  # noqa: S101 - the caller saw the answer
        (there, arrived), (back, returned) = self.sent, self.came_back
        if self.question.protocol != "tcp" or client is None:
            self.mtu = small_only(there, back).mtu
            return self._result(Disposition.DELIVERED, clients.CONNECTED, "")
        sized = full_size(
            self.world,
            Direction("forward", client, there, arrived.packet, returned.packet.mss),
            Direction("reply", arrived.netns, back, returned.packet, arrived.packet.mss),
            self._error_home,
        )
        self.mtu = sized.mtu
        return self._after(sized)

    def _after(self, sized: Sized) -> Transaction:
        if sized.stalled:
            self.walks += sized.walks
            return self._result(Disposition.MTU, clients.CONNECTED, sized.reason)
        if sized.undecided:
            self.walks += sized.walks
            return self._result(Disposition.UNKNOWN, clients.UNDECIDED, sized.undecided)
        return self._result(Disposition.DELIVERED, clients.CONNECTED, "")

    def _error_home(self, narrow: Narrow, about: Journey) -> tuple[Ending, Walk]:
        """Send "fragmentation needed" (or "packet too big") from where a packet did not fit."""
        error = Unreachable.FRAGMENTATION_NEEDED
        news = icmp_error(narrow.packet, error, from_destination=False)
        journey = Journey(self.world, f"ICMP error ({error.value}, about the {about.label}'s way)")
        back = travel(journey, Send(narrow.netns, news))
        return back, journey.walk(back.disposition)

    # --- failures ----------------------------------------------------------------------------------------

    def _failed(self, ending: Ending, journey: Journey) -> Transaction:
        disposition = ending.disposition
        if disposition in _UNDECIDED:
            return self._result(disposition, clients.UNDECIDED, ending.reason)
        # A bridge hands a packet on without a hop: the sender is told of nothing that happens there.
        client = self.question.client
        at_home = client is not None and (ending.netns.host, ending.netns.inode) == (
            client.host,
            client.inode,
        )
        at_sender = at_home and journey.hops == 0 and journey.depth == 0
        if at_sender and ending.rerouted and self.question.protocol in {"tcp", "sctp"}:
            # ip_route_me_harder's error becomes a drop, which connect() does not see.
            return self._result(disposition, clients.TIMEOUT, ending.reason)
        if at_sender and (disposition is Disposition.BLACKHOLE or journey.steps[-1].cause == "martian"):
            invalid = clients.not_sent(Disposition.BLACKHOLE)
            return self._result(disposition, invalid, f"{ending.reason}; the sender gets EINVAL")
        refused = clients.not_permitted(self.question.protocol, self.question.family)
        if at_sender and refused is not None and _at_output(journey):
            return self._result(disposition, refused, f"{ending.reason}; the sender gets EPERM")
        if at_sender and ending.packet.source == 0 and ending.error is None and self.question.family == 6:
            # ip6_dst_lookup_tail: without an address, connect() fails at once.
            return self._result(disposition, clients.NO_SOURCE, ending.reason)
        if disposition in _SILENT or journey.depth > 0:
            # An error about an outer packet goes to the tunnel's own node: the client hears nothing.
            return self._result(disposition, clients.TIMEOUT, ending.reason)
        if at_home:
            at_birth = ending.packet.tracking is None
            if at_birth and ending.error is not None:
                return self._result(disposition, clients.not_sent(disposition, ending.error), ending.reason)
        if ending.error is None and not ending.reset:
            return self._result(disposition, clients.TIMEOUT, ending.reason)
        return self._bad_news(ending)

    def _bad_news(self, ending: Ending) -> Transaction:
        """Send the reset or the ICMP error back, and see whether the client hears it."""
        if ending.error is not None:
            local = self.world.topology.router(ending.netns).is_local(
                ending.packet.destination, ending.packet.family
            )
            news = icmp_error(ending.packet, ending.error, from_destination=local)
            journey = Journey(self.world, f"ICMP error ({icmp_name(ending.error, ending.packet.family)})")
        else:
            news = inverse(ending.packet, self.exchange.refusal)
            if ending.disposition is Disposition.REJECTED:
                news.tracking = answering(ending.packet, CtState.ESTABLISHED)
            journey = Journey(self.world, self.exchange.refusal.value)
        back = self._send_news(journey, ending, news)
        self.reply = journey.walk(back.disposition)
        self.walks.append(self.reply)
        if back.disposition in _UNDECIDED:
            return self._result(back.disposition, clients.UNDECIDED, back.reason)
        heard = self._reaches_client(back) and self._concerns_client(back.packet)
        if not heard:
            reason = f"{ending.reason}; the client does not hear of it: {back.reason}"
            return self._result(ending.disposition, clients.TIMEOUT, reason)
        seen = clients.REFUSED
        if ending.error is not None:
            seen = clients.told(self.question.protocol, self.question.family, ending.error)
        return self._result(ending.disposition, seen, ending.reason)

    def _send_news(self, journey: Journey, ending: Ending, news: Packet) -> Ending:
        """Send a reset or an error; a reset by REJECT to a bridge's port leaves by that port, past every hook.

        nf_reject_ipv4.c (nf_send_reset): with br_netfilter the frame goes out as it is, no NAT is undone.
        """
        port = ending.netns.links.get(ending.packet.bridge_port)
        rejected = ending.reset and ending.disposition is Disposition.REJECTED
        station = Station(ending.netns, port) if port is not None and rejected else None
        peer = self.world.topology.peer(station) if station is not None else None
        if station is None or peer is None:
            return travel(journey, Send(ending.netns, news))
        news.tracking = None
        return travel(journey, Cross(station, peer, news, peer.link.mac))

    def _concerns_client(self, packet: Packet) -> bool:
        """Tell whether the client's socket recognises a reset or an error as its own."""
        if self.expected is None:
            return False
        if packet.error is not None:
            return packet.about is not None and self.expected.inverse().covers(packet.about)
        return self.expected.covers(packet.tuple5)

    def _result(self, disposition: Disposition, seen: Seen, reason: str, doubt: str = "") -> Transaction:
        return Transaction(
            walks=tuple(self.walks),
            reply=self.reply,
            disposition=disposition,
            outcome=seen.outcome,
            reason=reason,
            doubt=doubt,
            server=self.server,
            responder=self.responder,
            seen_source=self.seen_source,
            assumptions=tuple(self.world.assumptions),
            errno=seen.errno,
            mtu=self.mtu,
        )


def attempt(question: Question, world: World) -> Transaction:
    """Walk all packets of one flow, with the answers to branches that ``world.choices`` gives."""
    return _Attempt(question, world).run()


def _at_output(journey: Journey) -> bool:
    """Tell whether a rule ended the packet before it left its sender."""
    last = journey.steps[-1]
    rules = {"netfilter-drop", "netfilter-reject"}
    return last.hook in {Hook.OUTPUT.value, Hook.POSTROUTING.value} and last.cause in rules


def _ending(step: Step) -> Step:
    """Mark a step as the packet's last."""
    return replace(step, ends=Disposition.DROPPED, cause="answer-not-translated")
