"""The parts of a namespace whose order decides: iptables' chains, and nftables' chains, sets and maps.

The order of chains in a table never matters (kube-proxy writes them in any); that of rules in a chain does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from skoopctl.changes.entries import Entry, compare_entries, withhold
from skoopctl.changes.model import Change, Sign, Unseen
from skoopctl.changes.order import compare_rules
from skoopctl.kernel.iptables import Backend, Table
from skoopctl.kernel.netns import NetNamespace
from skoopctl.kernel.nft import NftChain, NftSet, NftTable, VerdictStatement
from skoopctl.kernel.nft_text import render_expression, render_statement

_COUNTER = re.compile(r"counter packets \d+ bytes \d+")
_PROGRAMS = {4: "iptables", 6: "ip6tables"}
_ANY_ORDER = frozenset({"KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-NODEPORTS", "KUBE-PROXY-FIREWALL"})
"""Chains that kube-proxy writes in the order of a Go map, another one with every sync; their rules exclude each
other (pkg/proxy/iptables/proxier.go: syncProxyRules)."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain as it is compared: ``head`` says what it hooks and its policy, ``rules`` are texts in order."""

    head: str
    rules: tuple[str, ...]

    @property
    def idle(self) -> bool:
        """Whether it is a built-in chain that does nothing: tools make those by being started."""
        return not self.rules and self.head == "policy ACCEPT"


def compare_iptables(
    a: NetNamespace, b: NetNamespace, *, volatile: bool
) -> tuple[list[Change], list[Unseen]]:
    """Compare iptables' tables of both families, from both stores.

    Without ``volatile``, a rule that only moved within a chain that kube-proxy shuffles is no change.
    """
    changes: list[Change] = []
    unseen: list[Unseen] = []
    for family, program in _PROGRAMS.items():
        for backend in Backend:
            item = f"{program}-{backend}"
            ours, theirs = _tables(a, family, backend), _tables(b, family, backend)
            for name in dict.fromkeys((*ours, *theirs)):
                place = f"{program}{'-legacy' if backend is Backend.LEGACY else ''} {name}"
                gaps = (_table_gap(a, item, ours.get(name)), _table_gap(b, item, theirs.get(name)))
                found = _compare_chains("iptables", place, _chains(ours.get(name)), _chains(theirs.get(name)))
                found = found if volatile else [each for each in found if not _shuffled(each)]
                kept, hidden = withhold(place, found, *gaps)
                changes += kept
                unseen += hidden
            if not ours and not theirs:
                unseen += withhold(item, [], a.gaps.get(item, ""), b.gaps.get(item, ""))[1]
    return changes, unseen


def _shuffled(change: Change) -> bool:
    return change.sign is Sign.MOVED and change.place.rpartition(" ")[2] in _ANY_ORDER


def _tables(netns: NetNamespace, family: int, backend: Backend) -> dict[str, Table]:
    return {t.name: t for t in netns.iptables if t.family == family and t.backend is backend}


def _table_gap(netns: NetNamespace, item: str, table: Table | None) -> str:
    """Return why a table was not read whole, or ''."""
    if item in netns.gaps:
        return f"{item}: {netns.gaps[item]}"
    if table is None:
        return ""
    return "its rules are shown by nft only" if table.incompatible else table.problem


def _chains(table: Table | None) -> dict[str, Chain]:
    if table is None:
        return {}
    return {
        name: Chain(f"policy {chain.policy}" if chain.policy else "", tuple(r.text for r in chain.rules))
        for name, chain in table.chains.items()
    }


def _compare_chains(kind: str, place: str, a: Mapping[str, Chain], b: Mapping[str, Chain]) -> list[Change]:
    found: list[Change] = []
    for name in dict.fromkeys((*a, *b)):
        ours, theirs = a.get(name), b.get(name)
        here = f"{place} {name}"
        if ours is None or theirs is None:
            found += _one_sided(kind, here, ours, theirs)
        else:
            if ours.head != theirs.head:
                found.append(Change(Sign.CHANGED, kind, theirs.head, here, ours.head))
            found += compare_rules(kind, here, ours.rules, theirs.rules)
    return found


