"""The other backends on Debian's kernel, with its headers: what they see is what the built programs see."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import pytest

from skoopctl.bpf import catalogue
from skoopctl.bpf.events import Batch, BpfEvent
from skoopctl.bpf.program import BpfRequest, bpf_job
from skoopctl.bpf.stream import BPF_FRAME, Counts, SelfTest, Setup, Stream
from skoopctl.evidence.frames import FrameKind, _frames
from tests.kernel.bpf_delays import HOUR_US, delay_of
from tests.kernel.tunnel_packets import INSIDE, vxlan
from tests.kernel.tunnel_packets import frame as ethernet
from tests.vm.causes import COMMANDS, DISK, TRAFFIC
from tests.vm.guest import START_S, Guest

pytestmark = [pytest.mark.vm, pytest.mark.timeout(2400, func_only=True)]

PROBES = ("packetloss", "tcpreset", "tcpretrans")
CAUSE = r"""
import socket, time
while True:
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family) as made:
            made.connect_ex((address, 4444))
        with socket.socket(family, socket.SOCK_DGRAM) as made:
            made.sendto(b"x", (address, 4445))
            made.sendto(b"x", (address, 4446))
            for carried in CARRIED:
                made.sendto(bytes.fromhex(carried), (address, 8472))
    time.sleep(0.5)
