"""The evaluation of nftables chains (nf_tables_core.c: nft_do_chain), statement by statement."""

from __future__ import annotations

from dataclasses import dataclass

from skoopctl.dataplane.choice import ChoiceKind
from skoopctl.dataplane.conntrack import bind_destination, bind_source
from skoopctl.dataplane.nft_values import (
    AbsentError,
    TableSets,
    UnclearError,
    Value,
    compare,
    flag_names,
    literal_value,
    matches,
    value_of,
)
from skoopctl.dataplane.packet import Ports, Unreachable
from skoopctl.dataplane.redirect import redirect_address
from skoopctl.dataplane.ruling import ACCEPT, DROP, RETURN, Action, Ruling
from skoopctl.dataplane.scene import Scene
from skoopctl.dataplane.targets import RANDOM_PORTS, masquerade_as, reject_error
from skoopctl.dataplane.trace import Evidence
from skoopctl.dataplane.truth import Truth, Undecided, Unknown, negate
from skoopctl.kernel.nft import (
    AnonymousSet,
    Binary,
    Concat,
    CounterStatement,
    Ct,
    Element,
    Expression,
    Literal,
    MangleStatement,
    MapLookup,
    MatchStatement,
    Meta,
    NatStatement,
    NftChain,
    NftRule,
    NftTable,
    NoEffectStatement,
    NotrackStatement,
    Numgen,
    Payload,
    Range,
    RejectStatement,
    SetReference,
    SetUpdateStatement,
    UnknownStatement,
    VerdictStatement,
    VmapStatement,
)

MAX_DEPTH = 32
_MATCH_LIKE = ("limit", "quota", "ct count", "connlimit", "xt match", "meter", "tproxy", "socket", "synproxy")
_QUIET = (CounterStatement, NoEffectStatement, SetUpdateStatement, MatchStatement)


@dataclass(frozen=True, slots=True)
class _Break:
    """The rule stops here without a verdict."""


BREAK = _Break()
_Result = Ruling | _Break | None
"""What a statement says: a verdict, stop this rule, or go on with the next statement."""

_VERDICTS: dict[str, Ruling | _Break] = {"accept": ACCEPT, "drop": DROP, "return": RETURN, "continue": BREAK}


