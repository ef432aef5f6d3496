"""The lower backends on this kernel: what they see of real causes, when they are taken, what they leave behind."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from skoopctl.bpf.events import BpfEvent
from skoopctl.bpf.program import BpfRequest
from tests.kernel.bpf_pair import ADDRESSES, Pair, pair
from tests.kernel.bpf_watch import Watch
from tests.kernel.drops import counted
from tests.support.floods import flooding

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="tracing needs root"),
]

BASE = ("packetloss", "tcpreset", "tcpretrans")
ENOUGH_S = 60.0
RULES_DROP_IN = {"nf_hook_slow", "nf_drop_reason", "nft_do_chain"}
FOLDER = "/sys/kernel/tracing"
MOUNTED = ("unshare", "-m", "sh", "-c", f'mount -t tracefs tracefs {FOLDER} && exec "$@"', "sh")
NOT_MOUNTED = (
    "unshare",
    "-m",
    "sh",
    "-c",
    f'for each in {FOLDER} /sys/kernel/debug; do while umount "$each" 2>/dev/null; do :; done; done; exec "$@"',
    "sh",
)


@pytest.fixture(scope="module")
def wire() -> Iterator[Pair]:
    """Return a pair of namespaces for the tests of this file."""
    with pair("r") as made:
        yield made


@pytest.fixture(scope="module", autouse=True)
def tracefs() -> None:
    """Skip where tracefs cannot be mounted, as in some containers."""
    if subprocess.run([*MOUNTED, "true"], capture_output=True, check=False).returncode:
        pytest.skip("tracefs cannot be mounted here")


def asked(wire: Pair, backend: str, *probes: str, duration_s: float = ENOUGH_S, **more: object) -> BpfRequest:
    """Return a request for the pair by one backend."""
    namespaces = (wire.client.inode, wire.server.inode)
    return BpfRequest(probes or BASE, duration_s, namespaces, backend=backend, **more)  # type: ignore[arg-type]


def instances(pid: int) -> list[str]:
    """Return the instances of tracing that a program has made."""
    shown = subprocess.run(
        [*MOUNTED, "ls", f"{FOLDER}/instances"], capture_output=True, text=True, check=True
    )
    return [name for name in shown.stdout.split() if name.startswith("skoopctl-") and f"-{pid}." in name]


def kfree_skb() -> int:
    """Return the number of the tracepoint that all lost packets come by."""
    file = f"{FOLDER}/events/skb/kfree_skb/id"
    return int(subprocess.run([*MOUNTED, "cat", file], capture_output=True, check=True).stdout)


@contextlib.contextmanager
def held(instance: str) -> Iterator[None]:
    """Keep an instance: one that is open cannot be removed, by whatever program of another test begins just then."""
    script = f"exec 3<{FOLDER}/instances/{instance}/buffer_size_kb; echo held; exec sleep infinity"
    with subprocess.Popen([*MOUNTED, "sh", "-ec", script], stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            yield
        finally:
            holder.kill()


def node_pid(watch: Watch) -> int:
    """Return the process of the node program: the prefix's programs have become it."""
    return watch.process.pid


def lose_udp(wire: Pair, port: int, times: int = 1, family: int = 4) -> None:
    """Send datagrams to a port where nobody reads."""
    with contextlib.closing(wire.client.socket(family, socket.SOCK_DGRAM)) as made:
        for _ in range(times):
            made.sendto(b"x", (ADDRESSES[family][1], port))


def told(event: BpfEvent) -> tuple[object, ...]:
    """Return what two backends must tell alike of a reset."""
    ends = (event.source, event.source_port, event.destination, event.destination_port)
    return event.kind, event.family, event.tcp_flags, event.reason_name, *ends


def test_a_dropped_packet_has_its_reason_and_function_by_tracefs(wire: Pair) -> None:
    """Without any program, a packet that a rule drops is told with the kernel's reason and function."""
    with (
        wire.server.rule(4, "INPUT", "-p", "udp", "--dport", "7400", "-j", "DROP"),
        Watch(asked(wire, "tracefs", "packetloss"), prefix=MOUNTED) as watch,
    ):
        lose_udp(wire, 7400)
        # Tracefs shows what the whole machine loses, and other tests have rules that drop as well.
        seen = watch.first(
            lambda e: (
                (e.reason_name, e.ethertype) == ("NETFILTER_DROP", 0x0800) and e.function in RULES_DROP_IN
            ),
            "the loss",
        )
    setup = watch.setups["packetloss"]
    assert (setup.backend, setup.status, watch.tests["packetloss"].result) == ("tracefs", "degraded", "ok")
    assert (seen.kind, seen.netns, seen.source) == ("packet-loss", 0, "")
    assert "both ends of the packet" in setup.missing


