"""Each match that real nodes' rules use is decided by a pair of files, and drawn by the harness where it can be."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.crossroads import case, case_names

TESTS = Path(__file__).parents[2]
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
    """Rules of a case file with the match are decided, and match some packet.

    No flow of the case files is SCTP: what its rules match is held by the guest's scenario of that name.
    """
    counts = {
        words.split()[number]
        for made in map(case, case_names())
        for number, line in enumerate(made.lines)
        if re.search(rf"-m {name}\b", line)
        for words in made.expected.values()
    }
    assert counts - {"?"} - ({"0"} if name != "sctp" else set()), counts


@pytest.mark.parametrize("name", [name for name in TIER_ONE if name not in NOT_DRAWN])
def test_the_harness_draws_it(name: str) -> None:
    """The grammar of random rules has the match."""
    assert re.search(rf'-m {name}\b|"{name}"', GRAMMAR)


@pytest.mark.parametrize("name", ["sctp", "ipvs"])
def test_the_guest_has_what_cannot_be_drawn(name: str) -> None:
    """Recorded scenarios of the guest have flows of it."""
    recorded = (TESTS / "fixtures/vm").rglob("*.json")
    assert any(name in path.read_text() for path in recorded)
