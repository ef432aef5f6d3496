"""Bad days of the event program: each is named, the rest works on, and the kernel is left as it was.

Missing types, fields, symbols, privileges, a lockdown and the verifier's refusals are in test_bpf_loader_live.py and
test_bpf_hooks_live.py; tracefs in test_bpf_tiers_live.py.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from skoopctl.bpf.program import BpfRequest
from tests.kernel.bpf_pair import ADDRESSES, Pair, pair
from tests.kernel.bpf_watch import Watch
from tests.support.ebpf_held import are_gone, held_by

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="loading programs needs root"),
]

BASE = ("packetloss", "tcpreset", "tcpretrans")
ENOUGH_S = 60.0
PINS = Path("/sys/fs/bpf")
NO_MEMORY = ("setpriv", "--bounding-set=-sys_resource,-ipc_lock", "--inh-caps=-sys_resource,-ipc_lock")
NO_CAPABILITIES = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
RELAY = """
import subprocess, sys
with subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE) as child:
    print(child.pid, file=sys.stderr, flush=True)
    while data := sys.stdin.buffer.raw.read(65536):
        child.stdin.write(data)
        child.stdin.flush()
"""
"""A parent that owns the program's standard input, as a server of SSH does."""


@pytest.fixture(scope="module")
def wire() -> Iterator[Pair]:
    """Return a pair of namespaces for the tests of this file."""
    with pair("b") as made:
        yield made


@pytest.fixture(autouse=True)
def nothing_is_pinned() -> Iterator[None]:
    """Compare what is pinned in the file system of eBPF, before and after each test."""
    before = sorted(os.listdir(PINS)) if PINS.is_dir() else []  # noqa: PTH208
    yield
    assert (sorted(os.listdir(PINS)) if PINS.is_dir() else []) == before  # noqa: PTH208


def asked(wire: Pair, *probes: str, duration_s: float = ENOUGH_S, **more: object) -> BpfRequest:
    """Return a request for the pair."""
    namespaces = (wire.client.inode, wire.server.inode)
    return BpfRequest(probes or BASE, duration_s, namespaces, **more)  # type: ignore[arg-type]


def lose(wire: Pair, port: int, times: int = 1) -> None:
    """Send datagrams to a port where nobody reads."""
    with contextlib.closing(wire.client.socket(4, socket.SOCK_DGRAM)) as made:
        for _ in range(times):
            made.sendto(b"x", (ADDRESSES[4][1], port))


def losses(watch: Watch, port: int) -> int:
    """Return how many events of losses at a port came."""
    return sum(event.destination_port == port for event in watch.events)


def test_two_at_once_see_the_same_and_end_alone(wire: Pair) -> None:
    """Two programs on one node each see everything, count for themselves, and the end of one leaves the other."""
    with Watch(asked(wire, "packetloss")) as one:
        lose(wire, 7500, 3)
        with Watch(asked(wire, "packetloss", duration_s=4.0)) as other:
            lose(wire, 7500, 4)
            other.wait()
        assert losses(other, 7500) == 4
        assert [flow.count for flow in other.counts["packetloss"].flows if flow.destination_port == 7500] == [
            4
        ]
        lose(wire, 7500)
        one.until(lambda: losses(one, 7500) == 8, "all losses")


def test_the_end_of_its_parent_is_its_end(wire: Pair) -> None:
    """When whoever holds its standard input is killed, the program goes, and with it all that the kernel had of it."""
    with Watch(asked(wire), prefix=(sys.executable, "-c", RELAY)) as watch:
        assert watch.process.stderr is not None
        child = int(watch.process.stderr.readline())
        held = held_by(child)
        assert (len(held["prog"]), len(held["map"])) == (5, 15)
        watch.process.send_signal(signal.SIGKILL)
        watch.until(lambda: not Path(f"/proc/{child}").exists(), "the program's end")
        watch.until(lambda: are_gone(held), "its programs and maps to go")