def _one_sided(kind: str, place: str, ours: Chain | None, theirs: Chain | None) -> Iterator[Change]:
    """Yield a chain that is on one side only, with its rules."""
    chain = ours or theirs
    if chain is None or chain.idle:
        return
    sign = Sign.REMOVED if ours else Sign.ADDED
    yield Change(sign, kind, f"chain {chain.head}".rstrip(), place)
    for number, text in enumerate(chain.rules, 1):
        yield Change(sign, kind, text, place, number=number)


def compare_nft(a: NetNamespace, b: NetNamespace, *, volatile: bool) -> tuple[list[Change], list[Unseen]]:
    """Compare nftables' tables: chains with their rules, sets and maps with their elements.

    Elements of sets that packets fill are left out unless ``volatile``.
    """
    ours = {(t.family, t.name): t for t in a.nft}
    theirs = {(t.family, t.name): t for t in b.nft}
    changes: list[Change] = []
    for key in dict.fromkeys((*ours, *theirs)):
        place = f"nft {key[0]} {key[1]}"
        one, other = ours.get(key), theirs.get(key)
        found = compare_entries("nft", _declared(one), _declared(other), place)
        found += _compare_chains("nft", place, _nft_chains(one), _nft_chains(other))
        changes += [*found, *_compare_sets(place, _sets(one), _sets(other), volatile)]
    return withhold("nft", changes, a.gaps.get("nft", ""), b.gaps.get("nft", ""))


def _declared(table: NftTable | None) -> list[Entry]:
    if table is None:
        return []
    return [Entry("table", f"table {table.family} {table.name}{' flags dormant' if table.dormant else ''}")]


def _nft_chains(table: NftTable | None) -> dict[str, Chain]:
    return {name: _nft_chain(chain) for name, chain in table.chains.items()} if table else {}


def _nft_chain(chain: NftChain) -> Chain:
    head = ""
    if chain.hook:
        devices = f" device {','.join(chain.devices)}" if chain.devices else ""
        head = f"type {chain.type} hook {chain.hook}{devices} priority {chain.priority} policy {chain.policy}"
    return Chain(head, tuple(_COUNTER.sub("counter", rule.text) for rule in chain.rules))


def _sets(table: NftTable | None) -> Mapping[str, NftSet]:
    return table.sets if table else {}


def _compare_sets(
    place: str, a: Mapping[str, NftSet], b: Mapping[str, NftSet], volatile: bool
) -> Iterator[Change]:
    for name in dict.fromkeys((*a, *b)):
        ours, theirs = a.get(name), b.get(name)
        if ours == theirs:
            continue
        here = f"{place} {name}"
        yield from compare_entries("nft", _set_head(ours), _set_head(theirs), here)
        if volatile or not any(each and each.dynamic for each in (ours, theirs)):
            yield from compare_entries("nft", _elements(ours), _elements(theirs), here)


def _set_head(found: NftSet | None) -> list[Entry]:
    if found is None:
        return []
    data = f" : {' . '.join(found.data_type)}" if found.is_map else ""
    interval = " flags interval" if found.interval else ""
    text = f"{'map' if found.is_map else 'set'} type {' . '.join(found.key_type)}{data}{interval}"
    return [Entry("head", text)]


def _elements(found: NftSet | None) -> Sequence[Entry]:
    entries = []
    for element in found.elements if found else ():
        key = render_expression(element.key)
        value = element.value
        if value is None:
            shown = ""
        elif isinstance(value, VerdictStatement):
            shown = render_statement(value)
        else:
            shown = render_expression(value)
        text = f"element {key} : {shown}" if shown else f"element {key}"
        entries.append(Entry(key, text))
    return entries