@pytest.mark.parametrize("family", [4, 6])
def test_resets_are_the_same_by_tracefs_and_by_core(wire: Pair, family: int) -> None:
    """A refused connection's resets, sent and received, have the same kinds, ends and reasons by both backends."""
    with (
        Watch(asked(wire, "tracefs", "tcpreset"), prefix=MOUNTED) as plain,
        Watch(asked(wire, "core", "tcpreset")) as core,
    ):
        with contextlib.closing(wire.client.socket(family)) as client:
            assert client.connect_ex((ADDRESSES[family][1], 7401)) == errno.ECONNREFUSED
        for kind in ("reset-no-socket", "reset-received"):
            one, other = (
                watch.first(lambda e: e.kind == kind and 7401 in {e.source_port, e.destination_port}, kind)  # noqa: B023
                for watch in (plain, core)
            )
            assert told(one) == told(other)
            assert abs(one.mono_ns - other.mono_ns) < 50_000_000


@pytest.mark.parametrize("family", [4, 6])
def test_a_lost_syn_ack_is_told_by_tracefs(wire: Pair, family: int) -> None:
    """A SYN-ACK that is sent again has both ends, and its sender is the source."""
    lost = ("-p", "tcp", "--sport", "7402", "--tcp-flags", "SYN,ACK", "SYN,ACK")
    first = ("-m", "statistic", "--mode", "nth", "--every", "1000", "--packet", "0")
    with (
        Watch(asked(wire, "tracefs", "tcpretrans"), prefix=MOUNTED) as watch,
        wire.client.rule(family, "INPUT", *lost, *first, "-j", "DROP"),
    ):
        for end in wire.connected(family, 7402):
            end.close()
        seen = watch.first(lambda e: e.kind == "retransmit-synack" and e.source_port == 7402, "the SYN-ACK")
    assert (seen.source, seen.destination) == (ADDRESSES[family][1], ADDRESSES[family][0])


@flooding()
def test_what_tracefs_loses_is_counted(wire: Pair) -> None:
    """With nobody reading, a flood fills the buffers: what came and what was lost is all that there was."""
    flood = 60_000
    with (
        counted(kfree_skb()) as of_the_machine,
        wire.server.rule(4, "INPUT", "-p", "udp", "--dport", "7403", "-j", "DROP"),
        Watch(asked(wire, "tracefs", "packetloss", duration_s=8.0), prefix=MOUNTED) as watch,
    ):
        os.kill(node_pid(watch), signal.SIGSTOP)
        lose_udp(wire, 7403, flood)
        os.kill(node_pid(watch), signal.SIGCONT)
        watch.wait()
        most = of_the_machine()
    counts = watch.counts["packetloss"]
    assert watch.ended_whole
    assert counts.lost > 0
    assert counts.sampled == sum(total.count for total in counts.totals) + counts.ignored
    assert flood <= counts.sampled + counts.lost <= most


def test_a_run_by_tracefs_leaves_no_instance(wire: Pair) -> None:
    """While it runs there is an instance for each probe, and none afterwards."""
    with Watch(replace(asked(wire, "tracefs"), duration_s=5.0), prefix=MOUNTED) as watch:
        pid = node_pid(watch)
        assert [name.rpartition("-")[2] for name in sorted(instances(pid))] == sorted(BASE)
        watch.wait()
    assert watch.ended_whole
    assert instances(pid) == []


@pytest.mark.parametrize("how", ["kill", "end of standard input"])
def test_a_program_that_is_killed_leaves_no_instance(wire: Pair, how: str) -> None:
    """After SIGKILL, and when the connection goes, somebody is left who removes the instances, and then goes too."""
    with Watch(asked(wire, "tracefs"), prefix=MOUNTED) as watch:
        pid = node_pid(watch)
        keepers = children(pid)
        assert len(keepers) == 1
        assert len(instances(pid)) == len(BASE)
        if how == "kill":
            watch.process.kill()
        else:
            assert watch.process.stdin is not None
            watch.process.stdin.close()
        watch.process.wait(20)
        watch.until(lambda: instances(pid) == [], "the instances to be removed")
        watch.until(lambda: not any(Path(f"/proc/{each}").exists() for each in keepers), "the keeper's end")


