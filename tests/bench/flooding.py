"""A flood of drops through ``skoopctl probe run packetloss --json``: how many come, and that none is missing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skoopctl.errors import UsageError
from tests.bench.event_lines import EventLines
from tests.bench.figure import Figure, Of, at_least, at_most
from tests.bench.setting import CHECKOUT, Setting, environment, skoopctl
from tests.bench.stopwatch import MeasurementError, cpu_of
from tests.lab.node_host import NodeHost

RATE, EVENTS_S = 25_000, 20_000
SECONDS, QUICK_SECONDS = 60, 3
OVERLOAD, OVERLOAD_SECONDS = 1_000_000, 5
"""More than any program sends, so as fast as it can: the ring buffer must overflow, and the node say how much."""
AROUND_S = 20
"""How much longer it is watched than the flood lasts: until the probe is attached, and until all has come."""
PATIENCE_S = 30.0
GROWTH, SETTLED = 1.10, 0.2
"""How much memory may grow after this part of the time, when all that is kept has the size that it keeps."""
MEMORY_MB = 100.0
"""Of the whole process. If as little as 40 bytes of each event of a minute were kept, it would be more."""
FIRST_PORT, PORTS = 9000, 64
WANTED, CANARY = b'"destination_port":90', b'"reason":"NO_SOCKET"'
RULES = f"""
add table inet flood
delete table inet flood
add table inet flood
add chain inet flood input {{ type filter hook input priority 0; }}
add rule inet flood input udp dport {FIRST_PORT}-{FIRST_PORT + PORTS - 1} counter drop
"""
POKE = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 7))"
INVENTORY = "all:\n  hosts:\n    node:\n      ansible_connection: local\n"
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Flood:
    """What was sent and dropped, and what came of it. Memory is in MB, every second."""

    dropped: int
    seconds: float
    lines: int
    counted: int
    lost: int
    memory: list[float]
    cpu_s: float
    sample: bytes


def flooding(setting: Setting) -> Iterator[Figure]:
    """Let a rule on a host of its own drop what a program sends that keeps one CPU busy."""
    if os.geteuid() != 0:
        raise UsageError("loading eBPF programs takes root", hint="run it with sudo")
    host = NodeHost.start()
    try:
        host.run("ip link set lo up")
        host.run("cat > /run/inventory.yaml", INVENTORY)
        found = _flood(setting, host, RATE, QUICK_SECONDS if setting.quick else SECONDS)
        if found.dropped / found.seconds < EVENTS_S:
            setting.say(f"the machine is too busy to send {EVENTS_S:,} a second: events.rate must miss it")
        yield from _figures(found, quick=setting.quick)
        yield _overload(_flood(setting, host, OVERLOAD, OVERLOAD_SECONDS))
    finally:
        host.stop()


def _flood(setting: Setting, host: NodeHost, rate: int, seconds: int) -> Flood:
    """Watch, wait until the probe sees something, let it have it, and wait until all has come."""
    host.run("nft -f -", RULES)
    with _watching(host, seconds + AROUND_S) as (pid, lines):
        _until(lambda: _poked(host, lines), "the probe is attached")
        setting.say(f"dropping {rate:,} datagrams a second for {seconds} s")
        before_s, memory = _cpu_s(pid), [_memory_mb(pid)]
        sent, elapsed_s = _send(host, rate, seconds, lambda: memory.append(_memory_mb(pid)))
        dropped = int(re.findall(r"packets (\d+)", host.run("nft list table inet flood"))[0])
        _until(lambda: lines.idle_s > 2, "the last event has come")
        spent_s = _cpu_s(pid) - before_s
        if not lines.wait(AROUND_S + PATIENCE_S):
            raise MeasurementError("probe run does not end")
    if dropped != sent:
        raise MeasurementError(f"{sent} datagrams were sent, and the rule dropped {dropped}")
    counted, lost = _accounted(json.loads(lines.last))
    return Flood(dropped, elapsed_s, lines.wanted, counted, lost, memory, spent_s, lines.sample)


@contextmanager
def _watching(host: NodeHost, seconds: int) -> Iterator[tuple[int, EventLines]]:
    """Run ``probe run`` in the host, which is its own node; give its process id and its lines."""
    asked = (
        "probe",
        "run",
        "packetloss",
        "-i",
        "/run/inventory.yaml",
        "-d",
        f"{seconds}s",
        "--interval",
        "1s",
    )
    words = host.inside(*skoopctl(*asked, "--json", "--budget", "0", "--fail-on", "fatal"))
    process = subprocess.Popen(words, stdout=subprocess.PIPE, env=environment())
    assert process.stdout is not None
    try:
        lines = EventLines(process.stdout.fileno(), WANTED, CANARY)
        yield _only_child(process.pid), lines
    finally:
        process.kill()
        process.wait()
        lines.wait(PATIENCE_S)
        process.stdout.close()


def _only_child(pid: int) -> int:
    """Return the process that nsenter has started: it enters a PID namespace by a child."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    _until(children.read_text, "probe run begins")
    return int(children.read_text().split()[0])


