"""What a walk leaves behind: steps with their evidence, branches with weights, and a verdict.

Dispositions are a closed enumeration, as in Batfish; a step keeps what decided it, as it was read.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Disposition(StrEnum):
    """What became of a packet."""

    DELIVERED = "DELIVERED"
    REFUSED = "REFUSED"
    REJECTED = "REJECTED"
    DROPPED = "DROPPED"
    NO_ROUTE = "NO_ROUTE"
    BLACKHOLE = "BLACKHOLE"
    HOST_UNREACHABLE = "HOST_UNREACHABLE"
    RP_FILTER = "RP_FILTER"
    MTU = "MTU"
    LOOP = "LOOP"
    EXITS_CLUSTER = "EXITS_CLUSTER"
    OPAQUE = "OPAQUE"
    UNKNOWN = "UNKNOWN"


class Outcome(StrEnum):
    """What the client's connect() or request would see."""

    CONNECTED = "connected"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    UNKNOWN = "unknown"


class Verdict(StrEnum):
    """The answer for the whole flow, both directions, all branches."""

    PASS = "PASS"  # noqa: S105 - a verdict
    FAIL = "FAIL"
    MIXED = "MIXED"
    UNKNOWN = "UNKNOWN"


class StepKind(StrEnum):
    """What a step is, in the order in which a packet meets them."""

    SEND = "send"
    ROUTE = "route"
    HOOK = "hook"
    NAT = "nat"
    NEIGHBOUR = "neighbour"
    BRIDGE = "bridge"
    TRANSMIT = "transmit"
    ENCAPSULATE = "encapsulate"
    DECAPSULATE = "decapsulate"
    RECEIVE = "receive"
    SOCKET = "socket"
    END = "end"


@dataclass(frozen=True, slots=True)
class Evidence:
    """One raw line that decided a step, and where it stands.

    ``kind`` is ``iptables-rule iptables-policy nft-rule nft-policy route policy-rule neighbour fdb sysctl
    link address socket conntrack gap metric``; ``location`` is for people (``filter INPUT rule 1``, ``table main``);
    ``packets`` is a rule's counter at collection, None when there is none. ``node`` and ``netns`` say
    where it was read.
    """

    kind: str
    text: str
    location: str = ""
    packets: int | None = None
    octets: int | None = None
    node: str = ""
    netns: int = 0


@dataclass(frozen=True, slots=True)
class PacketView:
    """A packet's header at one moment, for people and JSON. Ports are numbers, or ``low-high`` for a range."""

    source: str
    destination: str
    protocol: str
    source_port: str = ""
    destination_port: str = ""
    flags: str = ""
    mark: int = 0
    state: str = ""
    encapsulates: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened to one packet.

    ``namespace`` is a label (``host``, or a pod's name); ``device`` the device at hand; ``hook`` is
    ``INPUT`` and so on for `StepKind.HOOK`; ``decision`` says in words what was decided; ``depth`` is 0
    for the packet asked about and 1 for a tunnel's outer packet. ``unknown`` is why a decision could
    not be made; ``ends`` is set on the step where the packet's way ends, and ``cause`` says there why, in a
    word that stays the same (``hairpin-off``), where the walk itself knows it.
    """

    kind: StepKind
    node: str
    namespace: str
    netns: int
    device: str = ""
    hook: str = ""
    decision: str = ""
    evidence: tuple[Evidence, ...] = ()
    before: PacketView | None = None
    after: PacketView | None = None
    depth: int = 0
    unknown: str = ""
    ends: Disposition | None = None
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Walk:
    """One packet's way. ``label`` names it: ``SYN``, ``answer``, ``INIT-ACK``, ``ICMP error (…)``."""

    label: str
    steps: tuple[Step, ...]
    disposition: Disposition

    @property
    def last(self) -> Step:
        """The step where the way ends."""
        return self.steps[-1]


@dataclass(frozen=True, slots=True)
class PathMtu:
    """How large packets may be. Sizes are bytes of the IP packet, 0 where no limit was seen.

    ``forward`` and ``reply`` are the largest that pass whole each way; ``segment`` and ``reply_segment`` the
    largest that the two ends would send after TCP's handshake. ``stalls`` is the direction (``forward``,
    ``reply``) whose full-size segments are lost for good, or ''. ``concerns`` are places where large packets pass
    only by a detour: fragments, an ICMP error.
    """

    forward: int = 0
    reply: int = 0
    segment: int = 0
    reply_segment: int = 0
    stalls: str = ""
    concerns: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Branch:
    """One way that the flow may take, with all its packets.

    ``weight`` is the share of flows that take it (1.0 in all; a branch behind an unknown keeps its parent's
    share divided evenly, which says nothing: ``unknowns`` is not empty then). ``choices`` names the
    decisions that lead here (``endpoint 10.244.2.10:8080``). ``responder`` and ``seen_source`` are who
    answered (namespace label and address) and the client's address as the server saw it. ``errno`` is the
    error that the client's program gets, by its name, where it gets one.
    """

    weight: float
    choices: tuple[str, ...]
    unknowns: tuple[str, ...]
    forward: Walk
    reply: Walk | None
    others: tuple[Walk, ...]
    disposition: Disposition
    outcome: Outcome
    responder: str = ""
    responder_netns: tuple[str, int] | None = None
    seen_source: str = ""
    errno: str = ""
    mtu: PathMtu | None = None

    @property
    def works(self) -> bool:
        """Whether the flow does what it is for: it connects, and full-size packets pass too."""
        return self.outcome is Outcome.CONNECTED and self.disposition is not Disposition.MTU

    @property
    def walks(self) -> tuple[Walk, ...]:
        """All packets' ways in the order in which they happen."""
        return tuple(w for w in (self.forward, self.reply, *self.others) if w is not None)

    @property
    def fatal_walk(self) -> Walk:
        """The packet whose end decided this branch: the first that did not arrive.

        Where every packet was delivered and the flow fails all the same, the last one went to somebody else.
        """
        lost = (walk for walk in self.walks if walk.disposition is not Disposition.DELIVERED)
        return next(lost, self.forward if self.works else self.walks[-1])


@dataclass(frozen=True, slots=True)
class Flow:
    """The question: may ``source`` (an address) talk to ``destination`` (an address)? ICMP has port 0."""

    source: str
    destination: str
    protocol: str = "tcp"
    port: int = 0


@dataclass(frozen=True, slots=True)
class PathResult:
    """All branches of one flow, and what they come to.

    ``conditions`` say of an UNKNOWN flow which answer to one of its ``unknowns`` would make it pass.
    """

    flow: Flow
    verdict: Verdict
    disposition: Disposition
    outcome: Outcome
    branches: tuple[Branch, ...]
    unknowns: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    source_netns: tuple[str, int] | None = None
    conditions: tuple[str, ...] = ()

    @property
    def mtu(self) -> PathMtu | None:
        """The sizes of the branch to show first; None where no packet came through both ways."""
        return self.representative.mtu

    def outcomes(self) -> dict[Outcome, float]:
        """Return the weight of each outcome over the branches."""
        totals: dict[Outcome, float] = {}
        for branch in self.branches:
            totals[branch.outcome] = totals.get(branch.outcome, 0.0) + branch.weight
        return totals

    @property
    def representative(self) -> Branch:
        """The branch to show first: the heaviest that fails, else the heaviest."""
        failing = [b for b in self.branches if not b.works]
        return max(failing or self.branches, key=lambda b: b.weight)
