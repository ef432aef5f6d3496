"""What eBPF probes see in a guest while something goes on that each of them must see."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

from skoopctl.bpf.catalogue import PROBES as CATALOGUE
from skoopctl.bpf.events import Batch, BpfEvent
from skoopctl.bpf.program import BpfRequest, bpf_job
from skoopctl.bpf.stream import BPF_FRAME, Counts, SelfTest, Setup, Stream
from skoopctl.evidence.frames import FrameKind, _frames
from tests.kernel.bpf_delays import HOUR_US, delay_of
from tests.kernel.tunnel_packets import frame as ethernet
from tests.kernel.tunnel_packets import vxlan
from tests.vm.causes import COMMANDS, DISK, TRAFFIC
from tests.vm.guest import START_S, Guest

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
WATCHED_S = 9.0
"""Several rounds of each cause, in a guest that is emulated beside other tests."""
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


def seen_by(guest: Guest, backend: str, probes: tuple[str, ...] = PROBES, buffers: str = "auto") -> Seen:
    """Run probes by one backend, while the causes go on."""
    thresholds = {name: us for name, us in THRESHOLDS_US.items() if name.split(".")[0] in probes}
    request = BpfRequest(
        probes,
        WATCHED_S,
        backend=backend,
        buffers=buffers,
        start_s=START_S,
        bcc_timeout_s=1000,
        thresholds_us=thresholds,
    )
    asked = bpf_job(request, guest.image.machine.name)
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


NAMES = [name for half in HALVES for name in half]


def left_as_it_was(guest: Guest, backend: str) -> Seen:
    """Return what all probes see by one backend; they leave nothing."""
    before = guest.run(PROGRAMS)
    seen = all_seen_by(guest, backend)
    assert guest.becomes(PROGRAMS, before)
    return seen


def check_started(seen: Seen, backend: str) -> None:
    """Check that every probe of eBPF started by a backend, whole, and has seen its self-test."""
    assert seen.whole
    assert set(NAMES) == {name for name, probe in CATALOGUE.items() if probe.is_bpf}
    told = {name: (setup.backend, setup.status, setup.detail) for name, setup in seen.setups.items()}
    assert told == dict.fromkeys(NAMES, (backend, "ok", ""))
    results = {name: test.result for name, test in seen.tests.items()}
    assert results == {name: "ok" if CATALOGUE[name].proof else "none" for name in NAMES}


def check_sums(seen: Seen) -> None:
    """Check that what was counted was sampled, or lost and said so."""
    for counts in map(seen.counts.get, PROBES):
        assert counts is not None
        assert counts.sampled + counts.lost == sum(total.count for total in counts.totals) + counts.ignored


@contextmanager
def caused(guest: Guest) -> Iterator[None]:
    """Have datagrams get lost, connections be refused, and everything have something to do, for a while."""
    guest.run(RULES.format("A"))
    with ExitStack() as ends:
        ends.callback(guest.run, RULES.format("D"))
        for name, cause in {"loss": CAUSE, "traffic": TRAFFIC, "commands": COMMANDS, "disk": DISK}.items():
            file = f"/run/{name}.py"
            number = int(
                guest.run(f"cat >{file}; setsid python3 {file} >/dev/null 2>/run/{name}.log & echo $!", cause)
            )
            # Another test's program wants the same ports.
            ended = f"kill {number}; while kill -0 {number} 2>/dev/null; do sleep 1; done"
            ends.callback(guest.run, f"{ended}; rm {file} /run/{name}.log")
        yield


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
        # Since 6.9 a worker of the kernel's has the device hear all.
        return delay_of(event).task.startswith(("ip", "kworker"))
    return event.destination_port in {4444, 4501, 4502}
