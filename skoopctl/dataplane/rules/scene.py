"""What a rule sees: the packet, the hook it is at, the devices, and the namespace around them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from skoopctl.dataplane.choice import ChoiceKind, Choices
from skoopctl.dataplane.conntrack import Table
from skoopctl.dataplane.packet import ArpOperation, Packet
from skoopctl.dataplane.routes.routing import Router
from skoopctl.dataplane.topology import Topology
from skoopctl.dataplane.trace import Evidence
from skoopctl.dataplane.truth import Split, Undecided, Unknown
from skoopctl.kernel.link import Link
from skoopctl.kernel.netns import NetNamespace


class Cast(IntEnum):
    """PACKET_* of include/uapi/linux/if_packet.h, as far as a device takes it in for itself."""

    UNICAST = 0
    BROADCAST = 1
    MULTICAST = 2


class Hook(StrEnum):
    """The five places where netfilter looks at an IP packet, as iptables names them."""

    PREROUTING = "PREROUTING"
    INPUT = "INPUT"
    FORWARD = "FORWARD"
    OUTPUT = "OUTPUT"
    POSTROUTING = "POSTROUTING"


_MATCHES = ("the rule matches", "the rule does not match")


@dataclass(slots=True)
class Scene:
    """One packet at one hook of one namespace. ``in_port`` and ``out_port`` are bridge ports (physdev).

    ``next_hop`` is the address that the packet is sent to on ``out_link`` (POSTROUTING; for MASQUERADE).
    ``assumptions`` are what a decision rests on and what was not seen.
    """

    topology: Topology
    netns: NetNamespace
    router: Router
    connections: Table
    choices: Choices
    packet: Packet
    hook: Hook
    in_link: Link | None = None
    out_link: Link | None = None
    in_port: Link | None = None
    out_port: Link | None = None
    bridged: bool = False
    next_hop: int = 0
    evidence: list[Evidence] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unknowns: list[str] = field(default_factory=list)
    assumptions: list[str] = field(default_factory=list)

    @property
    def born_here(self) -> bool:
        """Whether the packet was sent by this namespace itself, so that no device has received it."""
        return self.packet.birthplace == (self.netns.host, self.netns.inode)

    @property
    def cast(self) -> Cast:
        """How the frame was addressed when it came in (eth_type_trans); what is born here counts as unicast."""
        if self.in_link is None:
            return Cast.UNICAST
        if self.packet.arp is ArpOperation.REQUEST:
            return Cast.BROADCAST
        multicast = self.packet.family == 6 and self.packet.destination >> 120 == 0xFF
        return Cast.MULTICAST if multicast else Cast.UNICAST

    def decide(self, undecided: Undecided, label: str, key: object) -> bool:
        """Turn an undecided match into one of its branches, and narrow the packet's ports to it."""
        if isinstance(undecided, Unknown):
            self.unknowns.append(undecided.reason)
            return self.choices.unknown(undecided.reason, key=key, words=_MATCHES)
        if isinstance(undecided, Split):
            return self._split(undecided, label)
        probability = undecided.probability
        if probability >= 1.0 or probability <= 0.0:
            return probability >= 1.0
        options = ((label, probability), (f"not {label}", 1.0 - probability))
        return self.choices.pick(ChoiceKind.CHANCE, undecided.reason, options) == 0

    def _split(self, split: Split, label: str) -> bool:
        """Go on with one of the ranges that a match divides the packet's ports into."""
        ranges = (split.inside, *split.outside)
        names = [label if (n == 0) != split.inverted else f"not {label}" for n in range(len(ranges))]
        options = tuple((name, float(ports.size)) for name, ports in zip(names, ranges, strict=True))
        picked = self.choices.pick(ChoiceKind.CHANCE, split.reason, options)
        if split.side == "source":
            self.packet.source_ports = ranges[picked]
        elif split.side == "destination":
            self.packet.destination_ports = ranges[picked]
        return (picked == 0) != split.inverted