""".replace("CARRIED", repr([vxlan(ethernet(family)).hex() for family in (4, 6)]))
HALVES = (
    (*PROBES, "runqueue", "biolatency", "virtcmdlatency"),
    ("tcpconnect", "softirq", "socketlatency", "kernellatency", "netiftxlat"),
)
"""All probes of eBPF, so that BCC takes about as long for either half."""
THRESHOLDS_US = {
    **dict.fromkeys(("tcpconnect.slow", "biolatency.slow", "virtcmdlatency.slow", "netiftxlat.slow"), 0),
    "kernellatency.slow": 0,
    "kernellatency.very_slow": HOUR_US,
    "runqueue.slow": 1000,
}
RULES = "; ".join(f"{tool} -w -{{0}} INPUT -p udp --dport 4446 -j DROP" for tool in ("iptables", "ip6tables"))
PROGRAMS = """
for each in /proc/*/fd/*; do readlink $each; done 2>/dev/null | grep -c -e bpf-prog -e bpf-map -e bpf_link || true
ls -A /sys/fs/bpf /tmp | wc -l
"""


@dataclass(frozen=True)
class Seen:
    """What one backend said."""

    setups: dict[str, Setup]
    tests: dict[str, SelfTest]
    counts: dict[str, Counts]
    events: list[BpfEvent]
    whole: bool

    @property
    def kinds_of_events(self) -> set[tuple[object, ...]]:
        """What both backends must tell alike of the causes, without the ports that the kernel chose."""
        return {
            (
                *(
                    event.kind,
                    event.family,
                    event.protocol,
                    event.tcp_flags,
                    event.reason_name,
                    event.function,
                ),
                *(event.hook, event.netns, event.ifindex, event.ethertype, event.source, event.destination),
                *(min(event.source_port, event.destination_port), event.cgroup > 0, event.calls[:2]),
                event.inner,
            )
            for event in self.events
            if event.probe in PROBES
            and {event.source_port, event.destination_port} & {4444, 4445, 4446, 8472}
        }


def seen_by(guest: Guest, backend: str, probes: tuple[str, ...] = PROBES) -> Seen:
    """Run probes by one backend, while the causes go on."""
    thresholds = {name: us for name, us in THRESHOLDS_US.items() if name.split(".")[0] in probes}
    request = BpfRequest(
        probes, 6.0, backend=backend, start_s=START_S, bcc_timeout_s=1000, thresholds_us=thresholds
    )
    asked = bpf_job(request, "x86_64")
    stream, said, whole = Stream(), [], False
    for frame in _frames(guest.ask(asked.command, asked.stdin)):
        whole = frame.kind == FrameKind.END
        if frame.kind == BPF_FRAME:
            said.append(stream.take(frame.meta, frame.body))
    return Seen(
        {each.probe: each for each in said if isinstance(each, Setup)},
        {each.probe: each for each in said if isinstance(each, SelfTest)},
        {each.probe: each for each in said if isinstance(each, Counts)},
        [event for each in said if isinstance(each, Batch) for event in each.events],
        whole,
    )


def all_seen_by(guest: Guest, backend: str) -> Seen:
    """Run all probes by one backend, as two programs at once: BCC compiles on both CPUs."""
    with ThreadPoolExecutor() as pool:
        base, more = pool.map(partial(seen_by, guest, backend), HALVES)
    return Seen(
        base.setups | more.setups,
        base.tests | more.tests,
        base.counts | more.counts,
        base.events + more.events,
        base.whole and more.whole,
    )


@pytest.fixture(scope="module")
def causes(guest: Guest) -> Iterator[Guest]:
    """Return the guest while datagrams get lost, connections are refused, and everything has something to do."""
    guest.run(RULES.format("A"))
    with ExitStack() as ends:
        ends.callback(guest.run, RULES.format("D"))
        for name, cause in {"loss": CAUSE, "traffic": TRAFFIC, "commands": COMMANDS, "disk": DISK}.items():
            file = f"/run/{name}.py"
            number = int(
                guest.run(f"cat >{file}; setsid python3 {file} >/dev/null 2>/run/{name}.log & echo $!", cause)
            )
            ends.callback(guest.run, f"kill {number}; rm {file} /run/{name}.log")
        yield guest


@pytest.fixture(scope="module")
def core(causes: Guest) -> Seen:
    """Return what the built programs see."""
    return all_seen_by(causes, "core")


@pytest.fixture(scope="module")
def bcc(causes: Guest) -> Seen:
    """Return what BCC's see; they leave nothing."""
    before = causes.run(PROGRAMS)
    seen = all_seen_by(causes, "bcc")
    assert causes.run(PROGRAMS) == before
    return seen


def test_bcc_compiles_every_probe_and_takes_far_longer(
    core: Seen, bcc: Seen, record_property: Callable[[str, object], None]
) -> None:
    """Each probe runs by BCC, whole, and has seen its self-test; how long both took to start is told side by side."""
    took = {
        name: f"core {core.setups[name].ms['all']:.0f} ms, BCC {setup.ms.get('compile', 0) / 1e3:.1f} s"
        for name, setup in bcc.setups.items()
    }
    record_property(
        "counted", f"start in the guest: BTF {core.setups['tcpreset'].ms['btf']:.0f} ms once; {took}"
    )
    assert (core.whole, bcc.whole) == (True, True)
    wanted = [name for half in HALVES for name in half]
    assert set(wanted) == {name for name, probe in catalogue.PROBES.items() if probe.is_bpf}
    told = {name: (setup.backend, setup.status, setup.detail) for name, setup in bcc.setups.items()}
    assert told == dict.fromkeys(wanted, ("bcc", "ok", ""))
    results = {name: test.result for name, test in bcc.tests.items()}
    assert results == {name: test.result for name, test in core.tests.items()}
    assert results == {name: "ok" if catalogue.PROBES[name].proof else "none" for name in wanted}


def test_bcc_sees_what_the_built_programs_see(core: Seen, bcc: Seen) -> None:
    """For the same causes both backends give the same events, reasons and flows, with what tunnels carry."""
    assert {kind for kind, *_ in core.kinds_of_events} == {"packet-loss", "reset-no-socket", "reset-received"}
    assert bcc.kinds_of_events == core.kinds_of_events
    apart = [
        {
            (flow.kind, flow.source, flow.destination, flow.destination_port, flow.netfilter)
            for flow in each.counts["packetloss"].flows
            if flow.destination_port in {4444, 4445, 4446}
        }
        for each in (core, bcc)
    ]
    assert apart[0] == apart[1]
    assert {row[-1] for row in apart[0] if row[3] == 4446} == {True}, "what the rule drops is counted apart"
    carried = {event.inner.destination for event in bcc.events if event.inner is not None}
    assert carried == {ends[1] for ends in INSIDE.values()}
    for seen in (core, bcc):
        for counts in map(seen.counts.get, PROBES):
            assert counts is not None
            assert (
                counts.sampled + counts.lost == sum(total.count for total in counts.totals) + counts.ignored
            )


def ends_of(event: BpfEvent) -> tuple[object, ...]:
    """Return between whom it was, without the port that the kernel chose."""
    return event.kind, event.protocol, event.source, event.destination, event.destination_port


TOLD: dict[str, Callable[[BpfEvent], tuple[object, ...]]] = {
    "tcpconnect": lambda event: (*ends_of(event), event.error, delay_of(event).task, event.netns),
    "socketlatency": lambda event: (*ends_of(event), delay_of(event).task, event.cgroup > 0, event.netns),
    "kernellatency": lambda event: (*ends_of(event), event.netns),
    "netiftxlat": lambda event: (*ends_of(event), event.ifindex, event.netns),
    "biolatency": lambda event: (event.kind, event.reason_name, delay_of(event).device),
    "virtcmdlatency": lambda event: (event.reason_name, delay_of(event).task),
}
"""What both backends must tell alike."""
KINDS_TOLD = {
    "tcpconnect": {"connect-slow", "connect-failed"},
    "socketlatency": {"read-very-slow", "write-very-slow"},
    "kernellatency": {"receive-slow", "send-slow"},
    "netiftxlat": {"transmit-qdisc-slow"},
    "biolatency": {"block-slow"},
    "virtcmdlatency": {"virtio-command-slow", "virtio-command-very-slow"},
}


def is_of_a_cause(event: BpfEvent) -> bool:
    """Return whether one of the programs of `causes` must have made it."""
    if event.probe == "biolatency":
        return event.reason_name == "WRITE"
    if event.probe == "virtcmdlatency":
        return delay_of(event).task == "ip"
    return event.destination_port in {4444, 4501, 4502}


@pytest.mark.parametrize("probe", TOLD)
def test_bcc_measures_what_the_built_programs_measure(core: Seen, bcc: Seen, probe: str) -> None:
    """For the same causes both backends tell the same kinds, ends, tasks and devices, over IPv4 and IPv6."""
    found = []
    for seen in (core, bcc):
        events = [event for event in seen.events if event.probe == probe and is_of_a_cause(event)]
        assert {event.kind for event in events} <= KINDS_TOLD[probe]
        assert all(0 < delay_of(event).latency_ns < 60e9 for event in events)
        found.append({TOLD[probe](event) for event in events})
    assert found[1] == found[0] != set()
    rows = [{(row.stage, row.type) for row in seen.counts[probe].histograms} for seen in (core, bcc)]
    assert rows[0] & rows[1]
    assert len({stage for stage, _ in rows[1]}) == len({stage for stage, _ in rows[0]})


def test_bcc_measures_softirqs_and_waits_for_a_cpu(core: Seen, bcc: Seen) -> None:
    """Both backends count waits and runs of the softirqs that always come, and tell which task waited where."""
    for seen in (core, bcc):
        rows = {(row.stage, row.type) for row in seen.counts["softirq"].histograms}
        assert rows >= {(stage, word) for stage in ("wait", "run") for word in ("TIMER", "NET_RX", "RCU")}
        waited = [event for event in seen.events if event.probe == "runqueue"]
        assert {event.kind for event in waited} == {"runqueue-slow"}
        ours = [event for event in waited if delay_of(event).task == "python3"]
        # One that is ending has neither namespaces nor a group any more.
        assert (True, True, True) in {
            (delay_of(event).pid > 0, event.netns > 0, event.cgroup > 0) for event in ours
        }
        assert all(1e6 <= delay_of(event).latency_ns < 60e9 for event in waited)


def losses(seen: Seen) -> set[tuple[object, ...]]:
    """Return what tracefs tells of losses too."""
    kinds = {event.kind for event in seen.events} - {"packet-loss"}
    assert kinds, "there are resets beside the losses"
    return {
        (event.reason_name, event.function, event.ethertype)
        for event in seen.events
        if event.kind == "packet-loss" and event.reason_name in {"NO_SOCKET", "NETFILTER_DROP"}
    }


def test_tracefs_reads_the_events_of_this_kernel(causes: Guest, core: Seen) -> None:
    """Before 6.10 there are no resets without a socket; what there is has the same reasons, functions and ends."""
    before = causes.run(PROGRAMS + "ls /sys/kernel/tracing/instances")
    seen = seen_by(causes, "tracefs")
    assert seen.whole
    assert {(setup.backend, setup.status) for setup in seen.setups.values()} == {("tracefs", "degraded")}
    assert {name: test.result for name, test in seen.tests.items()} == {
        "packetloss": "ok",
        "tcpreset": "ok",
        "tcpretrans": "none",
    }
    assert "resets without a socket (since 6.10)" in seen.setups["tcpreset"].missing
    assert losses(seen) == losses(core)
    received = [
        {
            (event.family, event.source, event.source_port, event.destination)
            for event in each.events
            if event.kind == "reset-received" and event.source_port == 4444
        }
        for each in (seen, core)
    ]
    assert received[0] == received[1] != set()
    assert causes.run(PROGRAMS + "ls /sys/kernel/tracing/instances") == before


def test_counters_of_this_kernel(causes: Guest) -> None:
    """By /proc there are datagrams for nobody and resets that were sent, and nothing of what the rule drops."""
    seen = seen_by(causes, "proc")
    rows = [total for counts in seen.counts.values() for total in counts.totals]
    assert {(row.kind, row.reason_name) for row in rows} >= {("packet-loss", "NO_SOCKET"), ("reset-sent", "")}
    assert not {row.reason_name for row in rows} & {"NETFILTER_DROP"}
    assert seen.events == []
