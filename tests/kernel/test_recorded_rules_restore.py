"""Recorded rule sets are real: a kernel takes them back, and what it then shows reads the same.

kube-proxy's dumps are of its version 1.36.2, Calico's of its own test suite (`tests/fixtures/*/README.md`).
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from skoopctl.kernel.iptables import Backend, Match, Option, Table, Target
from skoopctl.kernel.iptables_save import decode_iptables_save
from skoopctl.kernel.nft_json import NftDump, decode_nft_json
from tests.support.kernel_dump import namespaces

pytestmark = pytest.mark.lab

FIXTURES = Path(__file__).parents[1] / "fixtures"
NAMESPACE = "skt-restore"
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


def run(*argv: str, stdin: str = "") -> str:
    """Run a program in the namespace; an error shows its own words."""
    done = subprocess.run(
        ["ip", "netns", "exec", NAMESPACE, *argv], input=stdin, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr}"
    return done.stdout


@pytest.fixture(autouse=True)
def _namespace() -> Iterator[None]:
    with namespaces(NAMESPACE):
        yield


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


def prepare(text: str) -> None:
    """Make the objects that rules name: nfacct counters and ipsets."""
    for name in sorted(set(re.findall(r"--nfacct-name +(\S+)", text))):
        run("nfacct", "add", name)
    for name, flags in sorted(set(re.findall(r"--match-set +(\S+) +(\S+)", text))):
        if name not in run("ipset", "list", "-n").split():
            run("ipset", "create", name, SET_TYPES[flags.count(",") + 1])


@pytest.mark.parametrize("backend", list(Backend))
@pytest.mark.parametrize("dump", DUMPS, ids=lambda path: str(path.relative_to(FIXTURES)))
def test_iptables_dumps_come_back(dump: Path, backend: Backend) -> None:
    """Restored with either backend, every rule of a recorded dump reads as it did in the recording."""
    lines = dump.read_text().splitlines()
    text = "\n".join(line for line in lines if not any(word in line for word in NOT_IN_EVERY_KERNEL)) + "\n"
    prepare(text)
    run(f"iptables-{backend}-restore", "--counters", stdin=text)
    shown = run(f"iptables-{backend}-save", "-c")
    before = decode_iptables_save(text, family=4, backend=backend)
    after = decode_iptables_save(shown, family=4, backend=backend)
    assert before.problems == after.problems == ()
    assert without_counters(after.tables) == without_counters(before.tables)
    assert sum(len(chain.rules) for table in after.tables for chain in table.chains.values()) > 2


def ruleset() -> NftDump:
    """Decode what nft shows."""
    found = decode_nft_json(run("nft", "-j", "-a", "list", "ruleset").encode())
    assert found.problems == ()
    return found


@pytest.mark.parametrize("dump", RULESETS, ids=lambda path: str(path.relative_to(FIXTURES)))
def test_nftables_rulesets_come_back(dump: Path) -> None:
    """Loaded again, a recorded ruleset has the same chains, rules and set elements."""
    run("nft", "-f", "-", stdin=dump.read_text())
    first = ruleset()
    text = run("nft", "-s", "list", "ruleset")
    run("nft", "flush", "ruleset")
    run("nft", "-f", "-", stdin=text)
    second = ruleset()

    def shape(dumped: NftDump) -> list[tuple[object, ...]]:
        return [
            (table.family, table.name, name, tuple(rule.statements for rule in chain.rules))
            for table in dumped.tables
            for name, chain in table.chains.items()
        ]

    assert len(shape(first)) > 15
    assert [row[:3] for row in shape(first)] == [row[:3] for row in shape(second)]
    assert [len(row[3]) for row in shape(first)] == [len(row[3]) for row in shape(second)]  # type: ignore[arg-type]
