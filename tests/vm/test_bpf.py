"""The eBPF probes on Debian's kernel: kprobes and fentry, which not every kernel of a development machine has."""

from __future__ import annotations

from dataclasses import replace

import pytest

from skoopctl.bpf.catalogue import PROBES
from skoopctl.bpf.events import Batch, BpfEvent
from skoopctl.bpf.program import BpfRequest, bpf_job
from skoopctl.bpf.stream import BPF_FRAME, Setup, Stream
from skoopctl.evidence.frames import FrameKind, _frames
from tests.vm.guest import START_S, Guest

pytestmark = [pytest.mark.vm, pytest.mark.timeout(600, func_only=True)]

CAUSE = r"""
import socket, time
while True:
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family) as made:
            made.connect_ex((address, 4444))
    time.sleep(0.5)
"""
PROGRAMS = """
for each in /proc/*/fd/*; do readlink $each; done 2>/dev/null | grep -c -e bpf-prog -e bpf-map -e bpf_link || true
"""


def watched(guest: Guest, buffers: str) -> tuple[Setup, list[BpfEvent], bool]:
    """Return how the probe of resets started in the guest, what it saw, and whether the answer was whole."""
    asked = bpf_job(BpfRequest(("tcpreset",), 9.0, buffers=buffers, start_s=START_S), "x86_64")
    start = "cat >/run/cause.py; setsid python3 /run/cause.py >/dev/null 2>&1 & echo $!"
    number = int(guest.run(start, CAUSE))
    stream = Stream()
    said = []
    ended = False
    try:
        frames = list(_frames(guest.ask(asked.command, asked.stdin)))
    finally:
        guest.run(f"kill {number}; while kill -0 {number} 2>/dev/null; do sleep 0.1; done")
    for frame in frames:
        ended = frame.kind == FrameKind.END
        if frame.kind == BPF_FRAME:
            said.append(stream.take(frame.meta, frame.body))
    (setup,) = (each for each in said if isinstance(each, Setup))
    return setup, [event for each in said if isinstance(each, Batch) for event in each.events], ended


@pytest.mark.parametrize("buffers", ["ring", "perf"])
@pytest.mark.parametrize("hook", ["kprobe", "fentry"])
def test_resets_without_a_socket_before_6_10(
    guest: Guest, monkeypatch: pytest.MonkeyPatch, hook: str, buffers: str
) -> None:
    """Where the tracepoint does not fire without a socket, kprobes or fentry show each reset once, v4 and v6."""
    probe = PROBES["tcpreset"]
    by_hook = {"kprobe": 0, "fentry": 1}[hook]
    hooks = tuple(
        replace(each, alternatives=(each.alternatives[by_hook],)) if len(each.alternatives) > 1 else each
        for each in probe.hooks
    )
    monkeypatch.setitem(PROBES, "tcpreset", replace(probe, hooks=hooks))
    before = guest.run(PROGRAMS)
    setup, events, ended = watched(guest, buffers)
    assert ended
    assert (setup.status, setup.buffer) == ("ok", buffers)
    assert {report.hook for report in setup.hooks} == {"raw_tp", hook}
    sent = [event for event in events if event.kind == "reset-no-socket" and event.source_port == 4444]
    assert {event.source for event in sent} == {"127.0.0.1", "::1"}
    assert len({(event.source, event.destination_port) for event in sent}) == len(sent)
    assert guest.becomes(PROGRAMS, before), "systemd has some of its own"
