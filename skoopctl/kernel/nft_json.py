"""Read the output of ``nft -j -a list ruleset`` (libnftables-json(5)).

What the model has no class for becomes an unknown statement or expression with its raw JSON. Nothing here
raises: a malformed object is a problem of the dump, a malformed rule an unknown statement.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from skoopctl.kernel.iptables import Backend, Table
from skoopctl.kernel.nft import (
    AnonymousSet,
    Concat,
    Expression,
    MapLookup,
    NatStatement,
    NftChain,
    NftRule,
    NftSet,
    NftTable,
    SetReference,
    Statement,
    UnknownStatement,
)
from skoopctl.kernel.nft_expression import decode_elements, decode_expression, raw_json
from skoopctl.kernel.nft_statement import decode_statement
from skoopctl.kernel.nft_text import render_expression, render_statements

_KINDS = frozenset({"table", "chain", "set", "map", "rule"})
_FAMILIES = {4: "ip", 6: "ip6"}


@dataclass(frozen=True, slots=True)
class NftDump:
    """Tables in the order of the dump, and what in it could not be read at all.

    ``order`` is the place of every table by family and name, those that were left out too: oldest first.
    ``left_out`` counts the rules of each chain of the tables that were left out.
    """

    tables: tuple[NftTable, ...]
    problems: tuple[str, ...] = ()
    order: Mapping[tuple[str, str], int] = field(default_factory=dict)
    left_out: Mapping[tuple[str, str], Mapping[str, int]] = field(default_factory=dict)


def decode_nft_json(raw: bytes | str, *, leave_out: Container[tuple[str, str]] = frozenset()) -> NftDump:
    """Decode a ruleset but for the tables (family, name) in ``leave_out``, see `shown_by_iptables`.

    Never raises: what is wrong is listed in ``problems``.
    """
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        return NftDump((), (f"not JSON: {str(error)[:120]}",))
    objects = document.get("nftables") if isinstance(document, dict) else None
    if not isinstance(objects, list):
        return NftDump((), ("no list named 'nftables' in the JSON",))
    reader = _Reader(leave_out)
    for number, entry in enumerate(objects):
        try:
            reader.add(entry)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            reader.problems.append(f"object {number} not understood: {type(error).__name__} {error}")
    return reader.finish()


def shown_by_iptables(tables: Iterable[Table]) -> frozenset[tuple[str, str]]:
    """Return the nft family and name of the tables that iptables-nft-save shows.

    In nft they appear half translated (``xt`` expressions). A table that iptables calls incompatible is not
    among them, because nft is the only one that shows it.
    """
    return frozenset(
        (_FAMILIES[table.family], table.name)
        for table in tables
        if not table.incompatible and not table.foreign_chains
    )


def only_foreign_chains(dump: NftDump, tables: Iterable[Table]) -> NftDump:
    """Leave out of tables with foreign base chains what iptables-save shows of them."""
    partly = {(_FAMILIES[t.family], t.name): t for t in tables if t.foreign_chains}

    def cut(table: NftTable) -> NftTable:
        known = partly.get((table.family, table.name))
        if known is None:
            return table
        return replace(table, chains={n: c for n, c in table.chains.items() if n not in known.chains})

    return replace(dump, tables=tuple(cut(table) for table in dump.tables))


def in_order(tables: Iterable[Table], dump: NftDump) -> tuple[Table, ...]:
    """Give iptables' tables their place among nft's: hooks of equal priority run the newest first."""
    return tuple(
        replace(table, order=dump.order.get((_FAMILIES[table.family], table.name), -1))
        if table.backend is Backend.NFT
        else table
        for table in tables
    )


@dataclass(slots=True)
class _OpenTable:
    order: int
    dormant: bool = False
    chains: dict[str, NftChain] = field(default_factory=dict)
    rules: dict[str, list[NftRule]] = field(default_factory=dict)
    sets: dict[str, NftSet] = field(default_factory=dict)
    address_port_maps: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _JsonRule:
    """The expressions of one rule as nft printed them, and the table's maps that carry a port."""

    raw: Any
    comment: str
    address_port_maps: set[str]

    def statements(self) -> tuple[Statement, ...]:
        if not isinstance(self.raw, list):
            return (UnknownStatement("a rule without expressions", raw_json(self.raw)),)
        return tuple(_resolve(decode_statement(s), self.address_port_maps) for s in self.raw)

    def text(self) -> str:
        return render_statements(self.statements(), self.comment)


