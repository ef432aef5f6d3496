"""The evaluation of nftables chains (nf_tables_core.c: nft_do_chain), rule by rule.

A rule is made ready when a packet first meets it: its matches become tests, its other statements effects.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from skoopctl.dataplane.choice import ChoiceKind
from skoopctl.dataplane.rules.nft import effects
from skoopctl.dataplane.rules.nft.fields import AbsentError
from skoopctl.dataplane.rules.nft.sets import TableSets
from skoopctl.dataplane.rules.nft.types import UnclearError
from skoopctl.dataplane.rules.nft.values import Test, Values
from skoopctl.dataplane.rules.ruling import ACCEPT, DROP, RETURN, Action, Ruling
from skoopctl.dataplane.rules.scene import Scene
from skoopctl.dataplane.trace import Evidence
from skoopctl.dataplane.truth import Undecided, Unknown
from skoopctl.kernel.netns import NetNamespace
from skoopctl.kernel.nft import (
    BudgetStatement,
    CounterStatement,
    ForwardStatement,
    MangleStatement,
    MatchStatement,
    NatStatement,
    NftChain,
    NftRule,
    NftTable,
    NoEffectStatement,
    NotrackStatement,
    QueueStatement,
    RejectStatement,
    SetUpdateStatement,
    Statement,
    SynproxyStatement,
    TproxyStatement,
    UnknownStatement,
    VerdictStatement,
    VmapStatement,
)

MAX_DEPTH = 16
"""The kernel's NFT_JUMP_STACK_SIZE: rule sets that jump deeper are refused."""
_QUIET = (CounterStatement, NoEffectStatement)
_MATCHING_XT = "xt match"


@dataclass(frozen=True, slots=True)
class _Break:
    """The rule stops here without a verdict."""


@dataclass(frozen=True, slots=True)
class _Goto:
    """A goto was taken: the chain that it left has ended with what the other one said."""

    ruling: Ruling | None


@dataclass(frozen=True, slots=True)
class _CameBack:
    """A jump led to a chain that gave no verdict: the caller goes on with the next rule."""


BREAK = _Break()
CAME_BACK = _CameBack()
_Result = Ruling | _Break | _Goto | _CameBack | None
"""What a statement says: a verdict, stop this rule, or (None) go on with the next statement."""

_Act = Callable[[Scene, int], _Result]


@dataclass(slots=True)
class _Rule:
    """A rule made ready: tests, each run of them followed by an effect; tests behind the last decide nothing."""

    rule: NftRule
    steps: list[tuple[list[Test], _Act]]


