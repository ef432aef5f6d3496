"""Which rule dropped a packet: an event of the kernel, asked again of the rules that were collected.

An event says in which hook of which namespace rules dropped which packet; the collected rules are run for that packet.
What the event does not tell is supposed in every way (`drop_packet`), so the answer is one of four: the rule; some of
which one did it; that no rule of the snapshot does; or that it cannot be told, with the reason. It is never a guess.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial

from skoopctl.checks.snapshot import Snapshot
from skoopctl.dataplane.choice import Choices, explore
from skoopctl.dataplane.hooks import unread_parts
from skoopctl.dataplane.rules.scene import Hook
from skoopctl.dataplane.trace import Evidence
from skoopctl.events.asked_for import asked_for
from skoopctl.events.at_hook import Ends, Place, conditions, device_chains, run_device_hook, run_ip_hook
from skoopctl.events.drop_packet import DropKey, connections_of, key_of, packet_of, suppositions
from skoopctl.events.event import Event
from skoopctl.kernel.netns import Host

MAX_KEYS = 2000
"""So many different packets are looked up, those that were dropped most often first."""
MAX_RUNS = 256
"""So many branches of one supposition are tried."""
MAX_RULES = 8


class Said(StrEnum):
    """What an answer is."""

    RULE = "rule"
    ONE_OF = "one of"
    NONE = "no rule"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Blame:
    """A rule that drops the packet. ``condition`` says on what that rests; empty where it rests on nothing."""

    rule: Evidence
    condition: str = ""

    @property
    def backend(self) -> str:
        """Whose rule it is: ``iptables-legacy``, ``iptables-nft``, ``nft``, or ``conntrack`` for its full table."""
        if self.rule.kind.startswith("iptables"):
            return "iptables-legacy" if "(legacy)" in self.rule.location else "iptables-nft"
        return "nft" if self.rule.kind.startswith("nft") else "conntrack"

    @property
    def text(self) -> str:
        """The rule with its place and counter, in one line."""
        rule = self.rule
        number = rule.packets
        counter = "" if number is None else f" [{number:,} {'packet' if number == 1 else 'packets'}]"
        condition = f", if {self.condition}" if self.condition else ""
        return f"{rule.location}: {rule.text}{counter}, {self.backend}{condition}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What dropped a packet, as far as the snapshot tells. ``reason`` says why it is not more, or what weakens it."""

    said: Said
    rules: tuple[Blame, ...] = ()
    reason: str = ""

    @property
    def text(self) -> str:
        """The answer in one line."""
        also = f" ({self.reason})" if self.reason else ""
        if self.said is Said.RULE:
            first = self.rules[0]
            head = "the only rule that can have dropped it: " if first.condition else "dropped by "
            return f"{head}{first.text}{also}"
        if self.said is Said.ONE_OF:
            more = f" and {len(self.rules) - MAX_RULES} more" if len(self.rules) > MAX_RULES else ""
            return f"dropped by one of: {'; '.join(r.text for r in self.rules[:MAX_RULES])}{more}{also}"
        return self.reason


def rules_that_drop(
    model: Snapshot, events: Iterable[Event], names: Mapping[str, str] | None = None
) -> Mapping[DropKey, Answer]:
    """Return what dropped the packets of events whose reason is NETFILTER_DROP, by `key_of`.

    ``model`` is a collection of the nodes from after the events; ``names`` are its hosts' names by the nodes' names in
    events, where they are known to differ. Each different packet is looked up once, the most
    frequent first, and at most `MAX_KEYS`; the rest is unknown, and says so.
    """
    counted = Counter(key for event in events if (key := key_of(event)) is not None)
    found: dict[DropKey, Answer] = {}
    for place, (key, _) in enumerate(counted.most_common()):
        if place < MAX_KEYS:
            found[key] = _answer(model, key, names or {})
        else:
            found[key] = _unknown(f"not looked up: there are more than {MAX_KEYS:,} different packets")
    return found


def _unknown(reason: str) -> Answer:
    return Answer(Said.UNKNOWN, reason=reason)


def _answer(model: Snapshot, key: DropKey, names: Mapping[str, str]) -> Answer:
    host = _host_of(model, names.get(key.node, key.node))
    if host is None:
        return _unknown(f"{key.node} was not collected")
    if not key.hook:
        return _unknown("the kernel's calls do not tell in which hook it was")
    netns = host.namespaces.get(key.netns)
    if netns is None:
        return _unknown(
            f"the namespace {key.netns} of {key.node} is not in the snapshot: it ended, or was not read"
        )
    label = model.labels.get((host.name, key.netns), "")
    if key.owner and label and key.owner != label:
        return _unknown(f"the namespace {key.netns} was {key.owner}'s, and is {label}'s in the snapshot")
    device = netns.links.get(key.ifindex)
    if key.ifindex and device is None:
        return _unknown(f"the device {key.ifindex} is not in the snapshot")
    place = Place(model.network.topology, netns, key, device)
    if key.hook in Hook.__members__:
        return _at_ip_hook(place, Hook[key.hook])
    return _at_device(place)


