"""Policy rules: which ones a lookup meets, in order, and whether each matches.

Sources: net/core/fib_rules.c (fib_rule_match, fib_rules_lookup), net/ipv4/fib_rules.c (fib4_rule_match),
net/ipv6/fib6_rules.c (fib6_rule_match).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from skoopctl.dataplane.routes.l3mdev import l3_master_index
from skoopctl.dataplane.routes.query import Query
from skoopctl.dataplane.truth import Truth, Undecided, Unknown, ports_within
from skoopctl.kernel.address import IPNetwork
from skoopctl.kernel.netns import NetNamespace
from skoopctl.kernel.route import TABLE_DEFAULT, TABLE_LOCAL, TABLE_MAIN, PolicyRule, RuleAction

Decide = Callable[[Undecided, PolicyRule, Query], tuple[bool, Query]]
"""Answers a match that the model cannot decide, and narrows the query's ports to that answer."""

_DEFAULT_RULES = {
    4: (
        (0, TABLE_LOCAL, "0:\tfrom all lookup local"),
        (32766, TABLE_MAIN, "32766:\tfrom all lookup main"),
        (32767, TABLE_DEFAULT, "32767:\tfrom all lookup default"),
    ),
    6: ((0, TABLE_LOCAL, "0:\tfrom all lookup local"), (32766, TABLE_MAIN, "32766:\tfrom all lookup main")),
}
# The tos bits that a route or an IPv4 rule compares (INET_DSCP_LEGACY_TOS_MASK).
LEGACY_TOS = 0x1C
_DSCP = 0xFC
_EVERY_UID = (0, 0xFFFFFFFE)
# Fewer rules than this are tried one after the other: an index would cost more than it saves.
_WORTH_AN_INDEX = 12


def rules_of(netns: NetNamespace, family: int) -> tuple[PolicyRule, ...]:
    """Return the namespace's rules in order, or the kernel's defaults when they were not read."""
    rules = [rule for rule in netns.rules if rule.family == family]
    if not rules:
        rules = [
            PolicyRule(family, priority, table=table, text=text)
            for priority, table, text in _DEFAULT_RULES[family]
        ]
    return tuple(sorted(rules, key=lambda rule: rule.priority))


def has_custom_rules(rules: tuple[PolicyRule, ...]) -> bool:
    """Tell whether there are rules beyond the kernel's own (fib4_has_custom_rules)."""
    own = {(0, TABLE_LOCAL), (32766, TABLE_MAIN), (32767, TABLE_DEFAULT)}
    return any((rule.priority, rule.table) not in own for rule in rules)


