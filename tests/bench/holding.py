"""Two hundred hosts held for ten minutes by ``skoopctl push``: memory that does not grow, CPU for each round."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench.cluster import lab_of
from tests.bench.figure import Figure, Of, at_least, at_most
from tests.bench.fleet import collect
from tests.bench.names import Names, name_nodes
from tests.bench.setting import Setting
from tests.bench.stopwatch import MeasurementError, cpu
from tests.services.push_process import Pushing

NODES, EACH, HELD_S, INTERVAL_S = 50, 4, 600.0, 15
QUICK_NODES, QUICK_EACH, QUICK_HELD_S, QUICK_INTERVAL_S = 6, 2, 20.0, 2
SETTLED = 0.2
"""The part of the time after which caches and pools have the size that they keep."""
UP_S = 120.0
CPU_PER_ROUND_S = 0.010
GROWTH = 1.02
ON_TIME = 0.995
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Moment:
    """The service at one time."""

    at_s: float
    cpu_s: float
    rss_mb: float
    rounds: float
    received: float
    errors: float


def holding(setting: Setting) -> Iterator[Figure]:
    """Hold them, reading the page every interval; compare the service after a fifth of the time and at its end."""
    nodes, each = (QUICK_NODES, QUICK_EACH) if setting.quick else (NODES, EACH)
    held_s, interval_s = (QUICK_HELD_S, QUICK_INTERVAL_S) if setting.quick else (HELD_S, INTERVAL_S)
    with lab_of(setting, nodes) as lab:
        names = name_nodes(lab, each, setting.folder)
        once = cpu([collect(names, setting.folder)]) / names.number
        with _service(setting.folder, names, interval_s) as service:
            setting.say(f"{names.number} hosts are up; holding them for {held_s:g} s")
            moments = list(_watched(service, held_s, interval_s))
        yield from _figures(moments, names, interval_s, once, quick=setting.quick)


@contextlib.contextmanager
def _service(folder: Path, names: Names, interval_s: int) -> Iterator[Pushing]:
    """Run it until the end of the block; rounds come from all hosts when the block begins."""
    service = Pushing(
        folder, {"inventories": [str(names.inventory)], "cluster": "bench", "interval": interval_s}
    )
    service.write(listen={"address": f"127.0.0.1:{service.port}"})
    service.start()
    try:
        end = time.monotonic() + UP_S
        while service.value('skoopctl_push_nodes{state="up"}') != names.number:
            if time.monotonic() > end:
                raise MeasurementError(f"not all hosts are up after {UP_S:g} s: {service.log[-500:]}")
            time.sleep(0.5)
        yield service
    finally:
        if service.process is not None and service.process.poll() is None:
            service.stop()


def _watched(service: Pushing, held_s: float, interval_s: int) -> Iterator[Moment]:
    """Yield a moment every interval."""
    began = time.monotonic()
    moment = 0
    while (at := moment * interval_s) <= held_s:
        time.sleep(max(0.0, began + at - time.monotonic()))
        yield _moment(service, time.monotonic() - began)
        moment += 1


def _moment(service: Pushing, at_s: float) -> Moment:
    assert service.process is not None
    status, page = service.get("/metrics")
    if status != 200:
        raise MeasurementError(f"push's page answers {status}: {service.log[-500:]}")
    stat = Path(f"/proc/{service.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    statm = Path(f"/proc/{service.process.pid}/statm").read_text(encoding="ascii").split()
    return Moment(
        at_s,
        (int(stat[11]) + int(stat[12])) * _TICK_S,
        int(statm[1]) * os.sysconf("SC_PAGESIZE") / 1e6,
        _sum(page, "skoopctl_push_node_rounds_total"),
        _sum(page, "skoopctl_push_node_received_bytes_total"),
        _sum(page, "skoopctl_push_node_errors_total"),
    )


def _sum(page: str, family: str) -> float:
    return sum(float(line.rpartition(" ")[2]) for line in page.splitlines() if line.startswith(family + "{"))


def _figures(
    moments: list[Moment], names: Names, interval_s: int, once_s: float, *, quick: bool
) -> Iterator[Figure]:
    first, last = moments[int(len(moments) * SETTLED)], moments[-1]
    rounds, seconds = last.rounds - first.rounds, last.at_s - first.at_s
    each = (last.cpu_s - first.cpu_s) / rounds
    what = f"push, {names.number} hosts every {interval_s} s"
    detail = {"rss_mb": json.dumps([round(moment.rss_mb, 1) for moment in moments]), "errors": last.errors}
    collected = "one skoopctl collect, a host"
    flat = None if quick else at_most(GROWTH, Of.RATIO)
    yield Figure(
        "hold.memory",
        f"memory, {what}, after {last.at_s:.0f} s",
        last.rss_mb,
        "MB",
        first.rss_mb,
        f"after {first.at_s:.0f} s",
        flat,
        detail,
    )
    yield Figure(
        "hold.cpu", f"CPU a host and round, {what}", each, "s", once_s, collected, at_most(CPU_PER_ROUND_S)
    )
    yield Figure(
        "hold.rounds",
        f"rounds that came, {what}",
        rounds,
        "",
        seconds / interval_s * names.number,
        "all",
        None if quick else at_least(ON_TIME, Of.RATIO),
    )
    received = (last.received - first.received) / rounds
    yield Figure(
        "hold.bytes", f"bytes a host and round, {what}", received, "B", 60_000, "the budget for 100 pods"
    )
