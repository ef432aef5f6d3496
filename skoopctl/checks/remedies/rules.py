"""Remedies in firewall rules: one taken away, one set before the others, a policy that accepts."""

from __future__ import annotations

from collections.abc import Iterable

from skoopctl.checks.cause import Cause
from skoopctl.checks.remedies.registry import Remedy, family_of, key_of, proposes, steps_of
from skoopctl.checks.snapshot import Snapshot
from skoopctl.dataplane import edit
from skoopctl.dataplane.topology import NsKey
from skoopctl.dataplane.trace import Branch, Evidence


@proposes("netfilter-drop", "netfilter-reject", "ndp-filtered", "arp-filtered")
def delete_rule(cause: Cause, _branch: Branch, _snapshot: Snapshot) -> Iterable[Remedy]:
    """Delete the rule that decided, or give the chain another policy."""
    if not cause.evidence:
        return
    last = cause.evidence[-1]
    key = (last.node, last.netns)
    if cause.id == "ndp-filtered":
        yield from _accept_discovery(last, key)
    yield from without_rule(last, key, family_of(cause.step))


@proposes("ttl-exceeded")
def keep_ttl(cause: Cause, branch: Branch, snapshot: Snapshot) -> Iterable[Remedy]:
    """Delete a rule that sets the TTL, in any namespace that the packets passed."""
    family = family_of(cause.step)
    for key in dict.fromkeys(key_of(step) for step in steps_of(branch)):
        tables = [table for table in snapshot.netns(key).iptables if table.family == family]
        rules = (rule for table in tables for chain in table.chains.values() for rule in chain.rules)
        for rule in rules:
            if rule.target is not None and rule.target.name in {"TTL", "HL"}:
                place = f"{rule.table} {rule.chain} rule {rule.number}"
                shown = Evidence("iptables-rule", rule.text, place, node=key[0], netns=key[1])
                yield _iptables_rule(shown, key, family)


def without_rule(item: Evidence, key: NsKey, family: int) -> Iterable[Remedy]:
    """Take one rule away, or let one policy accept."""
    if item.kind == "iptables-rule":
        yield _iptables_rule(item, key, family)
    elif item.kind == "iptables-policy":
        yield _iptables_policy(item, key, family)
    elif item.kind == "nft-rule":
        yield _nft_rule(item, key)
    elif item.kind == "nft-policy":
        yield _nft_policy(item, key)


def _accept_discovery(last: Evidence, key: NsKey) -> Iterable[Remedy]:
    """Let neighbour discovery in before the rule that drops it: better than to open the chain."""
    if not last.kind.startswith("iptables"):
        return
    left = last.location.removesuffix(" policy").partition(" rule ")[0]
    table, _, chain = left.rpartition(" ")
    if table != "filter" or chain not in {"INPUT", "OUTPUT"}:
        return
    rule = f"{chain} -p ipv6-icmp -j ACCEPT"
    yield Remedy(
        f"accept ICMPv6 in {chain} on {key[0]}",
        key,
        edit.with_first_rule(6, chain, f"-A {rule}"),
        (f"ip6tables -I {rule}",),
    )


def _iptables_rule(last: Evidence, key: NsKey, family: int = 4) -> Remedy:
    table, chain, number = _rule_place(last.location)
    stem = "iptables" if family == 4 else "ip6tables"
    binary = f"{stem}-legacy" if "(legacy)" in last.location else stem
    spec = last.text.replace("-A ", "-D ", 1)
    return Remedy(
        f"delete rule {number} of {chain} (table {table}) on {key[0]}",
        key,
        edit.without_rule(last.text, table, chain, number),
        (f"{binary} -t {table} {spec}",),
    )


def _rule_place(location: str) -> tuple[str, str, int]:
    """Read ``filter INPUT rule 1 (legacy)``."""
    left, _, rest = location.partition(" rule ")
    table, _, chain = left.rpartition(" ")
    return table, chain, int(rest.split(" ")[0])


def _iptables_policy(last: Evidence, key: NsKey, family: int = 4) -> Remedy:
    table, chain = last.location.removesuffix(" policy").split(" ", 1)
    return Remedy(
        f"let {chain} (table {table}) on {key[0]} accept by default",
        key,
        edit.with_policy(table, chain, "ACCEPT"),
        (f"{'iptables' if family == 4 else 'ip6tables'} -t {table} -P {chain} ACCEPT",),
    )


def _nft_rule(last: Evidence, key: NsKey) -> Remedy:
    left, _, rest = last.location.partition(" rule ")
    family, table, chain = left.split(" ", 2)
    number = rest.split(" ")[0]
    handle = int(rest.rpartition("handle ")[2].rstrip(")"))
    return Remedy(
        f"delete rule {number} of chain {chain} (nft table {family} {table}) on {key[0]}",
        key,
        edit.without_nft_rule(family, table, chain, handle),
        (f"nft delete rule {family} {table} {chain} handle {handle}",),
    )


def _nft_policy(last: Evidence, key: NsKey) -> Remedy:
    family, table, chain = last.location.removesuffix(" policy").split(" ", 2)
    return Remedy(
        f"let chain {chain} (nft table {family} {table}) on {key[0]} accept by default",
        key,
        edit.with_nft_policy(family, table, chain),
        (f"nft chain {family} {table} {chain} '{{ policy accept; }}'",),
    )
