"""What the rules at a hook ask for that no event tells: marks, states of connections, ICMP types, bridge ports.

What no rule asks for need not be supposed. So is a mark that no rule of the namespace gives, as long as no program
sets it (SO_MARK).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from skoopctl.dataplane.rules.netfilter import stages_at
from skoopctl.dataplane.rules.scene import Hook
from skoopctl.dataplane.topology import Topology
from skoopctl.kernel.iptables import Chain, Table
from skoopctl.kernel.netns import NetNamespace

MAX_MARKS = 8
_MAX_NFT_RULES = 5000
"""Of a larger ruleset every question is taken to be asked: its rules are not all read."""

_SETS_MARK = re.compile(r"(?:--(?:set-x?|or-)mark |meta mark set (?:meta mark (?:\||or) )?)(0x[0-9a-f]+|\d+)")
_STATE = re.compile(
    r"--(?:ct)?(?:state|status|dir|orig|repl)|-m conntrack|\bct (?!count|mark|helper|timeout)"
)
_TRANSLATED = re.compile(r"--ctstate [\w,]*[DS]NAT|--ctorig|\bct (?:status|original)")
_GIVEN_BACK = re.compile(r"--restore-mark|mark set ct mark")
_UNTRACKED = re.compile(r"NOTRACK|--notrack|\bnotrack\b")
_ICMP = re.compile(r"--icmp(?:v6)?-type|\bicmp(?:v6|x)? (?:type|code)")
_PORTS = re.compile(r"--physdev|\bibrname|\bobrname|\bsdif")
_UNSEEN = (
    (re.compile(r"--tcp-flags|tcp flags"), "TCP flags other than SYN, ACK and RST were left out of account"),
    (re.compile(r"--tos|--dscp|\bdscp\b|\becn\b"), "its TOS byte was taken to be 0"),
    (re.compile(r"--length|meta length"), "its length was taken to be that of such packets"),
)


@dataclass(frozen=True, slots=True)
class AskedFor:
    """What rules at one hook ask for. ``marks`` are those that rules of the namespace give, 0 first."""

    marks: tuple[int, ...]
    state: bool
    translated: bool
    untracked: bool
    icmp: bool
    ports: bool
    late_after_nat: bool
    """Whether stages run behind a NAT that can have changed the packet's addresses."""
    unseen: tuple[str, ...]
    """What rules ask for, no event tells and is not supposed either: in words."""


def asked_for(topology: Topology, netns: NetNamespace, hook: Hook, family: int) -> AskedFor:
    """Return what the rules at a hook ask for (worked out once for a topology)."""
    key = ("asked for", netns.host, netns.inode, hook, family)
    cached = topology.caches.get(key)
    if cached is None:
        cached = topology.caches[key] = _asked_for(topology, netns, hook, family)
    return cached  # type: ignore[return-value]


def _asked_for(topology: Topology, netns: NetNamespace, hook: Hook, family: int) -> AskedFor:
    here, all_rules = _texts(netns, hook, family), _texts(netns, None, family)
    everything = not here.complete
    text = "\n".join(here.lines)
    anywhere = "\n".join(all_rules.lines)
    marks = dict.fromkeys((0, *(int(found, 0) for found in _SETS_MARK.findall(anywhere))))
    asks_mark = everything or "mark" in text
    stages = stages_at(topology, netns, hook, family)
    nats = [stage.priority for stage in stages if stage.is_nat and not stage.inert]
    behind = bool(nats) and any(not s.is_nat and not s.inert and s.priority > min(nats) for s in stages)
    return AskedFor(
        marks=tuple(marks)[:MAX_MARKS] if asks_mark else (0,),
        state=everything or bool(_STATE.search(text)),
        translated=everything or bool(_TRANSLATED.search(text)),
        untracked=bool(_UNTRACKED.search(anywhere)) and bool(_STATE.search(text)),
        icmp=everything or bool(_ICMP.search(text)),
        ports=everything or bool(_PORTS.search(text)),
        late_after_nat=behind,
        unseen=tuple(_unseen(text, anywhere, asks_mark=asks_mark)),
    )


def _unseen(text: str, anywhere: str, *, asks_mark: bool) -> Iterator[str]:
    yield from (words for pattern, words in _UNSEEN if pattern.search(text))
    if asks_mark and _GIVEN_BACK.search(anywhere):
        yield "marks that conntrack gives back were not tried"


@dataclass(frozen=True, slots=True)
class _Texts:
    lines: list[str]
    complete: bool


def _texts(netns: NetNamespace, hook: Hook | None, family: int) -> _Texts:
    """Return the rules that packets at a hook can meet (None: at any hook), as text."""
    lines = [line for table in netns.iptables if table.family == family for line in _reached(table, hook)]
    wanted = {"inet", "ip" if family == 4 else "ip6"}
    rules = [
        rule
        for table in netns.nft
        if table.family in wanted and not table.dormant
        if hook is None or any(chain.hook.upper() == hook.value for chain in table.chains.values())
        for chain in table.chains.values()
        for rule in chain.rules
    ]
    complete = len(rules) <= _MAX_NFT_RULES
    return _Texts([*lines, *(rule.text for rule in rules[:_MAX_NFT_RULES])], complete)


def _reached(table: Table, hook: Hook | None) -> Iterator[str]:
    """Yield the rules of the chains that a table's built-in chains lead to."""
    seen: set[str] = set()
    waiting: list[Chain] = [
        chain
        for chain in table.chains.values()
        if chain.policy is not None and (hook is None or chain.name == hook.value)
    ]
    while waiting:
        chain = waiting.pop()
        if chain.name in seen:
            continue
        seen.add(chain.name)
        for rule in chain.rules:
            yield rule.text
            if rule.target is not None and rule.target.name in table.chains:
                waiting.append(table.chains[rule.target.name])
