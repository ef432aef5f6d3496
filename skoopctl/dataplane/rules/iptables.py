"""The evaluation of iptables chains, as ip_tables.c (ipt_do_table) and nf_tables' compat layer do it."""

from __future__ import annotations

from dataclasses import dataclass

from skoopctl.dataplane.rules.matches import Predicate, compile_match
from skoopctl.dataplane.rules.matches.address import network_of
from skoopctl.dataplane.rules.ruling import ACCEPT, DROP, RETURN, Action, Ruling
from skoopctl.dataplane.rules.scene import Scene
from skoopctl.dataplane.rules.targets.registry import TARGETS, any_ruling, unknown_target
from skoopctl.dataplane.trace import Evidence
from skoopctl.dataplane.truth import Undecided, Unknown
from skoopctl.kernel.iptables import Backend, Chain, Rule, Table

MAX_DEPTH = 64
"""Jumps deeper than this are a loop in the dump; the kernel refuses such rule sets."""
INDEX_FROM = 32
"""Chains of at least so many rules are looked through by the packet's destination."""


@dataclass(slots=True)
class _Compiled:
    """A rule made ready: its predicates, what it does, and what it leaves behind as evidence."""

    rule: Rule
    evidence: Evidence
    predicates: list[Predicate]
    jump: Chain | None
    goto: bool
    harmless: bool
    quiet: bool


class _Rules:
    """The rules of a chain made ready; in a long one, those for a single address are found by that address.

    kube-proxy's KUBE-SERVICES has one rule for each port of each service: nearly all are for other addresses.
    """

    def __init__(self, rules: list[_Compiled]) -> None:
        self._rules = rules
        self._by_destination: dict[int, list[_Compiled]] = {}
        self._others = rules
        if len(rules) >= INDEX_FROM:
            self._index()

    def _index(self) -> None:
        wanted = [_single_destination(compiled.rule) for compiled in self._rules]
        self._others = [rule for rule, address in zip(self._rules, wanted, strict=True) if address is None]
        places: dict[int, list[int]] = {}
        for place, address in enumerate(wanted):
            if address is not None:
                places.setdefault(address, []).append(place)
        general = [place for place, address in enumerate(wanted) if address is None]
        self._by_destination = {
            address: [self._rules[place] for place in sorted((*own, *general))]
            for address, own in places.items()
        }

    def towards(self, destination: int) -> list[_Compiled]:
        """Return the rules that may match a packet to the address, in their order."""
        return self._by_destination.get(destination, self._others)


def _single_destination(rule: Rule) -> int | None:
    """Return the address that a rule is for, if it can match no other."""
    for match in rule.matches:
        for option in match.options:
            if not match.module and option.name == "destination" and not option.inverted:
                return _single_address(option.values[0] if option.values else "")
    return None


def _single_address(text: str) -> int | None:
    """Return the address of ``10.0.0.1/32`` or ``fd00::1/128``, or None for a wider network."""
    try:
        address, mask = network_of(text)
    except ValueError:
        return None
    return address if mask == (1 << (128 if ":" in text else 32)) - 1 else None