class NftEvaluator:
    """One nftables table of one namespace."""

    def __init__(self, table: NftTable, node: str, netns: int) -> None:
        self.table = table
        self.sets = TableSets(table)
        self._node = node
        self._netns = netns
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
        if depth > MAX_DEPTH:
            reason = f"chain {chain.name} of table {self.table.name} calls itself"
            scene.unknowns.append(reason)
            return ACCEPT if scene.choices.unknown(reason, key=(id(chain), "loop")) else DROP
        for rule in chain.rules:
            mark = len(scene.evidence)
            scene.evidence.append(self._rule_evidence(rule))
            result, effective, went = self._run_rule(rule, scene, depth)
            if result is None and not effective and len(scene.evidence) == mark + 1:
                del scene.evidence[mark:]
            if went:
                return result
            if result is not None:
                return None if result.action is Action.RETURN else result
        return None

    def _run_rule(self, rule: NftRule, scene: Scene, depth: int) -> tuple[Ruling | None, bool, bool]:
        """Return (verdict, whether the packet was changed, whether a goto ended this chain)."""
        undecided: list[Undecided] = []
        effective = False
        for statement in rule.statements:
            if isinstance(statement, MatchStatement):
                truth = self._match(statement, scene)
                if truth is False:
                    return None, effective, False
                if truth is not True:
                    undecided.append(truth)
                continue
            if isinstance(statement, _QUIET):
                continue
            if undecided and not self._resolve(undecided, rule, scene):
                return None, effective, False
            undecided = []
            result = self._do(statement, rule, scene, depth)
            if isinstance(result, _Goto):
                return result.ruling, True, True
            if result is BREAK:
                return None, effective, False
            if isinstance(result, Ruling):
                return result, True, False
            effective = effective or isinstance(statement, MangleStatement | NotrackStatement | NatStatement)
        return None, effective, False

    def _do(self, statement: object, rule: NftRule, scene: Scene, depth: int) -> _Result | _Goto:
        """Act on a statement; without the field that it needs the rule ends, and doubt is walked both ways."""
        try:
            return self._act(statement, rule, scene, depth)
        except AbsentError:
            return BREAK
        except UnclearError as error:
            return self._unclear(str(error), rule, scene)

    # --- matches -----------------------------------------------------------------------------------------

    def _match(self, statement: MatchStatement, scene: Scene) -> Truth:
        try:
            value = value_of(statement.left, scene)
        except AbsentError:
            return False
        except UnclearError as error:
            return Unknown(str(error))
        operator = statement.operator
        if operator in {"<", ">", "<=", ">="}:
            return compare(value, operator, statement.right)
        if isinstance(value, frozenset) and _compares_all_flags(statement):
            truth = _same_flags(value, statement.right)
        else:
            truth = self._equal(value, statement.right, scene)
        return negate(truth, operator == "!=")

    def _equal(self, value: Value, right: Expression, scene: Scene) -> Truth:
        if isinstance(right, SetReference | AnonymousSet):
            try:
                return self.sets.of(right).find(value)[0]
            except UnclearError as error:
                return Unknown(str(error))
        if isinstance(right, Literal) or not _needs_packet(right):
            return matches(value, right)
        try:
            return value == value_of(right, scene)
        except AbsentError:
            return False
        except UnclearError as error:
            return Unknown(str(error))

    def _resolve(self, undecided: list[Undecided], rule: NftRule, scene: Scene) -> bool:
        """Turn what is undecided into branches."""
        place = self._place(rule)
        key = (id(rule), scene.netns.inode, scene.hook)
        unknown = [truth for truth in undecided if isinstance(truth, Unknown)]
        if unknown:
            reasons = "; ".join(dict.fromkeys(truth.reason for truth in unknown))
            if not scene.decide(Unknown(f"{place} on {self._node}: {reasons}"), place, key):
                return False
        return all(
            scene.decide(truth, place, (*key, n))
            for n, truth in enumerate(undecided)
            if not isinstance(truth, Unknown)
        )

    def _unclear(self, reason: str, rule: NftRule, scene: Scene) -> _Result:
        """A statement that cannot be understood may do nothing, accept or drop."""
        text = f"{self._place(rule)} on {self._node}: {reason}"
        scene.unknowns.append(text)
        options = (("goes on", 1.0), ("accepts", 1.0), ("drops", 1.0))
        picked = scene.choices.pick(ChoiceKind.UNKNOWN, text, options, key=(id(rule), scene.hook))
        return (None, ACCEPT, DROP)[picked]

    # --- statements --------------------------------------------------------------------------------------

    def _act(self, statement: object, rule: NftRule, scene: Scene, depth: int) -> _Result | _Goto:
        if isinstance(statement, VerdictStatement):
            return self._verdict(statement, scene, depth)
        if isinstance(statement, VmapStatement):
            return self._vmap(statement, rule, scene, depth)
        if isinstance(statement, MangleStatement):
            self._mangle(statement, scene)
            return None
        if isinstance(statement, NatStatement):
            return self._nat(statement, scene)
        if isinstance(statement, RejectStatement):
            return _reject(statement)
        if isinstance(statement, NotrackStatement):
            scene.packet.untracked = True
            return None
        if isinstance(statement, UnknownStatement) and statement.reason.startswith(_MATCH_LIKE):
            reason = f"{self._place(rule)} on {self._node}: {statement.reason}"
            return None if scene.decide(Unknown(reason), rule.text, (id(rule), scene.hook)) else BREAK
        reason = statement.reason if isinstance(statement, UnknownStatement) else type(statement).__name__
        return self._unclear(reason, rule, scene)

    def _verdict(self, statement: VerdictStatement, scene: Scene, depth: int) -> _Result | _Goto:
        kind = statement.kind
        if kind in {"accept", "drop", "return", "continue"}:
            return _VERDICTS[kind]
        if kind == "queue":
            reason = "queue: a program in user space decides"
            scene.unknowns.append(reason)
            return ACCEPT if scene.choices.unknown(reason) else DROP
        chain = self.table.chains.get(statement.chain)
        if chain is None:
            raise UnclearError(f"the chain {statement.chain} is not in the dump")
        ruling = self._run_chain(chain, scene, depth + 1)
        if kind == "goto":
            return _Goto(ruling)
        return BREAK if ruling is None else ruling

    def _vmap(self, statement: VmapStatement, rule: NftRule, scene: Scene, depth: int) -> _Result | _Goto:
        element = self._lookup(statement.key, statement.data, scene, rule)
        if element is None or not isinstance(element.value, VerdictStatement):
            return BREAK
        return self._verdict(element.value, scene, depth)

    def _lookup(
        self, key: Expression, data: Expression, scene: Scene, rule: NftRule | None
    ) -> Element | None:
        """Return the element of a map for a key; a random key is a branch over the elements."""
        index = self.sets.of(data)
        if isinstance(key, Numgen):
            elements = [*index.exact.values(), *index.others]
            return _pick_element(elements, key, scene)
        truth, element = index.find(value_of(key, scene))
        if isinstance(truth, bool):
            return element if truth else None
        place = self._place(rule) if rule else self.table.name
        return element if scene.decide(truth, place, (id(rule), id(element), scene.hook)) else None

    def _mangle(self, statement: MangleStatement, scene: Scene) -> None:
        value = value_of(statement.value, scene)
        if not isinstance(value, int):
            raise UnclearError("a value that is not a number is set")
        key = statement.key
        if isinstance(key, Meta) and key.key == "mark":
            scene.packet.mark = value & 0xFFFFFFFF
        elif isinstance(key, Ct) and key.key == "mark":
            tracking = scene.packet.tracking
            if tracking and tracking.entry:
                tracking.entry.mark = value & 0xFFFFFFFF
        elif isinstance(key, Ct) and key.key == "zone":
            scene.packet.zone = value
        elif isinstance(key, Meta) and key.key in {"nftrace", "priority"}:
            return
        else:
            raise UnclearError("it sets something that is not modelled")

    def _nat(self, statement: NatStatement, scene: Scene) -> Ruling:
        tracking = scene.packet.tracking
        entry = tracking.entry if tracking and not tracking.is_reply else None
        if entry is None:
            return ACCEPT
        fully_random = bool({"fully-random", "random"} & set(statement.flags))
        if statement.kind == "masquerade":
            return masquerade_as(scene, self._port(statement.port, scene), fully_random=fully_random)
        if statement.kind == "redirect":
            return self._redirect(statement, scene)
        address, ports = self._nat_target(statement, scene)
        packet = scene.packet
        if statement.kind == "dnat":
            bind_destination(
                entry, packet.destination if address is None else address, ports or packet.destination_ports
            )
        else:
            kept = RANDOM_PORTS if fully_random else packet.source_ports
            bind_source(entry, packet.source if address is None else address, ports or kept)
        return ACCEPT

    def _redirect(self, statement: NatStatement, scene: Scene) -> Ruling:
        packet, tracking = scene.packet, scene.packet.tracking
        if tracking is None or tracking.entry is None:
            return ACCEPT
        address = redirect_address(scene)
        if address is None:
            return DROP
        ports = self._port(statement.port, scene) or packet.destination_ports
        bind_destination(tracking.entry, address, ports)
        return ACCEPT

    def _nat_target(self, statement: NatStatement, scene: Scene) -> tuple[int | None, Ports | None]:
        """Return address and port; a map may carry both (``addr . port``)."""
        ports = self._port(statement.port, scene)
        if statement.address is None:
            return None, ports
        expression: Expression = statement.address
        if isinstance(expression, MapLookup):
            element = self._lookup(expression.key, expression.data, scene, None)
            if element is None or element.value is None or isinstance(element.value, VerdictStatement):
                raise AbsentError
            expression = element.value
        if isinstance(expression, Concat) and len(expression.parts) == 2:
            ports = self._port(expression.parts[1], scene)
            expression = expression.parts[0]
        if not isinstance(expression, Literal):
            raise UnclearError("NAT to something that is not one address")
        address = literal_value(expression.value)
        if not isinstance(address, int):
            raise UnclearError(f"NAT to {expression.value}")
        return address, ports

    def _port(self, expression: Expression | None, scene: Scene) -> Ports | None:
        if expression is None:
            return None
        if isinstance(expression, Literal):
            return Ports.of(int(expression.value))
        if isinstance(expression, Range) and isinstance(expression.low, Literal):
            high = expression.high
            return Ports(int(expression.low.value), int(high.value if isinstance(high, Literal) else 0))
        value = value_of(expression, scene)
        if isinstance(value, int):
            return Ports.of(value)
        raise UnclearError("NAT to a port that is not modelled")

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
        return Evidence(
            kind="nft-rule",
            text=rule.text,
            location=f"{rule.family} {rule.table} {rule.chain} rule {rule.number} (handle {rule.handle})",
            packets=rule.packets,
            octets=rule.octets,
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


@dataclass(frozen=True, slots=True)
class _Goto:
    """A goto was taken: the chain that it left has ended with what the other one said."""

    ruling: Ruling | None


def _reject(statement: RejectStatement) -> Ruling:
    if statement.type.startswith("tcp"):
        return Ruling(Action.REJECT, None)
    return Ruling(Action.REJECT, reject_error(statement.code) or Unreachable.PORT)


def _needs_packet(right: Expression) -> bool:
    return isinstance(right, Meta | Ct)


def _compares_all_flags(statement: MatchStatement) -> bool:
    """Tell whether flags are compared as a whole (``tcp flags == syn``), not looked for (``tcp flags syn``)."""
    left = statement.left
    whole = isinstance(left, Binary) or (isinstance(left, Payload) and left.field == "flags")
    return whole and statement.operator in {"==", "!="}


def _same_flags(value: frozenset[str], right: Expression) -> Truth:
    try:
        return value == flag_names(right)
    except UnclearError as error:
        return Unknown(str(error))


def _pick_element(elements: list[Element], numgen: Numgen, scene: Scene) -> Element | None:
    """Branch over the elements of a ``numgen`` map, each with its share of the modulus."""
    options = [(_label(element), float(_span(element.key))) for element in elements]
    missing = numgen.modulus - sum(weight for _, weight in options)
    if missing > 0:
        options.append(("no element", missing))
    if not options:
        return None
    if len(options) == 1:
        return elements[0] if elements else None
    reason = f"numgen {numgen.mode} mod {numgen.modulus}"
    index = scene.choices.pick(ChoiceKind.CHANCE, reason, tuple(options))
    return elements[index] if index < len(elements) else None


def _span(key: Expression) -> int:
    if isinstance(key, Range) and isinstance(key.low, Literal) and isinstance(key.high, Literal):
        return int(key.high.value) - int(key.low.value) + 1
    return 1


def _label(element: Element) -> str:
    value = element.value
    if isinstance(value, VerdictStatement):
        return f"{value.kind} {value.chain}".strip()
    if isinstance(value, Concat):
        return "endpoint " + ":".join(str(p.value) for p in value.parts if isinstance(p, Literal))
    return f"endpoint {value.value}" if isinstance(value, Literal) else "element"
