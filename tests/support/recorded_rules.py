"""Recorded rule sets, and what of them must come back when a kernel has taken them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from skoopctl.kernel.iptables import Backend, Match, Option, Table, Target
from skoopctl.kernel.iptables_save import decode_iptables_save
from skoopctl.kernel.nft import Statement
from skoopctl.kernel.nft_json import NftDump, decode_nft_json

FIXTURES = Path(__file__).parents[1] / "fixtures"
DUMPS = sorted(
    [
        *FIXTURES.glob("kube-proxy-1.36/*/nodes/*/iptables-save.txt"),
        *FIXTURES.glob("calico/*iptables-dump.txt"),
    ]
)
RULESETS = [
    *FIXTURES.glob("kube-proxy-1.36/nftables/nodes/*/nft.txt"),
    FIXTURES / "calico/cali-nftables-dump.txt",
]
NOT_IN_EVERY_KERNEL = ("-m ipvs ",)
"""Rules that need what a kernel may be built without are left out of both sides."""
SET_TYPES = {1: "hash:ip", 2: "hash:ip,port", 3: "hash:ip,port,ip"}
Run = Callable[..., str]
"""Runs a program where the rules are to be, with ``stdin``, and returns what it says; it must succeed."""


def named(path: Path) -> str:
    """Return what a test of a recorded file is called."""
    return str(path.relative_to(FIXTURES))


def without_counters(tables: tuple[Table, ...]) -> dict[str, list[tuple[tuple[Match, ...], Target | None]]]:
    """Return what rules mean, by table and chain. Comments keep their place among a rule's matches."""
    return {
        f"{table.name} {chain.name}": [(rule.matches, in_full(rule.target)) for rule in chain.rules]
        for table in tables
        for chain in table.chains.values()
        if chain.rules
    }


def in_full(target: Target | None) -> Target | None:
    """Write the default of REJECT out, as newer iptables-save do."""
    if target == Target("REJECT"):
        return Target("REJECT", (Option("reject-with", ("icmp-port-unreachable",)),))
    return target


def prepare(run: Run, text: str) -> None:
    """Make the objects that rules name: nfacct counters and ipsets."""
    for name in sorted(set(re.findall(r"--nfacct-name +(\S+)", text))):
        run("nfacct", "add", name)
    for name, flags in sorted(set(re.findall(r"--match-set +(\S+) +(\S+)", text))):
        if name not in run("ipset", "list", "-n").split():
            run("ipset", "create", name, SET_TYPES[flags.count(",") + 1])


def comes_back(run: Run, dump: Path, backend: Backend) -> None:
    """Restore a recorded dump, and check that every rule reads as it did in the recording."""
    lines = dump.read_text().splitlines()
    text = "\n".join(line for line in lines if not any(word in line for word in NOT_IN_EVERY_KERNEL)) + "\n"
    prepare(run, text)
    run(f"iptables-{backend}-restore", "--counters", stdin=text)
    shown = run(f"iptables-{backend}-save", "-c")
    before = decode_iptables_save(text, family=4, backend=backend)
    after = decode_iptables_save(shown, family=4, backend=backend)
    assert before.problems == after.problems == ()
    assert without_counters(after.tables) == without_counters(before.tables)
    assert sum(len(chain.rules) for table in after.tables for chain in table.chains.values()) > 2


def ruleset(run: Run) -> NftDump:
    """Decode what nft shows."""
    found = decode_nft_json(run("nft", "-j", "-a", "list", "ruleset").encode())
    assert found.problems == ()
    return found


def statements(dumped: NftDump) -> dict[tuple[object, ...], list[tuple[Statement, ...]]]:
    """Return what rules do, by family, table and chain."""
    return {
        (table.family, table.name, name): [rule.statements for rule in chain.rules]
        for table in dumped.tables
        for name, chain in table.chains.items()
    }
