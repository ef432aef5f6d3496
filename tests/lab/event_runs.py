"""``skoopctl probe run --json`` over the lab with event probes: what it tells while it goes on, and in the end."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import jsonschema

from skoopctl.events.catalogue import EVENT_PROBES
from skoopctl.sinks.json_lines import schema
from tests.lab.running_lab import skoopctl
from tests.support.floods import counting

CALLER, SERVER = "tools/web-c", "tools/web-a"
"""Pods on node2-c4 and on node1-c4."""
INTERRUPTED = 130
LATE_S = 90.0
"""How long something may take that comes at once on an idle machine."""
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

    def waited(self, condition: Callable[[], bool], seconds: float = LATE_S) -> bool:
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


def check_published(lines: Iterable[Json]) -> None:
    """Fail where a line is not as the published schema says; there may be tens of thousands."""
    validator = jsonschema.Draft202012Validator(schema())
    for line in lines:
        validator.validate(line)


@contextmanager
def watching(*words: str, more_s: float = 1.0, interval: str = "1s", lasting: str = "") -> Iterator[Run]:
    """Watch the lab; the block begins when event probes run everywhere, however long that takes.

    ``words`` are probes and options; what they cost is nobody's business, for other tests lose packets too. After the
    block the watch goes on for ``more_s`` and is ended as by Ctrl-C; one that is ``lasting`` (``20s``, from its first
    round) comes to its own end.
    """
    options = (
        "-d",
        lasting or "600s",
        "--interval",
        interval,
        "--budget",
        "0",
        "--json",
        "--fail-on",
        "fatal",
    )
    with counting():
        run = Run(skoopctl("probe", "run", *words, *options))
        try:
            assert run.waited(run.starting.is_set, LATE_S), f"event probes did not start: {run.end()}"
            yield run
            if not lasting:
                time.sleep(more_s)
                run.process.send_signal(signal.SIGINT)
            run.reader.join(LATE_S)
            assert run.process.wait(LATE_S) == (0 if lasting else INTERRUPTED)
        finally:
            run.end()


def told(run: Run, kind: str, **wanted: object) -> list[Json]:
    """Return the events of a kind that have these values, and are not nobody's."""
    wanted["kind"] = kind
    return [event for event in run.events if not is_nobodys(event) and wanted.items() <= event.items()]


def is_nobodys(event: Json) -> bool:
    """Return whether it is a loss without device and socket.

    That is the node's; but the lab's nodes are one machine, on which other tests lose packets, too.
    """
    return event["kind"] == "packet-loss" and "netns" not in event


def of_a_late_login(what: Json, pods_of: list[str]) -> bool:
    """Return whether a node was late: on a machine with much to do, the login of skoopctl itself is.

    What comes late is acknowledged late, and sent again by one timer or another.
    """
    late = what["kind"].endswith("-slow") or what["kind"].startswith("retransmit")
    return late and not any(pods_of)


def of_the_lab(run: Run) -> tuple[list[Json], list[Json]]:
    """Return the events, and the rows of the summary, that are neither of a late login nor nobody's."""
    events = [event for event in run.events if not of_a_late_login(event, [event.get("pod", "")])]
    nobodys = {(event["kind"], event.get("reason", "")) for event in events if is_nobodys(event)}
    rows = run.summary["events"]["happened"]
    pods_of = [[place["pod"] for place in row["places"]] for row in rows]
    return [event for event in events if not is_nobodys(event)], [
        row
        for row, names in zip(rows, pods_of, strict=True)
        if not of_a_late_login(row, names) and ((row["kind"], row["reason"]) not in nobodys or any(names))
    ]


def summed(run: Run, kind: str, reason: str) -> Json:
    """Return the one row of the summary for a kind and reason."""
    (row,) = [
        each for each in run.summary["events"]["happened"] if (each["kind"], each["reason"]) == (kind, reason)
    ]
    return dict(row)


def found(run: Run, finding: str) -> Json:
    """Return the finding of the summary that has this id; it is the only one, and the only one that is critical."""
    (one,) = [
        each for each in run.summary["findings"] if finding == each["id"] or each["severity"] == "critical"
    ]
    assert one["id"] == finding
    return dict(one)
