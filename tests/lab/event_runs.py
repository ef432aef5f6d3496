"""``skoopctl probe run --json`` over the lab with event probes: what it tells while it goes on, and in the end."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from skoopctl.events.catalogue import EVENT_PROBES
from tests.lab.running_lab import skoopctl

CALLER, SERVER = "tools/web-c", "tools/web-a"
"""Pods on node2-c4 and on node1-c4."""
INTERRUPTED = 130
Json = dict[str, Any]


@dataclass
class Run:
    """One ``probe run --json``, read while it goes on."""

    process: subprocess.Popen[str]
    lines: list[Json] = field(default_factory=list)
    starting: threading.Event = field(default_factory=threading.Event)
    reader: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self) -> None:
        """Read its lines until it ends."""
        assert self.process.stdout is not None
        for text in self.process.stdout:
            line = json.loads(text)
            self.lines.append(line)
            if not self.starting.is_set() and self.all_started():
                self.starting.set()

    def all_started(self) -> bool:
        """Return whether each probe was told on each node: it counts by then, and its self-test is over."""
        told = {(line["node"], line["probe"]) for line in self.lines if line["type"] == "probe"}
        asked = [name for name in self.lines[0]["probes"] if name in EVENT_PROBES]
        return all((node, name) in told for node in self.lines[0]["nodes"] for name in asked)

    def end(self) -> str:
        """Kill it, close its pipes, and return what it complained of."""
        self.process.kill()
        self.reader.join(10)
        return self.process.communicate()[1]

    @property
    def events(self) -> list[Json]:
        """The events that came."""
        return [line for line in list(self.lines) if line["type"] == "event"]

    def waited(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait for something, and return whether it came in time."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end or not self.reader.is_alive():
                return False
            time.sleep(0.05)
        return True

    @property
    def summary(self) -> Json:
        """The last line."""
        assert self.lines[-1]["type"] == "summary"
        return self.lines[-1]


@contextmanager
def watching(*words: str, seconds: int = 8, interval: str = "1s", interrupted: bool = False) -> Iterator[Run]:
    """Watch the lab; the block begins when event probes run everywhere, and leaving it waits for the end.

    ``words`` are probes and options. With ``interrupted``, the end of the block ends the watch as Ctrl-C does.
    """
    asked = (
        "probe",
        "run",
        *words,
        "-d",
        f"{seconds}s",
        "--interval",
        interval,
        "--json",
        "--fail-on",
        "fatal",
    )
    run = Run(skoopctl(*asked))
    try:
        assert run.waited(run.starting.is_set, 60), f"event probes did not start: {run.end()}"
        yield run
        if interrupted:
            run.process.send_signal(signal.SIGINT)
        run.reader.join(60)
        assert run.process.wait(10) == (INTERRUPTED if interrupted else 0)
    finally:
        run.end()


def told(run: Run, kind: str, **wanted: object) -> list[Json]:
    """Return the events of a kind that have these values."""
    return [
        event
        for event in run.events
        if event["kind"] == kind and all(event.get(name) == value for name, value in wanted.items())
    ]