@dataclass(slots=True)
class RuleList:
    """The rules of one family, indexed by the selector of each that leaves out the most packets.

    Nodes with a rule for every pod or every mark hold hundreds: a lookup meets those that can match.
    """

    netns: NetNamespace
    rules: tuple[PolicyRule, ...]
    _always: list[int] = field(default_factory=list)
    _by_source: dict[int, dict[int, list[int]]] = field(default_factory=dict)
    _by_destination: dict[int, dict[int, list[int]]] = field(default_factory=dict)
    _by_mark: dict[int, dict[int, list[int]]] = field(default_factory=dict)
    _by_iif: dict[str, list[int]] = field(default_factory=dict)
    _by_oif: dict[str, list[int]] = field(default_factory=dict)
    _first: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        indexed = len(self.rules) >= _WORTH_AN_INDEX
        for position, rule in enumerate(self.rules):
            self._first.setdefault(rule.priority, position)
            self._slot(rule, indexed).append(position)

    def _slot(self, rule: PolicyRule, indexed: bool) -> list[int]:
        """Return the list that a rule belongs to. An inverted rule matches what its selectors leave out."""
        if not indexed or rule.invert:
            return self._always
        for network, index in ((rule.source, self._by_source), (rule.destination, self._by_destination)):
            if network is not None and network.prefixlen:
                networks = index.setdefault(int(network.netmask), {})
                return networks.setdefault(int(network.network_address), [])
        if rule.iif and rule.iif != "lo":
            return self._by_iif.setdefault(rule.iif, [])
        if rule.oif:
            return self._by_oif.setdefault(rule.oif, [])
        if rule.fwmask:
            return self._by_mark.setdefault(rule.fwmask, {}).setdefault(rule.fwmark & rule.fwmask, [])
        return self._always

    def walk(self, query: Query, decide: Decide | None) -> Iterator[tuple[PolicyRule, Query, str]]:
        """Yield each rule that matches and acts, with the query as it stands, and what is in doubt."""
        doubt = ""
        positions = self._candidates(query)
        place = 0
        while place < len(positions):
            rule = self.rules[positions[place]]
            place += 1
            matched, query, uncertain = self._matches(rule, query, decide)
            if not matched:
                continue
            doubt = doubt or uncertain
            if rule.action is RuleAction.GOTO:
                # A goto to a priority that no rule has is passed over (fib_rules_lookup: ctarget is NULL).
                target = self._first.get(rule.goto, -1)
                if target >= 0:
                    place = max(place, bisect_left(positions, target))
            elif rule.action is not RuleAction.NOP:
                yield rule, query, doubt

    def _candidates(self, query: Query) -> list[int]:
        """Return the positions of the rules that can match, in order."""
        found = [self._always]
        for index, ip in ((self._by_source, query.source), (self._by_destination, query.destination)):
            found += [networks[ip & mask] for mask, networks in index.items() if ip & mask in networks]
        for mask, marks in self._by_mark.items():
            found.append(marks.get(query.mark & mask, []))
        found += [self._by_iif.get(name, []) for name in self._in_names(query)]
        found += [self._by_oif.get(name, []) for name in self._out_names(query)]
        lists = [positions for positions in found if positions]
        return lists[0] if len(lists) == 1 else sorted(position for each in lists for position in each)

    def _matches(self, rule: PolicyRule, query: Query, decide: Decide | None) -> tuple[bool, Query, str]:
        """Tell whether a rule matches; without anybody to decide, an undecided one does, with a doubt."""
        undecided: list[Undecided] = []
        for truth in self._truths(rule, query):
            if truth is False:
                return rule.invert, query, ""
            if truth is not True:
                undecided.append(truth)
        if undecided and decide is None:
            return True, query, f"policy rule {rule.text!r}: {undecided[0].reason}"
        for question in undecided:
            assert decide is not None  # noqa: S101 - looked at above
            yes, query = decide(question, rule, query)
            if not yes:
                return rule.invert, query, ""
        return not rule.invert, query, ""

    def _truths(self, rule: PolicyRule, query: Query) -> Iterator[Truth]:
        """Yield what each of a rule's selectors says, the cheap ones first."""
        if rule.source is not None:
            yield _inside(query.source, rule.source)
        if rule.destination is not None:
            yield _inside(query.destination, rule.destination)
        yield ((query.mark ^ rule.fwmark) & rule.fwmask) == 0
        if rule.iif:
            yield rule.iif in self._in_names(query)
        if rule.oif:
            yield rule.oif in self._out_names(query)
        yield from self._rare_truths(rule, query)

    def _rare_truths(self, rule: PolicyRule, query: Query) -> Iterator[Truth]:
        if rule.ip_protocol:
            yield rule.ip_protocol == query.protocol
        if rule.tos:
            yield rule.tos == query.tos & (LEGACY_TOS if rule.family == 4 else _DSCP)
        if rule.dscp is not None:
            value, mask = rule.dscp
            yield ((query.tos >> 2) ^ value) & mask == 0
        if rule.l3mdev:
            yield bool(self.l3mdev(query))
        if rule.tun_id:
            yield self._tunnel_id(query)
        yield from self._undecided(rule, query)

    def _undecided(self, rule: PolicyRule, query: Query) -> Iterator[Truth]:
        if rule.source_ports is not None:
            yield ports_within(query.source_ports, *rule.source_ports, "source")
        if rule.destination_ports is not None:
            yield ports_within(query.destination_ports, *rule.destination_ports, "destination")
        if rule.uids is not None:
            yield self._user(rule.uids, query)
        if rule.undecoded:
            yield Unknown(f"{', '.join(rule.undecoded)} is outside the model")

    def _user(self, uids: tuple[int, int], query: Query) -> Truth:
        """A packet born here has its socket's user, one from outside the namespace's root (sock_net_uid)."""
        if uids == _EVERY_UID or (query.iif != "lo" and uids[0] == 0 and self.netns.is_host):
            return True
        if query.iif != "lo" and self.netns.is_host:
            return False
        return Unknown("uidrange depends on which user's program sends")

    def _tunnel_id(self, query: Query) -> Truth:
        """Only a packet out of a tunnel with metadata has an id (``external`` devices)."""
        link = self.netns.link_named(query.iif) if query.iif != "lo" else None
        if link is None or link.kind not in {"vxlan", "geneve", "gre", "gretap", "ip6gre", "ip6gretap"}:
            return False
        if link.vxlan is not None and not link.vxlan.external:
            return False
        return Unknown("tun_id depends on the tunnel's metadata")

    def l3mdev(self, query: Query) -> int:
        """Return the VRF that a query belongs to, or 0 (l3mdev_update_flow)."""
        if query.l3mdev or query.oif:
            return query.l3mdev or l3_master_index(self.netns, query.oif)
        link = self.netns.link_named(query.iif) if query.iif not in {"", "lo"} else None
        return l3_master_index(self.netns, link.index) if link is not None else 0

    def _in_names(self, query: Query) -> tuple[str, ...]:
        """Return the names that ``iif`` may have: the device's, and its VRF's (fib_rule_iif_match)."""
        master = self.netns.links.get(self.l3mdev(query))
        return (query.iif,) if master is None else (query.iif, master.name)

    def _out_names(self, query: Query) -> tuple[str, ...]:
        names = [self.netns.links[i].name for i in (query.oif, self.l3mdev(query)) if i in self.netns.links]
        return tuple(dict.fromkeys(names))


def _inside(ip: int, network: IPNetwork) -> bool:
    return (ip & int(network.netmask)) == int(network.network_address)
