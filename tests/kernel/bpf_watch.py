"""The eBPF probes on this machine, without SSH: the program as a node gets it, its frames decoded as they come.

``python -m tests.kernel.bpf_watch packetloss tcpreset --duration 10`` prints what it sees.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import IO, Self

from skoopctl.bpf.catalogue import PROBES
from skoopctl.bpf.events import Batch, BpfEvent
from skoopctl.bpf.program import BpfRequest, bpf_job, bpf_source
from skoopctl.bpf.stream import BPF_FRAME, Counts, Detached, Said, SelfTest, Setup, Stream
from skoopctl.evidence.frames import DIGEST_BYTES, HEADER, MAGIC, Frame, FrameKind, read_frame

PATIENCE_S = 60.0


def frames_of(stream: IO[bytes]) -> Iterator[Frame]:
    """Yield the frames of a stream, each when it is whole, until the stream ends."""
    while True:
        head = stream.read(len(MAGIC) + HEADER.size)
        if len(head) < len(MAGIC) + HEADER.size:
            return
        _, _, _, meta_bytes, body_bytes, _ = HEADER.unpack_from(head, len(MAGIC))
        rest = stream.read(meta_bytes + body_bytes + DIGEST_BYTES)
        if len(rest) < meta_bytes + body_bytes + DIGEST_BYTES:
            return  # it was killed while it wrote
        yield read_frame(head + rest, len(MAGIC))[0]


class Watch:
    """Probes that run while it is open. ``prefix`` is put before the command: another user, another namespace."""

    def __init__(
        self, request: BpfRequest, prefix: Sequence[str] = (), change: Callable[[str], str] | None = None
    ) -> None:
        architecture = os.uname().machine
        self.job = bpf_job(request, architecture)
        words = shlex.split(self.job.command)
        stdin = self.job.stdin
        if change is not None:
            words = [
                sys.executable,
                "-ISBc",
                "import sys; exec(sys.stdin.buffer.raw.readline().decode('unicode-escape'))",
            ]
            stdin = change(bpf_source(request, architecture)).encode("unicode-escape") + b"\n"
        self.said: list[Said] = []
        self.started = threading.Event()
        self.ended_whole = False
        self.began = time.monotonic()
        self.started_at = 0.0
        self.process = subprocess.Popen(
            [*prefix, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert self.process.stdin is not None
        self.process.stdin.write(stdin)
        self.process.stdin.flush()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        stream = Stream()
        assert self.process.stdout is not None
        for frame in frames_of(self.process.stdout):
            if frame.kind == FrameKind.END:
                self.ended_whole = True
            elif frame.kind == BPF_FRAME:
                said = stream.take(frame.meta, frame.body)
                if said is not None:
                    self.said.append(said)
                if frame.meta["what"] == "started":
                    self.started_at = time.monotonic()
                    self.started.set()

    def __enter__(self) -> Self:
        end = time.monotonic() + PATIENCE_S
        while not self.started.wait(0.05):
            ended = self.process.poll() is not None
            if ended:
                self.reader.join(PATIENCE_S)
                if self.started.is_set():
                    break
            if ended or time.monotonic() > end:
                self.process.kill()
                assert self.process.stderr is not None
                said = self.process.stderr.read().decode()
                self.__exit__()
                raise AssertionError(f"the probes did not start: {said}")
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE_S)
        self.reader.join(PATIENCE_S)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()

    def wait(self) -> None:
        """Wait until the program ends by itself."""
        self.process.wait(PATIENCE_S)
        self.reader.join(PATIENCE_S)

    @property
    def setups(self) -> dict[str, Setup]:
        """How starting each probe went."""
        return {said.probe: said for said in self.said if isinstance(said, Setup)}

    @property
    def tests(self) -> dict[str, SelfTest]:
        """What each probe's self-test gave."""
        return {said.probe: said for said in self.said if isinstance(said, SelfTest)}

    @property
    def detached(self) -> dict[str, Detached]:
        """The probes that were taken off."""
        return {said.probe: said for said in list(self.said) if isinstance(said, Detached)}

    @property
    def counts(self) -> dict[str, Counts]:
        """What each probe counted, as it was told last."""
        return {said.probe: said for said in list(self.said) if isinstance(said, Counts)}

    @property
    def events(self) -> list[BpfEvent]:
        """The events so far."""
        return [event for said in list(self.said) if isinstance(said, Batch) for event in said.events]

    def counted(self, probe: str) -> list[int]:
        """Return the sums of a probe's counts, each time that they came."""
        counts = [said for said in list(self.said) if isinstance(said, Counts) and said.probe == probe]
        return [sum(total.count for total in each.totals) for each in counts]

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until something holds; fail when it does not in time."""
        end = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end, f"waited {PATIENCE_S} s for {what}"
            time.sleep(0.02)

    def catch_up(self, probe: str) -> None:
        """Wait until all events of before are here: those that were in the buffer are sent between two counts."""
        told = len(self.counted(probe))
        self.until(lambda: len(self.counted(probe)) >= told + 2, "counts, twice")

    @property
    def ignored(self) -> int:
        """How many records were no loss."""
        return sum(said.ignored for said in self.said if isinstance(said, Batch))

    def first(self, wanted: Callable[[BpfEvent], bool], what: str) -> BpfEvent:
        """Return the first event that is wanted; fail when none comes in time."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            for event in self.events:
                if wanted(event):
                    return event
            time.sleep(0.02)
        there = [(event.kind, event.reason_name, event.source, event.destination) for event in self.events]
        state = self.process.poll()
        how = {name: (setup.status, setup.detail, setup.hooks) for name, setup in self.setups.items()}
        raise AssertionError(f"no event came: {what}; there were {there}; {how}; the program ended: {state}")


def main() -> None:
    """Print what is seen, as it comes."""
    parser = argparse.ArgumentParser(description="Run eBPF probes on this machine.")
    parser.add_argument("probes", nargs="*", default=list(PROBES))
    parser.add_argument("--duration", type=float, default=10.0)
    parser.add_argument("--buffers", default="auto")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--netns", type=int, action="append", default=[])
    parser.add_argument("--threshold", action="append", default=[], help="PROBE.THRESHOLD=MICROSECONDS")
    asked = parser.parse_args()
    thresholds = {name: int(us) for name, _, us in (each.partition("=") for each in asked.threshold)}
    request = BpfRequest(
        tuple(asked.probes),
        asked.duration,
        tuple(asked.netns),
        buffers=asked.buffers,
        backend=asked.backend,
        stats=True,
        thresholds_us=thresholds,
    )
    with Watch(request) as watch:
        shown = 0
        while watch.process.poll() is None or shown < len(watch.said):
            for said in watch.said[shown:]:
                shown += 1
                for row in said.events if isinstance(said, Batch) else (said,):
                    sys.stdout.write(f"{asdict(row)}\n")
            time.sleep(0.1)


if __name__ == "__main__":
    main()
