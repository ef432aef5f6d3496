"""Each match that real nodes' rules use is decided by a pair of files, and drawn by the harness where it can be."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]
CASES = "\n".join(path.read_text() for path in (TESTS / "unit/dataplane/cases").glob("*.txt"))
GRAMMAR = (TESTS / "kernel/grammar/iptables.py").read_text()
NAMES = (
    "comment conntrack state mark connmark addrtype set multiport tcp udp sctp icmp icmp6 physdev rpfilter "
    "statistic recent nfacct ipvs iprange owner pkttype mac length dscp tos ttl hl tcpmss policy devgroup realm"
)
TIER_ONE = NAMES.split()
NOT_DRAWN = {
    "sctp": "few kernels have it loaded: the guest of tests/vm sends it",
    "ipvs": "few kernels have it loaded: the guest of tests/vm balances with it",
    "nfacct": "always true, and it needs an object that iptables(8) does not make",
}


@pytest.mark.parametrize("name", TIER_ONE)
def test_a_pair_of_files_decides_it(name: str) -> None:
    """A rule of a case file has the match, so that test_match_cases.py holds what it decides."""
    assert re.search(rf"-m {name}\b", CASES)


@pytest.mark.parametrize("name", [name for name in TIER_ONE if name not in NOT_DRAWN])
def test_the_harness_draws_it(name: str) -> None:
    """The grammar of random rules has the match."""
    assert re.search(rf'-m {name}\b|"{name}"', GRAMMAR)


@pytest.mark.parametrize("name", ["sctp", "ipvs"])
def test_the_guest_has_what_cannot_be_drawn(name: str) -> None:
    """Recorded scenarios of the guest have flows of it."""
    recorded = (TESTS / "fixtures/vm").rglob("*.json")
    assert any(name in path.read_text() for path in recorded)
