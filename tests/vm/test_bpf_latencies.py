"""The latencies that need kprobes or fentry, on Debian's kernel: writers, packets that TCP hands over, virtio."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from skoopctl.bpf.events import Batch, BpfEvent
from skoopctl.bpf.program import BpfRequest, bpf_job
from skoopctl.bpf.stream import BPF_FRAME, Counts, Said, Setup, Stream
from skoopctl.evidence.frames import FrameKind, _frames
from tests.kernel.bpf_delays import delay_of, only
from tests.vm.causes import COMMANDS, TRAFFIC
from tests.vm.guest import START_S, Guest

pytestmark = [pytest.mark.vm, pytest.mark.timeout(600, func_only=True)]

WATCHED_S = 10.0
HOUR_US = 3_600_000_000
BOTH = {"127.0.0.1", "::1"}


def watched(guest: Guest, cause: str, *probes: str, **thresholds_us: Any) -> list[Said]:
    """Return what a node says of probes while a program of the guest runs; thresholds as PROBE__NAME."""
    named = {name.replace("__", "."): us for name, us in thresholds_us.items()}
    asked = bpf_job(BpfRequest(probes, WATCHED_S, thresholds_us=named, start_s=START_S), "x86_64")
    start = "cat >/run/cause.py; setsid python3 /run/cause.py >/dev/null 2>/run/cause.log & echo $!"
    number = int(guest.run(start, cause))
    stream = Stream()
    try:
        frames = list(_frames(guest.ask(asked.command, asked.stdin)))
    finally:
        # Another test's program wants the same ports.
        guest.run(f"kill {number}; while kill -0 {number} 2>/dev/null; do sleep 0.1; done")
    assert frames[-1].kind == FrameKind.END, guest.run("cat /run/cause.log")
    said = [stream.take(frame.meta, frame.body) for frame in frames if frame.kind == BPF_FRAME]
    return [each for each in said if each is not None]


def events_of(said: Sequence[Said], kind: str, port: int) -> list[BpfEvent]:
    """Return the events of one kind that are for one port."""
    found = [event for each in said if isinstance(each, Batch) for event in each.events]
    return [event for event in found if (event.kind, event.destination_port) == (kind, port)]


def setup_of(said: Sequence[Said]) -> Setup:
    """Return how the only probe started."""
    (found,) = (each for each in said if isinstance(each, Setup))
    return found


@pytest.mark.parametrize("program", ["in_tcp_sendmsg_locked", "at_tcp_sendmsg_locked"])
def test_waits_in_sockets_before_6_3(guest: Guest, monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """By fentry or a kprobe for writers, and without the tracepoint for data that is ready: both halves, v4 and v6."""
    only(monkeypatch, "socketlatency", program)
    said = watched(guest, TRAFFIC, "socketlatency")
    setup = setup_of(said)
    assert setup.status == "ok", [(hook.program, hook.detail, hook.log) for hook in setup.hooks]
    assert {"on_tcp_probe", program} <= {hook.program for hook in setup.hooks if hook.status == "ok"}
    for kind in ("read-very-slow", "write-very-slow"):
        seen = events_of(said, kind, 4501)
        assert {event.source for event in seen} == BOTH, kind
        assert {event.destination for event in seen} == BOTH
        for event in seen:
            assert 100_000_000 <= delay_of(event).latency_ns < WATCHED_S * 1e9
            assert delay_of(event).task == "python3"


@pytest.mark.parametrize("way", ["in", "at", "stamped"])
def test_ways_through_the_kernel(guest: Guest, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """By fentry, kprobes or TCP's own stamp: packets that go out and those that come in, TCP and UDP, v4 and v6."""
    sends = f"{way}_net_dev_queue" if way == "stamped" else f"{way}_ip_queue_xmit"
    only(monkeypatch, "kernellatency", sends, "at_udp_enqueue" if way == "at" else "in_udp_enqueue")
    said = watched(guest, TRAFFIC, "kernellatency", kernellatency__slow=0, kernellatency__very_slow=HOUR_US)
    setup = setup_of(said)
    assert setup.status == "ok", [(hook.program, hook.detail, hook.log) for hook in setup.hooks]
    assert sends in {hook.program for hook in setup.hooks if hook.status == "ok"}
    for kind, port in (("send-slow", 4501), ("receive-slow", 4501), ("receive-slow", 4502)):
        seen = events_of(said, kind, port)
        assert {(event.source, event.destination) for event in seen} == {(each, each) for each in BOTH}
        assert all(0 < delay_of(event).latency_ns < WATCHED_S * 1e9 for event in seen)
    (counts,) = (each for each in said if isinstance(each, Counts))
    assert {each.stage for each in counts.histograms} == {"receive", "send"}


def test_commands_to_a_virtio_device(guest: Guest) -> None:
    """A change of the receive mode is commands of the classes RX and MAC, by the task that gave them."""
    said = watched(guest, COMMANDS, "virtcmdlatency", virtcmdlatency__slow=0)
    setup = setup_of(said)
    assert setup.status == "ok", [(hook.program, hook.detail, hook.log) for hook in setup.hooks]
    seen = [event for each in said if isinstance(each, Batch) for event in each.events]
    ours = [event for event in seen if delay_of(event).task == "ip"]
    assert len(ours) > 4
    assert {event.reason_name for event in ours} == {"RX", "MAC"}
    assert {event.kind for event in seen} <= {"virtio-command-slow", "virtio-command-very-slow"}
    assert all(0 < delay_of(event).latency_ns < WATCHED_S * 1e9 for event in seen)
    (counts,) = (each for each in said if isinstance(each, Counts))
    (histogram,) = counts.histograms
    assert histogram.count == sum(total.count for total in counts.totals)