class TableEvaluator:
    """One table of one namespace, compiled chain by chain when a packet first meets it."""

    def __init__(self, table: Table, node: str, netns: int) -> None:
        self.table = table
        self._node = node
        self._netns = netns
        self._chains: dict[str, _Rules] = {}

    def run(self, chain_name: str, scene: Scene) -> Ruling:
        """Send a packet through a built-in chain and return the verdict, the policy's in the end."""
        chain = self.table.chains.get(chain_name)
        if chain is None:
            return ACCEPT
        ruling = self._run_chain(chain, scene, 0)
        if ruling is None or ruling.action is Action.RETURN:
            if chain.policy == "DROP":
                scene.evidence.append(self._policy_evidence(chain))
                return DROP
            return ACCEPT
        return ruling

    def _run_chain(self, chain: Chain, scene: Scene, depth: int) -> Ruling | None:
        """Return the verdict of a chain, or None when it ends without one (or with RETURN)."""
        if depth > MAX_DEPTH:
            reason = f"chain {chain.name} of table {self.table.name} calls itself"
            scene.unknowns.append(reason)
            return ACCEPT if scene.choices.unknown(reason, key=(id(chain), "loop")) else DROP
        for compiled in self._compiled(chain).towards(scene.packet.destination):
            if not self._matches(compiled, scene):
                continue
            mark = len(scene.evidence)
            scene.evidence.append(compiled.evidence)
            ruling = self._act(compiled, scene, depth)
            if ruling is None:
                if not compiled.goto:
                    self._forget_quiet(scene, mark, compiled)
                    continue
                return None
            return None if ruling.action is Action.RETURN else ruling
        return None

    def _forget_quiet(self, scene: Scene, mark: int, compiled: _Compiled) -> None:
        """Drop the evidence of a rule that led nowhere: a jump that came back without having done anything."""
        led_on = len(scene.evidence) > mark + 1
        if compiled.harmless or compiled.quiet or (compiled.jump is not None and not led_on):
            del scene.evidence[mark:]

    def _act(self, compiled: _Compiled, scene: Scene, depth: int) -> Ruling | None:
        """Do what a matching rule says."""
        target = compiled.rule.target
        if target is None:
            return self._cut_off(compiled.rule, scene) if compiled.rule.problem else None
        if compiled.jump is not None:
            return self._run_chain(compiled.jump, scene, depth + 1)
        if target.name == "RETURN":
            return RETURN
        effect = TARGETS.get(target.name)
        if effect is None:
            return unknown_target(scene, target, (id(compiled.rule), scene.hook))
        try:
            return effect.act(scene, target)
        except (ValueError, KeyError, IndexError):
            reason = f"-j {target.name} cannot be read: {compiled.rule.text}"
            return unknown_target(scene, target, (id(compiled.rule), scene.hook), reason)

    def _cut_off(self, rule: Rule, scene: Scene) -> Ruling | None:
        """Branch over what a rule may do that could be read only as far as before its target."""
        place = f"{rule.table} {rule.chain} rule {rule.number} on {self._node}"
        reason = f"{place}: what the rule does cannot be read ({rule.problem})"
        return any_ruling(scene, reason, (id(rule), "target", scene.hook))

    def _matches(self, compiled: _Compiled, scene: Scene) -> bool:
        """Kleene AND over the predicates; what stays undecided is decided by a branch."""
        undecided: list[Undecided] | None = None
        for predicate in compiled.predicates:
            truth = predicate(scene)
            if truth is False:
                return False
            if truth is not True:
                undecided = [*(undecided or ()), truth]
        if undecided is None:
            return True
        if compiled.harmless:
            return False
        label = _branch_label(compiled.rule)
        key = (id(compiled.rule), scene.netns.inode, scene.hook, self._direction(scene))
        unknown = [truth for truth in undecided if isinstance(truth, Unknown)]
        if unknown:
            where = f"{self.table.name} {compiled.rule.chain} rule {compiled.rule.number} on {self._node}"
            reason = f"{where}: " + "; ".join(dict.fromkeys(truth.reason for truth in unknown))
            if not scene.decide(Unknown(reason), label, key):
                return False
        return all(
            scene.decide(truth, label, (*key, n))
            for n, truth in enumerate(undecided)
            if not isinstance(truth, Unknown)
        )

    @staticmethod
    def _direction(scene: Scene) -> bool:
        tracking = scene.packet.tracking
        return tracking.is_reply if tracking else False

    def _compiled(self, chain: Chain) -> _Rules:
        """Return the chain's rules made ready."""
        known = self._chains.get(chain.name)
        if known is None:
            known = self._chains[chain.name] = _Rules([self._compile(rule) for rule in chain.rules])
        return known

    def _compile(self, rule: Rule) -> _Compiled:
        predicates = [predicate for match in rule.matches for predicate in compile_match(match)]
        target = rule.target
        jump = self.table.chains.get(target.name) if target and target.name not in TARGETS else None
        effect = TARGETS.get(target.name) if target else None
        harmless = not rule.problem and (target is None or (effect is not None and effect.harmless))
        if rule.problem:
            unreadable = Unknown(f"the rule cannot be read ({rule.problem})")
            predicates.append(lambda _scene: unreadable)
        evidence = self._rule_evidence(rule)
        quiet = effect is not None and effect.quiet
        return _Compiled(rule, evidence, predicates, jump, bool(target and target.goto), harmless, quiet)

    def _rule_evidence(self, rule: Rule) -> Evidence:
        suffix = " (legacy)" if self.table.backend is Backend.LEGACY else ""
        return Evidence(
            kind="iptables-rule",
            text=rule.text,
            location=f"{rule.table} {rule.chain} rule {rule.number}{suffix}",
            packets=rule.packets,
            octets=rule.octets,
            node=self._node,
            netns=self._netns,
        )

    def _policy_evidence(self, chain: Chain) -> Evidence:
        return Evidence(
            kind="iptables-policy",
            text=f":{chain.name} {chain.policy}",
            location=f"{self.table.name} {chain.name} policy",
            node=self._node,
            netns=self._netns,
        )


def _branch_label(rule: Rule) -> str:
    """Name a branch by the rule's comment (kube-proxy writes the endpoint there), else by its place."""
    for match in rule.matches:
        if match.module == "comment" and match.options and match.options[0].values:
            return match.options[0].values[0]
    return f"{rule.table} {rule.chain} rule {rule.number}"
