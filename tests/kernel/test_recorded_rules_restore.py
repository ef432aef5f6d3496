"""Recorded rule sets are real: a kernel takes them back, and what it then shows reads the same.

kube-proxy's dumps are of its version 1.36.2, Calico's of its own test suite (`tests/fixtures/*/README.md`).
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from skoopctl.kernel.iptables import Backend
from tests.support.kernel_dump import namespaces
from tests.support.recorded_rules import DUMPS, RULESETS, comes_back, named, ruleset, statements

pytestmark = pytest.mark.lab

NAMESPACE = f"skt-restore-{os.getpid()}"


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


@pytest.mark.parametrize("backend", list(Backend))
@pytest.mark.parametrize("dump", DUMPS, ids=named)
def test_iptables_dumps_come_back(dump: Path, backend: Backend) -> None:
    """Restored with either backend, every rule of a recorded dump reads as it did in the recording."""
    comes_back(run, dump, backend)


@pytest.mark.parametrize("dump", RULESETS, ids=named)
def test_nftables_rulesets_come_back(dump: Path) -> None:
    """Loaded again, a recorded ruleset has the same chains, rules and set elements."""
    run("nft", "-f", "-", stdin=dump.read_text())
    first = statements(ruleset(run))
    text = run("nft", "-s", "list", "ruleset")
    run("nft", "flush", "ruleset")
    run("nft", "-f", "-", stdin=text)
    second = statements(ruleset(run))
    assert len(first) > 15
    assert {chain: len(rules) for chain, rules in first.items()} == {
        chain: len(rules) for chain, rules in second.items()
    }