class _Reader:
    """Collects objects by table; rules are decoded when they are asked for, which maps that come later need."""

    def __init__(self, leave_out: Container[tuple[str, str]]) -> None:
        self.leave_out = leave_out
        self.tables: dict[tuple[str, str], _OpenTable] = {}
        self.order: dict[tuple[str, str], int] = {}
        self.problems: list[str] = []
        self.left_out: dict[tuple[str, str], dict[str, int]] = {}

    def add(self, entry: Any) -> None:
        """Take one object of the dump; kinds without an effect on packets are passed over."""
        ((kind, body),) = entry.items()
        if kind not in _KINDS:
            return
        place = str(body["family"]), str(body["name" if kind == "table" else "table"])
        if place not in self.order:
            self.order[place] = len(self.order)
        if place in self.leave_out:
            if kind == "rule":
                counted = self.left_out.setdefault(place, {})
                counted[str(body["chain"])] = counted.get(str(body["chain"]), 0) + 1
            return
        if kind == "table":
            self._table(body["family"], body["name"]).dormant = "dormant" in _names(body.get("flags"))
        elif kind == "chain":
            self._chain(body)
        elif kind in {"set", "map"}:
            self._set(body, kind == "map")
        else:
            self._rule(self._table(body["family"], body["table"]), *place, body)

    def finish(self) -> NftDump:
        """Close all tables."""
        tables = []
        for (family, name), table in self.tables.items():
            chains = {n: _with_rules(c, table) for n, c in table.chains.items()}
            tables.append(NftTable(family, name, chains, table.sets, table.order, table.dormant))
        return NftDump(tuple(tables), tuple(self.problems), self.order, self.left_out)

    def _table(self, family: str, name: str) -> _OpenTable:
        place = str(family), str(name)
        table = self.tables.get(place)
        if table is None:
            table = self.tables[place] = _OpenTable(self.order[place])
        return table

    def _chain(self, body: dict[str, Any]) -> None:
        table = self._table(body["family"], body["table"])
        name = str(body["name"])
        priority = body.get("prio")
        if body.get("hook") and not isinstance(priority, int):
            self.problems.append(f"base chain {name} has no numeric priority: {priority!r}")
            priority = None
        table.chains[name] = NftChain(
            name,
            type=str(body.get("type", "")),
            hook=str(body.get("hook", "")),
            priority=priority,
            policy=str(body.get("policy", "accept" if body.get("hook") else "")),
            devices=_names(body.get("dev")),
            handle=_integer(body.get("handle")),
        )

    def _set(self, body: dict[str, Any], is_map: bool) -> None:
        table = self._table(body["family"], body["table"])
        flags = _names(body.get("flags"))
        name = str(body["name"])
        data = body.get("map", "")
        if isinstance(data, list) or (isinstance(data, str) and "." in data) or "concat" in str(data):
            table.address_port_maps.add(name)
        table.sets[name] = NftSet(
            name,
            _key_type(body.get("type")),
            decode_elements(body.get("elem", []), is_map),
            is_map=is_map,
            interval="interval" in flags,
            # nft 1.0.6 prints no flag ``dynamic``, but such a set has a size.
            dynamic=bool({"dynamic", "timeout"} & set(flags)) or "size" in body,
            data_type=_key_type(data) if is_map else (),
        )

    def _rule(self, table: _OpenTable, family: str, name: str, body: dict[str, Any]) -> None:
        chain = str(body.get("chain", ""))
        if chain not in table.chains:
            # A chain that the dump names only in its rules: the dump is not whole, and `names_missing` says so.
            table.chains[chain] = NftChain(chain)
        rules = table.rules.setdefault(chain, [])
        comment = str(body.get("comment", ""))
        source = _JsonRule(body.get("expr"), comment, table.address_port_maps)
        handle = _integer(body.get("handle"))
        rules.append(NftRule(family, name, chain, len(rules) + 1, handle, source, comment))


def _resolve(statement: Statement, maps: set[str]) -> Statement:
    """Tell whether a NAT statement's address carries the port too: the JSON of ``addr . port`` does not."""
    if not isinstance(statement, NatStatement) or statement.address is None:
        return statement
    if not _carries_port(statement.address, maps):
        return statement
    return NatStatement(
        statement.kind, statement.address, statement.port, statement.family, True, statement.flags
    )


def _carries_port(address: Expression, maps: set[str]) -> bool:
    if isinstance(address, MapLookup):
        if isinstance(address.data, SetReference):
            return address.data.name in maps
        if isinstance(address.data, AnonymousSet):
            return any(isinstance(e.value, Concat) for e in address.data.elements)
    return isinstance(address, Concat)


def _with_rules(chain: NftChain, table: _OpenTable) -> NftChain:
    rules = table.rules.get(chain.name)
    return replace(chain, rules=tuple(rules)) if rules else chain


def _integer(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _names(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    return tuple(str(v) for v in value) if isinstance(value, list) else (str(value),)


def _key_type(value: Any) -> tuple[str, ...]:
    if isinstance(value, Mapping):
        expression = decode_expression(value.get("typeof"))
        parts = expression.parts if isinstance(expression, Concat) else (expression,)
        return tuple(render_expression(part) for part in parts)
    return _names(value)
