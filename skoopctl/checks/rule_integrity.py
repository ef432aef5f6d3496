"""Findings about rule sets as they were dumped: what they hold that cannot be read, or should not be there.

All are about the namespaces on the path. Nothing here decides a flow: what does is named by its cause.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from skoopctl.checks.catalogue import DOCS
from skoopctl.checks.finding import Confidence, Finding, Where
from skoopctl.dataplane.trace import Evidence
from skoopctl.kernel.iptables import Backend, Rule
from skoopctl.kernel.netns import NetNamespace
from skoopctl.kernel.nft import (
    Expression,
    MapLookup,
    MatchStatement,
    NftRule,
    NftTable,
    SetReference,
    SetUpdateStatement,
    Statement,
    UnknownStatement,
    VerdictStatement,
    VmapStatement,
)

_SHOWN = 5
"""So many examples are evidence enough."""
_BUILT_IN = frozenset({"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"})
_OWN_TABLES = ("kube-proxy", "calico", "flannel-ipv4", "flannel-ipv6", "cilium", "hostport", "cni_hostport")
_IPTABLES_TABLES = frozenset({"raw", "mangle", "nat", "filter", "security"})
# Firewalls by what their chains are called (paths that others' rules take, not Kubernetes' own).
_PRODUCTS = (
    ("docker", ("DOCKER",)),
    ("ufw", ("ufw-", "ufw6-")),
    ("firewalld", ("FWDI_", "FWDO_", "IN_public", "INPUT_ZONES", "FORWARD_IN_ZONES", "FORWARD_ZONES")),
    ("tailscale", ("ts-",)),
    ("libvirt", ("LIBVIRT_",)),
    ("NixOS firewall", ("nixos-fw",)),
)


def rule_findings(netns: NetNamespace, where: Where, hooks: frozenset[str]) -> Iterator[Finding]:
    """Yield the findings about one namespace's rules; ``hooks`` are those that the flow has passed there."""
    for check in _CHECKS:
        yield from check(netns, where, hooks)


def _finding(identifier: str, where: Where, summary: str, evidence: Iterable[Evidence]) -> Finding:
    doc = DOCS[identifier]
    return Finding(
        doc.id, doc.severity, where, summary, tuple(evidence)[:_SHOWN], doc.why, confidence=Confidence.CERTAIN
    )


def _line(netns: NetNamespace, kind: str, text: str, location: str) -> Evidence:
    return Evidence(kind, text, location, node=netns.host, netns=netns.inode)


def _both_backends(netns: NetNamespace, where: Where, _hooks: frozenset[str]) -> Iterator[Finding]:
    """Rules in both of iptables' stores."""
    found: dict[Backend, list[str]] = {}
    for table in netns.iptables:
        if any(chain.rules or chain.policy == "DROP" for chain in table.chains.values()):
            found.setdefault(table.backend, []).append(f"IPv{table.family} {table.name}")
    if len(found) < len(Backend):
        return
    evidence = [
        _line(netns, "iptables-table", ", ".join(names), f"iptables-{backend.value}-save")
        for backend, names in found.items()
    ]
    yield _finding(
        "two-iptables", where, f"Both iptables-legacy and iptables-nft hold rules on {where}", evidence
    )


def _without_arguments(netns: NetNamespace, where: Where, _hooks: frozenset[str]) -> Iterator[Finding]:
    """Rules of iptables that only nft shows, without what they ask for."""
    lines = [
        _line(netns, "nft-rule", rule.text, _place(rule))
        for _, rule, statement in _statements(netns)
        if isinstance(statement, UnknownStatement) and statement.reason.startswith("xt ")
    ]
    if lines:
        summary = f"{_count(lines, 'rule')} on {where}: nft shows them without their arguments"
        yield _finding("xt-without-arguments", where, summary, lines)


def _names_missing(netns: NetNamespace, where: Where, _hooks: frozenset[str]) -> Iterator[Finding]:
    """Rules that name a chain or a set which the dump does not hold."""
    lines: list[Evidence] = []
    for table, rule, statement in _statements(netns):
        missing = [f"chain {name}" for name in _chains_named(statement) if name not in table.chains]
        missing += [f"set @{name}" for name in _sets_named(statement) if name not in table.sets]
        if missing:
            lines.append(_line(netns, "nft-rule", f"{rule.text} (no {', '.join(missing)})", _place(rule)))
    for iptables in netns.iptables:
        for chain in iptables.chains.values():
            lines += [
                _line(netns, "iptables-rule", f"{r.text} (no chain {r.target.name})", _spot(r))
                for r in chain.rules
                if r.target is not None and r.target.goto and r.target.name not in iptables.chains
            ]
    if lines:
        summary = f"{_count(lines, 'rule')} on {where} names a chain or a set that is not in the dump"
        yield _finding("rule-names-missing", where, summary, lines)