@pytest.mark.parametrize("backend", ["core", "auto"])
def test_sigkill_at_any_moment_leaves_nothing(wire: Pair, backend: str) -> None:
    """Killed with events on their way, the program leaves neither programs nor maps."""
    with Watch(asked(wire, backend=backend)) as watch:
        held = held_by(watch.process.pid)
        assert held["prog"]
        lose(wire, 7501, 200)
        watch.process.kill()
        watch.process.wait(20)
        watch.until(lambda: are_gone(held), "its programs and maps to go")


def test_a_limit_of_locked_memory_that_cannot_be_lifted_is_no_end(wire: Pair) -> None:
    """With no locked memory and no right to more, the ring buffer works where the kernel does not count it (5.11)."""
    limited = ("prlimit", "--memlock=0:0", *NO_MEMORY)
    with Watch(asked(wire, "packetloss", backend="core", buffers="ring"), prefix=limited) as watch:
        setup = watch.setups["packetloss"]
        if setup.status == "unavailable":
            assert "RLIMIT_MEMLOCK" in setup.detail
            return
        lose(wire, 7502)
        watch.until(lambda: losses(watch, 7502) == 1, "the loss")


def test_without_any_privilege_counters_are_left() -> None:
    """Without capabilities all that needs them says so, and the counters of our own namespace remain."""
    own = Path("/proc/self/ns/net").stat().st_ino
    request = BpfRequest(("packetloss",), 1.0, (own,))
    with Watch(request, prefix=NO_CAPABILITIES) as watch:
        watch.wait()
    setup = watch.setups["packetloss"]
    assert (setup.backend, setup.status) == ("proc", "degraded")
    assert (setup.passed[0].backend, setup.passed[0].status) == ("core", "denied")
    assert "EPERM" in setup.passed[0].detail
    assert watch.ended_whole


def test_under_lockdown_the_counters_are_left(wire: Pair, tmp_path: Path) -> None:
    """Under a lockdown for confidentiality programs are denied by name, and a lower backend counts."""
    lockdown = tmp_path / "lockdown"
    lockdown.write_text("none integrity [confidentiality]\n", encoding="ascii")
    with Watch(asked(wire, counts_s=0.5, lockdown=str(lockdown))) as watch:
        lose(wire, 7503, 5)

        def without_a_socket() -> int:
            counts = watch.counts.get("packetloss")
            totals = counts.totals if counts else ()
            return sum(total.count for total in totals if total.reason_name == "NO_SOCKET")

        watch.until(lambda: without_a_socket() >= 5, "the losses to be counted")
    setup = watch.setups["packetloss"]
    assert {each.backend: each.status for each in setup.passed}["core"] == "denied"
    assert "lockdown is [confidentiality]" in setup.passed[0].detail
    assert setup.backend in {"tracefs", "proc"}


def test_a_symbol_that_is_gone_costs_its_hook_alone(wire: Pair) -> None:
    """A tracepoint that this kernel has not is absent by name; the probe is degraded, and its other hooks see."""

    def older(source: str) -> str:
        assert "'target': 'tcp_receive_reset'" in source
        return source.replace("'target': 'tcp_receive_reset'", "'target': 'tcp_no_such_reset'")

    with Watch(asked(wire, "tcpreset", backend="core"), change=older) as watch:
        setup = watch.setups["tcpreset"]
        with contextlib.closing(wire.client.socket(4)) as client:
            client.connect_ex((ADDRESSES[4][1], 7504))
        watch.first(lambda e: e.kind == "reset-no-socket" and e.source_port == 7504, "the other hook's event")
    gone = [report for report in setup.hooks if report.status != "ok"]
    assert setup.status == "degraded"
    assert [(report.status, report.target) for report in gone] == [("absent", "tcp_no_such_reset")]
    assert "ENOENT" in gone[0].detail