class NftEvaluator:
    """One nftables table of one namespace."""

    def __init__(self, table: NftTable, netns: NetNamespace) -> None:
        self.table = table
        self._node = netns.host
        self._netns = netns.inode
        devices = {link.name: link.index for link in netns.links.values()}
        self._values = Values(TableSets(table, (netns.host, netns.inode)), table.family, devices)
        self._chains: dict[str, list[_Rule]] = {}
        self._evidence: dict[int, Evidence] = {}

    def run(self, chain: NftChain, scene: Scene) -> Ruling:
        """Send a packet through a base chain; its policy decides in the end."""
        ruling = self._run_chain(chain, scene, 0)
        if ruling is None or ruling.action is Action.RETURN:
            if chain.policy == "drop":
                scene.evidence.append(self._policy_evidence(chain))
                return DROP
            return ACCEPT
        return ruling

    def _run_chain(self, chain: NftChain, scene: Scene, depth: int) -> Ruling | None:
        """Return the verdict of a chain, or None when it ends without one (or with return)."""
        if depth > MAX_DEPTH:
            reason = f"chain {chain.name} of table {self.table.name} calls itself"
            scene.unknowns.append(reason)
            return ACCEPT if scene.choices.unknown(reason, key=(id(chain), "loop")) else DROP
        for rule in self._compiled(chain):
            result = self._run_rule(rule, scene, depth)
            if result is None or result is BREAK or result is CAME_BACK:
                continue
            if isinstance(result, _Goto):
                return result.ruling
            if isinstance(result, Ruling):
                return None if result.action is Action.RETURN else result
        return None

    def _run_rule(self, compiled: _Rule, scene: Scene, depth: int) -> _Result:
        """Run one rule; it is evidence if it gave a verdict, changed something, or led to a rule that did."""
        mark = done = 0
        result: _Result = None
        for tests, act in compiled.steps:
            if tests and not self._matches(tests, compiled.rule, scene):
                break
            if not done:
                mark = len(scene.evidence)
                scene.evidence.append(self._rule_evidence(compiled.rule))
            done += 1
            result = self._do(act, compiled.rule, scene, depth)
            if result is not None:
                break
        # A rule that only looked something up, or jumped and came back, has decided nothing.
        if done == 1 and (result is BREAK or result is CAME_BACK) and len(scene.evidence) == mark + 1:
            del scene.evidence[mark:]
        return result

    def _do(self, act: _Act, rule: NftRule, scene: Scene, depth: int) -> _Result:
        """Act on a statement; without the field that it needs the rule ends, and doubt is walked both ways."""
        try:
            return act(scene, depth)
        except AbsentError:
            return BREAK
        except UnclearError as error:
            return self._unclear(str(error), rule, scene)

    # --- matches -----------------------------------------------------------------------------------------

    def _matches(self, tests: list[Test], rule: NftRule, scene: Scene) -> bool:
        """Kleene AND over tests; what stays undecided is decided by a branch."""
        undecided: list[tuple[Test, Undecided]] = []
        for test in tests:
            truth = test(scene)
            if truth is False:
                return False
            if truth is not True:
                undecided.append((test, truth))
        return not undecided or self._resolve(undecided, rule, scene)

    def _resolve(self, undecided: list[tuple[Test, Undecided]], rule: NftRule, scene: Scene) -> bool:
        """Turn what is undecided into branches; each may narrow the packet, so the next is asked again."""
        place = self._place(rule)
        key = self._key(rule, scene)
        unknown = [truth for _, truth in undecided if isinstance(truth, Unknown)]
        if unknown:
            reasons = "; ".join(dict.fromkeys(truth.reason for truth in unknown))
            if not scene.decide(Unknown(f"{place} on {self._node}: {reasons}"), place, key):
                return False
        for n, (test, truth) in enumerate(undecided):
            if isinstance(truth, Unknown):
                continue
            now = test(scene)
            if now is False:
                return False
            if now is not True and not scene.decide(now, place, (*key, n)):
                return False
        return True

    @staticmethod
    def _key(rule: NftRule, scene: Scene) -> tuple[object, ...]:
        tracking = scene.packet.tracking
        return id(rule), scene.netns.inode, scene.hook, tracking.is_reply if tracking else False

    def _unclear(self, reason: str, rule: NftRule, scene: Scene) -> _Result:
        """A statement that cannot be understood may do nothing, accept or drop."""
        text = f"{self._place(rule)} on {self._node}: {reason}"
        scene.unknowns.append(text)
        options = (("goes on", 1.0), ("accepts", 1.0), ("drops", 1.0))
        picked = scene.choices.pick(ChoiceKind.UNKNOWN, text, options, key=self._key(rule, scene))
        return (None, ACCEPT, DROP)[picked]

    # --- making rules ready ------------------------------------------------------------------------------

    def _compiled(self, chain: NftChain) -> list[_Rule]:
        """Return the chain's rules made ready."""
        known = self._chains.get(chain.name)
        if known is None:
            known = self._chains[chain.name] = [self._compile(rule) for rule in chain.rules]
        return known

    def _compile(self, rule: NftRule) -> _Rule:
        steps: list[tuple[list[Test], _Act]] = []
        tests: list[Test] = []
        for statement in rule.statements:
            if isinstance(statement, MatchStatement):
                tests.append(self._values.match(statement))
            elif not isinstance(statement, _QUIET):
                steps.append((tests, self._effect(statement, rule)))
                tests = []
        return _Rule(rule, steps)

    def _effect(self, statement: Statement, rule: NftRule) -> _Act:
        """Return what a statement does; one that cannot be understood may do anything."""
        maker = _MAKERS.get(type(statement))
        if maker is None:
            return self._opaque(type(statement).__name__)
        try:
            return maker(self, statement, rule)
        except UnclearError as error:
            return self._opaque(str(error))

    @staticmethod
    def _opaque(reason: str) -> _Act:
        def act(_scene: Scene, _depth: int) -> _Result:
            raise UnclearError(reason)

        return act

    def verdict(self, statement: VerdictStatement, _rule: NftRule) -> _Act:
        """``accept drop return continue jump goto``."""
        simple: dict[str, _Result] = {"accept": ACCEPT, "drop": DROP, "return": RETURN, "continue": CAME_BACK}
        if statement.kind in simple:
            result = simple[statement.kind]
            return lambda _scene, _depth: result
        chain = self.table.chains.get(statement.chain)
        if chain is None:
            raise UnclearError(f"the chain {statement.chain} is not in the dump")
        if statement.kind == "goto":
            return lambda scene, depth: _Goto(self._run_chain(chain, scene, depth + 1))

        def jump(scene: Scene, depth: int) -> _Result:
            ruling = self._run_chain(chain, scene, depth + 1)
            return CAME_BACK if ruling is None else ruling

        return jump

    def vmap(self, statement: VmapStatement, rule: NftRule) -> _Act:
        """``KEY vmap DATA``: the verdict of the element, or on with the next rule."""
        find = self._values.find(statement.key, statement.data)

        def act(scene: Scene, depth: int) -> _Result:
            element = find(scene)
            if element is None or not isinstance(element.value, VerdictStatement):
                return BREAK
            return self.verdict(element.value, rule)(scene, depth)

        return act

    def mangle(self, statement: MangleStatement, _rule: NftRule) -> _Act:
        """``KEY set VALUE``."""
        return _quietly(effects.mangle(statement, self._values))

    def update(self, statement: SetUpdateStatement, _rule: NftRule) -> _Act:
        """``add @set { … }`` and its kin."""
        return _quietly(effects.update(statement, self._values))

    def nat(self, statement: NatStatement, _rule: NftRule) -> _Act:
        """``snat dnat masquerade redirect``."""
        return _quietly(effects.nat(statement, self._values))

    def reject(self, statement: RejectStatement, _rule: NftRule) -> _Act:
        """``reject``."""
        return _quietly(effects.reject(statement))

    def notrack(self, _statement: NotrackStatement, _rule: NftRule) -> _Act:
        """``notrack``."""
        return _quietly(effects.notrack)

    def budget(self, statement: BudgetStatement, rule: NftRule) -> _Act:
        """``limit`` and its kin: the rule goes on, or stops, by what other packets have used up."""
        return self._maybe(statement.name, rule)

    def _maybe(self, what: str, rule: NftRule) -> _Act:
        reason = f"{self._place(rule)} on {self._node}: {what}"

        def act(scene: Scene, _depth: int) -> _Result:
            return None if scene.decide(Unknown(reason), rule.text, self._key(rule, scene)) else BREAK

        return act

    def queue(self, statement: QueueStatement, _rule: NftRule) -> _Act:
        """``queue``: a program in user space decides; ``bypass`` is for when none listens."""
        extra = ", or nobody, and then it passes" if statement.bypass else ""
        reason = f"queue: a program in user space decides{extra}"

        def act(scene: Scene, _depth: int) -> _Result:
            scene.unknowns.append(reason)
            return ACCEPT if scene.choices.unknown(reason, key=("queue", self._netns, scene.hook)) else DROP

        return act

    def forward(self, statement: ForwardStatement, _rule: NftRule) -> _Act:
        """``fwd to DEVICE``: the packet leaves by another device, where the walk does not follow."""
        raise UnclearError(
            f"fwd moves the packet to {statement.device}, and the walk does not follow it there"
        )

    def tproxy(self, statement: TproxyStatement, _rule: NftRule) -> _Act:
        """``tproxy``: a local socket may take the packet."""
        raise UnclearError(f"tproxy may hand the packet to a local socket at {statement.target}")

    def synproxy(self, _statement: SynproxyStatement, _rule: NftRule) -> _Act:
        """``synproxy``: the kernel answers for the server first."""
        raise UnclearError("synproxy answers the SYN in the server's place")

    def unknown(self, statement: UnknownStatement, rule: NftRule) -> _Act:
        """Statements outside the model: a match of iptables may match, anything else may do anything."""
        if statement.reason.startswith(_MATCHING_XT):
            return self._maybe(statement.reason, rule)
        raise UnclearError(statement.reason)

    # --- evidence ----------------------------------------------------------------------------------------

    def _place(self, rule: NftRule) -> str:
        return f"nft {rule.family} {rule.table} {rule.chain} rule {rule.number}"

    def _rule_evidence(self, rule: NftRule) -> Evidence:
        """Return a rule as evidence; made once, because every packet meets the rule again."""
        known = self._evidence.get(id(rule))
        if known is None:
            known = self._evidence[id(rule)] = self._make_evidence(rule)
        return known

    def _make_evidence(self, rule: NftRule) -> Evidence:
        counter = rule.counter
        return Evidence(
            kind="nft-rule",
            text=rule.text,
            location=f"{rule.family} {rule.table} {rule.chain} rule {rule.number} (handle {rule.handle})",
            packets=counter.packets if counter else None,
            octets=counter.octets if counter else None,
            node=self._node,
            netns=self._netns,
        )

    def _policy_evidence(self, chain: NftChain) -> Evidence:
        return Evidence(
            kind="nft-policy",
            text=f"type {chain.type} hook {chain.hook} priority {chain.priority}; policy {chain.policy};",
            location=f"{self.table.family} {self.table.name} {chain.name} policy",
            node=self._node,
            netns=self._netns,
        )


def _quietly(effect: effects.Effect) -> _Act:
    return lambda scene, _depth: effect(scene)


_Maker = Callable[..., _Act]
_MAKERS: dict[type, _Maker] = {
    VerdictStatement: NftEvaluator.verdict,
    VmapStatement: NftEvaluator.vmap,
    MangleStatement: NftEvaluator.mangle,
    NatStatement: NftEvaluator.nat,
    RejectStatement: NftEvaluator.reject,
    NotrackStatement: NftEvaluator.notrack,
    SetUpdateStatement: NftEvaluator.update,
    BudgetStatement: NftEvaluator.budget,
    QueueStatement: NftEvaluator.queue,
    ForwardStatement: NftEvaluator.forward,
    TproxyStatement: NftEvaluator.tproxy,
    SynproxyStatement: NftEvaluator.synproxy,
    UnknownStatement: NftEvaluator.unknown,
}
