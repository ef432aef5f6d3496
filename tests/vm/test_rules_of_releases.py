"""What the tools of other releases of Debian show of the same rules: it reads as what this machine's show."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from skoopctl.kernel.iptables import Backend
from tests.support.kernel_dump import namespaces
from tests.support.recorded_rules import DUMPS, RULESETS, comes_back, named, ruleset, statements
from tests.vm.guest import Guest
from tests.vm.image_in_memory import Release

pytestmark = [pytest.mark.vm, pytest.mark.timeout(900, func_only=True)]

NAMESPACE = f"skt-releases-{os.getpid()}"


@pytest.fixture
def there(released: Guest) -> Iterator[Callable[..., str]]:
    """Return what runs a program in a fresh namespace of the guest."""

    def run(*argv: str, stdin: str = "") -> str:
        return released.run(f"ip netns exec {NAMESPACE} {shlex.join(argv)}", stdin)

    released.run(f"ip netns add {NAMESPACE}")
    yield run
    released.run(f"ip netns del {NAMESPACE}")


def here(*argv: str, stdin: str = "") -> str:
    """Run a program in a namespace of this machine."""
    words = ["ip", "netns", "exec", NAMESPACE, *argv]
    return subprocess.run(words, input=stdin, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("backend", list(Backend))
@pytest.mark.parametrize("dump", DUMPS, ids=named)
def test_iptables_dumps_come_back(there: Callable[..., str], dump: Path, backend: Backend) -> None:
    """Restored with either backend, every rule of a recorded dump reads as it did in the recording."""
    comes_back(there, dump, backend)


@pytest.mark.parametrize("dump", RULESETS, ids=named)
def test_nftables_rulesets_read_the_same(there: Callable[..., str], release: Release, dump: Path) -> None:
    """A ruleset is the same, statement by statement, whichever nft shows it."""
    if release.suite == "bullseye" and "kube-proxy" in str(dump):
        pytest.skip("kube-proxy's nftables mode wants Linux 5.13 and nft 1.0.1")
    there("nft", "-f", "-", stdin=dump.read_text())
    with namespaces(NAMESPACE):
        here("nft", "-f", "-", stdin=dump.read_text())
        expected = statements(ruleset(here))
    assert statements(ruleset(there)) == expected
    assert len(expected) > 15
