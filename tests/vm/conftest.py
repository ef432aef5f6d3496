"""One guest for all tests, and what it was like before and after the first look at it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from skoopctl.evidence import HostRecord, read_bundle
from tests.vm.guest import Guest, running_guest
from tests.vm.image import Image, ImageError, image, missing_programs
from tests.vm.image_in_memory import RELEASES, USUAL, Release, image_of
from tests.vm.machines import X86_64, Machine
from tests.vm.play import prepare
from tests.vm.scenarios import load_all

COLLECT = "from skoopctl.cli import main; main()"
STATE = r"""
cut -d' ' -f1 /proc/modules | sort
echo -- files
skip='-path /proc -o -path /sys -o -path /dev -o -path /var/log/journal -o -path /run/log/journal'
find / -xdev \( $skip \) -prune -o -printf '%p %y %m %s %T@ %C@\n' | sort
find /tmp /run /dev/shm -xdev ! -path '/run/log/*' ! -path '/run/systemd/*' -printf '%p %y %m %s %T@\n' | sort
echo -- processes
ps -e -o pid=,ppid=,comm= | awk '$2 != 2 && $3 !~ /^(sshd|ps|awk|sh|bash|sort|kworker.*)$/' | sort
echo -- sysctls
sysctl -a -r '^net[.]' 2>/dev/null | grep -v -e nf_conntrack_count -e random
"""


@dataclass(frozen=True, slots=True)
class Look:
    """One run of ``skoopctl collect``: the guest's state before and after it, by sections, and what came."""

    before: dict[str, list[str]]
    after: dict[str, list[str]]
    record: HostRecord


def state(guest: Guest) -> dict[str, list[str]]:
    """Return everything about the guest that looking must not change."""
    sections: dict[str, list[str]] = {"modules": []}
    name = "modules"
    for line in guest.run(STATE).splitlines():
        if line.startswith("-- "):
            name = line[3:]
            sections[name] = []
        else:
            sections[name].append(line)
    return sections


def collect(guest: Guest, user: str = "root") -> HostRecord:
    """Collect the guest as a user would: with the program, from an inventory, over a login of its own."""
    out = guest.folder / f"collected-{user}.skoop"
    argv = [sys.executable, "-c", COLLECT, "collect", "-i", str(guest.inventory(user)), "-o", str(out)]
    done = subprocess.run(
        argv, check=False, capture_output=True, text=True, timeout=120, cwd=Path(__file__).parents[2]
    )
    assert done.returncode == 0, done.stderr
    return read_bundle(str(out)).results["vm"]


def look(guest: Guest) -> Look:
    """Collect, and tell what was before and after."""
    before = state(guest)
    record = collect(guest)
    return Look(before, state(guest), record)


def built_for(machine: Machine, build: Callable[[], Image]) -> Image:
    """Return a guest's image; without one, and where none can be built, what needs a guest is skipped."""
    missing = missing_programs(machine)
    if missing:
        pytest.skip(f"no guest: {', '.join(missing)} missing (make test-vm installs them)")
    if os.uname().machine != "x86_64":
        pytest.skip("no guest: its packages are looked up on x86_64")
    if os.geteuid():
        pytest.skip("no guest: building its disk takes root")
    try:
        return build()
    except ImageError as error:
        pytest.skip(f"no guest: {error}")


@pytest.fixture(scope="session")
def built() -> Image:
    """Return the image of a node for x86_64."""
    return built_for(X86_64, image)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Try what is for every release of Debian on two that stand for them, or on all where somebody asks for that."""
    if "release" in metafunc.fixturenames:
        names = RELEASES if metafunc.config.getoption("--all-kernels") else USUAL
        metafunc.parametrize(
            "release", [RELEASES[name] for name in names], ids=list(names), scope="session", indirect=True
        )


@pytest.fixture(scope="session")
def release(request: pytest.FixtureRequest) -> Release:
    """Return a release of Debian."""
    chosen: Release = request.param
    return chosen


@pytest.fixture(scope="session")
def released(release: Release) -> Iterator[Guest]:
    """Return a running guest of a release."""
    with running_guest(built_for(release.machine, lambda: image_of(release))) as guest:
        yield guest


@pytest.fixture(scope="session")
def booted(built: Image) -> Iterator[tuple[Guest, Look]]:
    """Boot a guest and look at it while it has loaded no more than it needs to run."""
    load_all()
    with running_guest(built) as guest:
        # Logins are taken before systemd has started everything, and what it starts is no doing of a look.
        guest.run("timeout 100 systemctl is-system-running --wait >/dev/null || true")
        # Process 1 loads ip_tables for itself (systemd 252: kmod_setup), which a node with nftables need not.
        guest.run("rmmod ip_tables x_tables 2>/dev/null || true")
        first = look(guest)
        prepare(guest)
        yield guest, first


@pytest.fixture(scope="session")
def guest(booted: tuple[Guest, Look]) -> Guest:
    """Return the running guest."""
    return booted[0]


@pytest.fixture(scope="session")
def first_look(booted: tuple[Guest, Look]) -> Look:
    """Return the look at the bare guest."""
    return booted[1]
