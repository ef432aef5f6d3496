"""The model of iptables: tables of chains of rules, from whichever backend they came.

Names are those of iptables(8). A rule keeps its raw text and counters as evidence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Backend(StrEnum):
    """Which kernel machinery holds the rules."""

    LEGACY = "legacy"
    NFT = "nft"


@dataclass(slots=True, frozen=True)
class Option:
    """One option of a match or target: ``! --ctstate NEW,INVALID`` is ("ctstate", ("NEW,INVALID",), True).

    ``name`` is the long form without dashes (``source``, ``dport``); ``values`` are its raw arguments.
    """

    name: str
    values: tuple[str, ...] = ()
    inverted: bool = False


@dataclass(slots=True, frozen=True)
class Match:
    """One match module with its options, in the order of the rule.

    The built-in options (``source destination in-interface out-interface protocol fragment``) form one
    match whose ``module`` is empty. ``-m comment`` is kept too.
    """

    module: str
    options: tuple[Option, ...] = ()


@dataclass(slots=True, frozen=True)
class Target:
    """What a rule does: ``-j NAME`` (``goto`` for ``-g``), with the target's own options.

    ``name`` may be a chain, a built-in verdict or a target extension.
    """

    name: str
    options: tuple[Option, ...] = ()
    goto: bool = False


@dataclass(slots=True, frozen=True)
class Rule:
    """One rule. ``number`` counts from 1 in its chain, as ``iptables -L --line-numbers`` does.

    ``text`` is the line of iptables-save from ``-A`` on. ``packets`` is None when the dump had no counters.
    ``problem`` is set when the rule could not be read to its end: it may then match and do anything.
    """

    table: str
    chain: str
    number: int
    text: str
    matches: tuple[Match, ...] = ()
    target: Target | None = None
    packets: int | None = None
    octets: int | None = None
    problem: str = ""


@dataclass(slots=True, frozen=True)
class Chain:
    """One chain. ``policy`` is ``ACCEPT`` or ``DROP`` for a built-in chain, None for a user's."""

    name: str
    policy: str | None
    rules: tuple[Rule, ...] = ()


@dataclass(slots=True, frozen=True)
class Table:
    """One table of one family (4 or 6).

    ``incompatible`` is set when iptables-save printed "Table `x' is incompatible, use 'nft' tool": there are
    rules, and this dump shows none of them. ``problem`` is set when the dump holds something within this
    table that cannot be told to belong to one rule, or ends before the table does: rules may be missing.
    ``order`` is the table's place among nft's, oldest first (-1: legacy, or not known).
    ``foreign_chains`` is set when the dump says that the table "contains incompatible base-chains": those
    are to be had from nft only.
    """

    family: int
    backend: Backend
    name: str
    chains: Mapping[str, Chain]
    incompatible: bool = False
    problem: str = ""
    order: int = -1
    foreign_chains: bool = False
