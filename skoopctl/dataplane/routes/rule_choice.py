"""Who answers for policy rules that the model cannot decide: both ways are walked, and ports are divided."""

from __future__ import annotations

from collections.abc import Callable

from skoopctl.dataplane.choice import ChoiceKind, Choices
from skoopctl.dataplane.packet import Packet, Ports
from skoopctl.dataplane.routes.query import Query
from skoopctl.dataplane.truth import Split, Undecided, Unknown
from skoopctl.kernel.netns import NetNamespace
from skoopctl.kernel.route import PolicyRule


def deciding(
    choices: Choices, netns: NetNamespace, packet: Packet, *, backwards: bool = False
) -> Callable[[Undecided, PolicyRule, Query], tuple[bool, Query]]:
    """Return the answerer for one packet's lookup; ``backwards`` for the reverse lookup of a source check.

    Rules are asked about once in a run: a user's program does not change between two lookups of its packet.
    A rule that divides a range of ports narrows the packet to one part.
    """

    def decide(question: Undecided, rule: PolicyRule, query: Query) -> tuple[bool, Query]:
        if isinstance(question, Split):
            # A later packet of the flow has the whole range again, and the part that was picked before.
            flow = query.source, query.destination, question
            place = "rule-ports", netns.host, netns.inode, rule.text, flow
            return _divide(choices, packet, question, query, place, backwards=backwards)
        reason = f"policy rule {rule.text!r} on {netns.host}: {question.reason}"
        if isinstance(question, Unknown):
            key = ("policy-rule", netns.host, netns.inode, rule.text, query.destination)
            return choices.unknown(reason, key=key), query
        options = ((rule.text, question.probability), (f"not {rule.text}", 1.0 - question.probability))
        return choices.pick(ChoiceKind.CHANCE, reason, options) == 0, query

    return decide


def _divide(
    choices: Choices, packet: Packet, split: Split, query: Query, key: object, *, backwards: bool
) -> tuple[bool, Query]:
    """Go on with one of the ranges that a rule divides the packet's ports into."""
    ranges = (split.inside, *split.outside)
    options = tuple((f"{split.side} port in {ports}", float(ports.size)) for ports in ranges)
    place = choices.pick(ChoiceKind.CHANCE, split.reason, options, key=key)
    ports: Ports = ranges[place]
    of_source = split.side == "source"
    if of_source != backwards:
        packet.source_ports = ports
    else:
        packet.destination_ports = ports
    narrowed = query._replace(source_ports=ports) if of_source else query._replace(destination_ports=ports)
    return (place == 0) != split.inverted, narrowed