def children(pid: int) -> list[int]:
    """Return the children of a process."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_what_nobody_could_remove_is_removed_by_the_next(wire: Pair) -> None:
    """If the keeper is killed as well, the next run removes what is left, and not what a living one has."""
    with Watch(asked(wire, "tracefs", "tcpreset"), prefix=MOUNTED) as living:
        with Watch(asked(wire, "tracefs", "packetloss"), prefix=MOUNTED) as watch:
            pid = node_pid(watch)
            (instance,) = instances(pid)
            with held(instance):
                for each in (*children(pid), pid):
                    os.kill(each, signal.SIGKILL)
                watch.process.wait(20)
        with Watch(asked(wire, "tracefs", "tcpretrans", duration_s=1.0), prefix=MOUNTED) as third:
            third.wait()
        assert instances(pid) == []
        assert len(instances(node_pid(living))) == 1


def test_tracefs_that_is_not_mounted_is_not_mounted_by_us(wire: Pair) -> None:
    """Where tracefs is not mounted the backend is unavailable and says where it looked."""
    with Watch(asked(wire, "tracefs", duration_s=1.0), prefix=NOT_MOUNTED) as watch:
        watch.wait()
    assert {setup.status for setup in watch.setups.values()} == {"unavailable"}
    assert watch.setups["packetloss"].detail.startswith("tracefs is not mounted at /sys/kernel/tracing or")


@pytest.mark.parametrize(("prefix", "expected"), [(MOUNTED, "tracefs"), (NOT_MOUNTED, "proc")])
def test_auto_takes_the_best_that_there_is(wire: Pair, prefix: tuple[str, ...], expected: str) -> None:
    """Without BTF each probe runs by the best backend that is left, and tells why the better ones did not."""
    request = replace(asked(wire, "auto", *BASE, "softirq", duration_s=1.0), btf="/sys/kernel/btf/not-there")
    with Watch(request, prefix=prefix) as watch:
        watch.wait()
    assert watch.ended_whole
    assert {watch.setups[name].backend for name in BASE} == {expected}
    passed = watch.setups["tcpreset"].passed
    assert passed[0].backend == "core"
    assert "/sys/kernel/btf/not-there: ENOENT" in passed[0].detail
    assert passed[-1].backend == {"tracefs": "bcc", "proc": "tracefs"}[expected]
    softirq = watch.setups["softirq"]
    assert (softirq.status, softirq.backend) == ("unavailable", "core")
    assert [each.backend for each in softirq.passed] == ["bcc", "tracefs", "proc"]


def test_auto_is_core_where_that_works(wire: Pair) -> None:
    """Where programs can be loaded they are, and nothing was passed over."""
    with Watch(asked(wire, "auto", duration_s=1.0)) as watch:
        watch.wait()
    assert {(setup.backend, setup.passed) for setup in watch.setups.values()} == {("core", ())}


@pytest.mark.parametrize("family", [4, 6])
def test_losses_resets_and_retransmissions_are_counted_by_proc(wire: Pair, family: int) -> None:
    """Counters tell how many by namespace and reason: datagrams for nobody, refused connections, lost SYN-ACKs."""
    lost = ("-p", "tcp", "--sport", "7405", "--tcp-flags", "SYN,ACK", "SYN,ACK")
    first = ("-m", "statistic", "--mode", "nth", "--every", "1000", "--packet", "0")
    with Watch(asked(wire, "proc", counts_s=0.5), prefix=NOT_MOUNTED) as watch:
        lose_udp(wire, 7404, 25, family)
        for _ in range(3):
            with contextlib.closing(wire.client.socket(family)) as client:
                assert client.connect_ex((ADDRESSES[family][1], 7404)) == errno.ECONNREFUSED
        with wire.client.rule(family, "INPUT", *lost, *first, "-j", "DROP"):
            for end in wire.connected(family, 7405):
                end.close()
        server = wire.server.inode

        def found() -> dict[tuple[str, int, str], int]:
            return {
                (total.kind, total.netns, total.reason_name): total.count
                for counts in watch.counts.values()
                for total in counts.totals
            }

        wanted = (
            ("packet-loss", server, "NO_SOCKET"),
            ("reset-sent", server, ""),
            ("retransmit", server, ""),
        )
        watch.until(
            lambda: all(found().get(key, 0) >= n for key, n in zip(wanted, (25, 3, 1), strict=True)), "counts"
        )
        for probe in BASE:
            watch.catch_up(probe)
        counted = found()
    assert [counted[key] for key in wanted[:2]] == [25, 3]
    assert {netns for _, netns, _ in counted} <= {server, wire.client.inode, 0}
    assert watch.events == []
    assert "NETFILTER_DROP" in watch.setups["packetloss"].detail


def test_a_healthy_pair_has_no_counts_by_proc(wire: Pair) -> None:
    """Data that arrives makes no counter of the pair's grow."""
    for side in (wire.client, wire.server):
        # A probe of the tail is sent after 8 ms without an answer: a machine that is busy is no loss of ours.
        side.sysctl("net/ipv4/tcp_early_retrans", "0")
    with Watch(asked(wire, "proc", duration_s=1.5)) as watch:
        for family in (4, 6):
            near, far = wire.connected(family, 7406)
            near.send(b"x" * 5000)
            assert far.recv(1)
            near.shutdown(socket.SHUT_WR)
            while far.recv(4096):
                pass
            far.close()
            near.close()
        watch.wait()
    totals = [total for counts in watch.counts.values() for total in counts.totals if total.netns]
    assert (watch.ended_whole, totals) == (True, [])