def _unreadable(netns: NetNamespace, where: Where, _hooks: frozenset[str]) -> Iterator[Finding]:
    """Rules of iptables that could not be read to their end, and tables that end too soon."""
    lines = [
        _line(netns, "iptables-rule", f"{r.text} ({r.problem})", _spot(r))
        for table in netns.iptables
        for chain in table.chains.values()
        for r in chain.rules
        if r.problem
    ]
    lines += [
        _line(netns, "gap", table.problem, f"IPv{table.family} table {table.name}")
        for table in netns.iptables
        if table.problem
    ]
    if lines:
        summary = f"{_count(lines, 'rule')} on {where} cannot be read to the end"
        yield _finding("rule-unreadable", where, summary, lines)


def _changed(netns: NetNamespace, where: Where, _hooks: frozenset[str]) -> Iterator[Finding]:
    """Tables of which nft and iptables-save showed different numbers of rules."""
    lines: list[Evidence] = []
    for table in netns.iptables:
        counted = netns.nft_counts.get(("ip" if table.family == 4 else "ip6", table.name))
        if table.backend is not Backend.NFT or table.incompatible or counted is None:
            continue
        for chain in table.chains.values():
            here, there = len(chain.rules), counted.get(chain.name, 0)
            if here != there:
                text = f"{chain.name}: {here} rules by iptables-save, {there} by nft"
                lines.append(_line(netns, "gap", text, f"IPv{table.family} table {table.name}"))
    if lines:
        summary = f"The rules of {where} changed while they were read"
        yield _finding("rules-changed", where, summary, lines)


def _foreign(netns: NetNamespace, where: Where, hooks: frozenset[str]) -> Iterator[Finding]:
    """Firewalls beside Kubernetes' own that have chains at a hook which the flow has passed."""
    found: dict[str, list[Evidence]] = {}
    for table in netns.nft:
        if table.dormant or table.name.startswith(_OWN_TABLES) or table.name in _IPTABLES_TABLES:
            continue
        for chain in table.chains.values():
            if chain.hook.upper() in hooks and (chain.rules or chain.policy == "drop"):
                text = (
                    f"type {chain.type} hook {chain.hook} priority {chain.priority}; policy {chain.policy};"
                )
                place = f"{table.family} {table.name} {chain.name}"
                found.setdefault(table.name, []).append(_line(netns, "nft-chain", text, place))
    for iptables in netns.iptables:
        for name in iptables.chains:
            product = next((p for p, starts in _PRODUCTS if name.startswith(starts)), "")
            if product and iptables.chains[name].rules:
                found.setdefault(product, []).append(
                    _line(netns, "iptables-chain", name, f"table {iptables.name}")
                )
    if found:
        evidence = [lines[0] for lines in found.values()]
        summary = f"Other rules stand beside Kubernetes' own on {where}: {', '.join(found)}"
        yield _finding("foreign-rules", where, summary, evidence)


def _not_walked(netns: NetNamespace, where: Where, _hooks: frozenset[str]) -> Iterator[Finding]:
    """Rules for ARP, which no packet of a walk meets."""
    lines = [
        _line(netns, "nft-rule", rule.text, _place(rule))
        for table in netns.nft
        if table.family == "arp" and not table.dormant
        for chain in table.chains.values()
        for rule in chain.rules
    ]
    if lines:
        yield _finding(
            "arp-rules", where, f"{_count(lines, 'rule')} for ARP on {where} was not looked at", lines
        )


_CHECKS: tuple[Callable[[NetNamespace, Where, frozenset[str]], Iterator[Finding]], ...] = (
    _both_backends,
    _without_arguments,
    _names_missing,
    _unreadable,
    _changed,
    _foreign,
    _not_walked,
)


# --- what rules name -----------------------------------------------------------------------------------------


def _statements(netns: NetNamespace) -> Iterator[tuple[NftTable, NftRule, Statement]]:
    for table in netns.nft:
        for chain in table.chains.values():
            for rule in chain.rules:
                for statement in rule.statements:
                    yield table, rule, statement


def _chains_named(statement: Statement) -> Iterator[str]:
    if isinstance(statement, VerdictStatement) and statement.chain:
        yield statement.chain


def _sets_named(statement: Statement) -> Iterator[str]:
    expressions: tuple[Expression | None, ...] = ()
    if isinstance(statement, MatchStatement):
        expressions = statement.right, statement.left
    elif isinstance(statement, VmapStatement):
        expressions = (statement.data,)
    elif isinstance(statement, SetUpdateStatement):
        yield statement.set_name
    for expression in expressions:
        if isinstance(expression, SetReference):
            yield expression.name
        elif isinstance(expression, MapLookup) and isinstance(expression.data, SetReference):
            yield expression.data.name


def _place(rule: NftRule) -> str:
    return f"{rule.family} {rule.table} {rule.chain} rule {rule.number} (handle {rule.handle})"


def _spot(rule: Rule) -> str:
    return f"{rule.table} {rule.chain} rule {rule.number}"


def _count(lines: list[Evidence], noun: str) -> str:
    return f"One {noun}" if len(lines) == 1 else f"{len(lines)} {noun}s"
