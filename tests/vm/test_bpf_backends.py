"""The other backends on Debian's kernel, with its headers: what they see is what the built programs see."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from skoopctl.bpf.events import Batch, BpfEvent
from skoopctl.bpf.program import BpfRequest, bpf_job
from skoopctl.bpf.stream import BPF_FRAME, Counts, SelfTest, Setup, Stream
from skoopctl.evidence.frames import FrameKind, _frames
from tests.kernel.tunnel_packets import INSIDE, vxlan
from tests.kernel.tunnel_packets import frame as ethernet
from tests.vm.guest import Guest

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1500)]

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
            if {event.source_port, event.destination_port} & {4444, 4445, 4446, 8472}
        }


def seen_by(guest: Guest, backend: str) -> Seen:
    """Run all probes by one backend, while the causes go on."""
    asked = bpf_job(BpfRequest(PROBES, 6.0, backend=backend, bcc_timeout_s=400), "x86_64")
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


@pytest.fixture(scope="module")
def causes(guest: Guest) -> Iterator[Guest]:
    """Return the guest while datagrams get lost and connections are refused in it."""
    guest.run(RULES.format("A"))
    guest.run(
        "cat >/run/cause.py; setsid python3 /run/cause.py >/dev/null 2>&1 & echo $! >/run/cause.pid", CAUSE
    )
    yield guest
    guest.run("kill $(cat /run/cause.pid); rm /run/cause.py /run/cause.pid; " + RULES.format("D"))


@pytest.fixture(scope="module")
def core(causes: Guest) -> Seen:
    """Return what the built programs see."""
    return seen_by(causes, "core")


def test_bcc_sees_what_the_built_programs_see(
    causes: Guest, core: Seen, record_property: Callable[[str, object], None]
) -> None:
    """For the same causes both backends give the same events and reasons, leave nothing, and BCC takes far longer."""
    before = causes.run(PROGRAMS)
    bcc = seen_by(causes, "bcc")
    took = {
        name: f"core {core.setups[name].ms['all']:.0f} ms, BCC {bcc.setups[name].ms.get('compile', 0) / 1e3:.1f} s"
        for name in PROBES
    }
    record_property(
        "counted", f"start in the guest: BTF {core.setups['tcpreset'].ms['btf']:.0f} ms once; {took}"
    )
    assert (core.whole, bcc.whole) == (True, True)
    told = [setup.detail for setup in bcc.setups.values()]
    assert {(setup.backend, setup.status) for setup in bcc.setups.values()} == {("bcc", "ok")}, told
    assert {name: test.result for name, test in bcc.tests.items()} == {
        "packetloss": "ok",
        "tcpreset": "ok",
        "tcpretrans": "none",
    }
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
        for counts in seen.counts.values():
            assert (
                counts.sampled + counts.lost == sum(total.count for total in counts.totals) + counts.ignored
            )
    assert causes.run(PROGRAMS) == before


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