def _host_of(model: Snapshot, name: str) -> Host | None:
    """Return the collected host of a node: by the inventory's name for it, its own, or what the API knows it by.

    `pod_names.node_label` is the way there.
    """
    if name in model.hosts:
        return model.hosts[name]
    node = model.cluster.nodes.get(name)
    for _, address in node.addresses if node is not None else ():
        owner = model.owner(address)
        host = model.hosts.get(address if owner is None else owner[0])
        if host is not None:
            return host
    named = [host for host in model.hosts.values() if host.hostname == name]
    return named[0] if len(named) == 1 else None


def _at_ip_hook(place: Place, hook: Hook) -> Answer:
    packet = packet_of(place.key)
    if isinstance(packet, str):
        return _unknown(packet)
    netns, topology = place.netns, place.topology
    unread = unread_parts(topology, netns, packet.family)
    if unread:
        return _unknown(f"rules of that namespace were not read: {', '.join(unread)}")
    asked = asked_for(topology, netns, hook, packet.family)
    connections = connections_of(topology, netns)
    found = _Found()
    for unlikely in (False, True):
        for supposed in suppositions(connections, packet, asked, unlikely=unlikely):
            found.explore(partial(run_ip_hook, place, hook, packet, supposed), supposed.words)
        if found.rules:
            break
        found.counted_only = True
    none = "no rule of the snapshot drops it: rules may have changed since"
    if hook in {Hook.INPUT, Hook.POSTROUTING}:
        none += ", or conntrack dropped it because it had an entry like the packet's"
    return found.answer(none, asked.unseen)


def _at_device(place: Place) -> Answer:
    hook = place.key.hook
    if hook.startswith("arp"):
        return _unknown("rules for ARP were not asked: an event does not tell what the ARP packet says")
    packet = packet_of(place.key)
    if isinstance(packet, str):
        return _unknown(packet)
    if "nft" in place.netns.gaps:
        return _unknown(f"rules of that namespace were not read: nft: {place.netns.gaps['nft']}")
    if not device_chains(place):
        also = "; ebtables' own tables are not collected" if hook.startswith("bridge") else ""
        return Answer(
            Said.NONE,
            reason=f"the snapshot has no chain of nft at {hook}: rules may have changed since{also}",
        )
    found = _Found()
    found.explore(partial(run_device_hook, place, packet), ())
    return found.answer(f"no rule of nft at {hook} drops it: rules may have changed since", ())


@dataclass(slots=True)
class _Found:
    """What the runs have come to: the rules that dropped, with the shortest condition of each."""

    rules: dict[tuple[str, str], tuple[Evidence, tuple[str, ...]]] = field(default_factory=dict)
    passed: bool = False
    doubts: dict[str, None] = field(default_factory=dict)
    counted_only: bool = False
    """Whether a rule whose counter is 0 is passed over: what is unlikely is no better for having no trace."""

    def explore(self, run: Callable[[Choices], Ends], supposed: tuple[str, ...]) -> None:
        """Try all branches of one supposition."""
        explored = explore(run, MAX_RUNS)
        if explored.truncated:
            self.doubts[f"more than {MAX_RUNS} branches, not all of them tried"] = None
        for each in explored.runs:
            taken = conditions((pick.kind, pick.reason, pick.label) for pick in each.picks)
            self._take(each.result, (*supposed, *taken))

    def _take(self, ends: Ends, condition: tuple[str, ...]) -> None:
        if ends.doubt:
            self.doubts[ends.doubt] = None
        elif ends.rule is None or (self.counted_only and not ends.rule.packets):
            self.passed = True
        else:
            identity = ends.rule.location, ends.rule.text
            known = self.rules.get(identity)
            if known is None or len(condition) < len(known[1]):
                self.rules[identity] = ends.rule, condition

    def answer(self, none: str, unseen: tuple[str, ...]) -> Answer:
        """Return what all runs say, rules that have counted packets first; ``none`` is said when nothing drops."""
        doubts = tuple(self.doubts)
        if not self.rules:
            said = Said.UNKNOWN if doubts else Said.NONE
            return Answer(
                said, reason="; ".join((*doubts, *(unseen if not doubts else ()))) if doubts else none
            )
        counted = sorted(self.rules.values(), key=lambda pair: pair[0].packets == 0)
        certain = len(self.rules) == 1 and not self.passed and not doubts
        blames = tuple(Blame(rule, "" if certain else " and ".join(condition)) for rule, condition in counted)
        weak = [*doubts, *unseen]
        if len(blames) == 1 and blames[0].rule.packets == 0:
            weak.append("its counter is 0: it is newer than the drop, or was reset")
        return Answer(Said.RULE if len(blames) == 1 else Said.ONE_OF, blames, "; ".join(weak))