def _poked(host: NodeHost, lines: EventLines) -> bool:
    """Send something that is dropped for another reason; return whether any such event came."""
    host.run(f'/usr/bin/python3 -c "{POKE}"')
    return lines.other > 0


def _send(host: NodeHost, rate: int, seconds: int, each_second: Callable[[], None]) -> tuple[int, float]:
    """Flood; return how many datagrams were sent, and in how many seconds."""
    script = str(CHECKOUT / "tests" / "support" / "flood.py")
    numbers = ("127.0.0.1", FIRST_PORT, PORTS, rate, seconds)
    words = host.inside(sys.executable, "-S", script, *map(str, numbers))
    program = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    while True:
        try:
            sent, elapsed_s = program.communicate(timeout=1)[0].split()
        except subprocess.TimeoutExpired:
            each_second()
        else:
            return int(sent), float(elapsed_s)


def _accounted(summary: dict[str, Any]) -> tuple[int, int]:
    """Return how many drops by rules the summary counts, and how many samples it calls lost."""
    found = summary["events"]
    counted = sum(each["count"] for each in found["happened"] if each["reason"] == "NETFILTER_DROP")
    return counted, sum(each["samples"] for each in found["lost"])


def _figures(flood: Flood, *, quick: bool) -> Iterator[Figure]:
    dropped_s, what = flood.dropped / flood.seconds, "drops by the rule's counter"
    lines_s, target = flood.lines / flood.seconds, at_least(EVENTS_S)
    yield Figure("events.rate", "events a second to JSON lines", lines_s, "/s", dropped_s, what, target)
    yield _exact("events.exact", "neither a line nor lost", flood)
    wrong = abs(flood.dropped - flood.counted)
    yield Figure("events.counted", "counted wrongly", wrong, "", flood.dropped, what, at_most(0))
    each_s = flood.cpu_s / flood.lines
    peer_s = cpu_of(lambda: json.dumps(json.loads(flood.sample)), rounds=5)
    yield Figure(
        "events.cpu", "workstation's CPU an event", each_s, "s", peer_s, "json reads and writes the line"
    )
    yield from _memory(flood, quick=quick)


def _memory(flood: Flood, *, quick: bool) -> Iterator[Figure]:
    what, target = f"workstation's most memory in {flood.seconds:.0f} s", at_most(MEMORY_MB)
    detail = {"mb": flood.memory}
    yield Figure(
        "events.memory", what, max(flood.memory), "MB", flood.memory[0], "before the flood", target, detail
    )
    first, last = flood.memory[int(len(flood.memory) * SETTLED)], flood.memory[-1]
    flat = None if quick else at_most(GROWTH, Of.RATIO)
    yield Figure("events.growth", "its memory at the end", last, "MB", first, "after a fifth of that", flat)


def _overload(flood: Flood) -> Figure:
    if not flood.lost:
        raise MeasurementError(
            f"{flood.dropped} drops in {flood.seconds:.1f} s are no overload: none was lost"
        )
    return _exact("events.overload", f"the same with {flood.lost:,} lost", flood)


def _exact(name: str, what: str, flood: Flood) -> Figure:
    """Return how many are missing, or too many.

    Samples of other namespaces that were lost at the time are among the lost: where any were, too many is no fault.
    """
    accounted = flood.lines + flood.lost
    detail = {
        "lines": flood.lines,
        "counted": flood.counted,
        "lost": flood.lost,
        "of_others": accounted - flood.dropped,
    }
    wrong = flood.dropped - accounted
    if flood.lost and flood.lines <= flood.dropped:
        wrong = max(0, wrong)
    return Figure(
        name, what, abs(wrong), "", flood.dropped, "drops by the rule's counter", at_most(0), detail
    )


def _cpu_s(pid: int) -> float:
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(stat[11]) + int(stat[12])) * _TICK_S


def _memory_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return round(pages * os.sysconf("SC_PAGESIZE") / 1e6, 1)


def _until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            raise MeasurementError(f"waited {PATIENCE_S:g} s until {what}")
        time.sleep(0.05)
