"""How long it takes from the payload's arrival on a node until an event probe is attached there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from skoopctl.bpf.program import BpfRequest
from skoopctl.errors import UsageError
from tests.bench.figure import Figure, at_most
from tests.bench.setting import Setting
from tests.bench.stopwatch import MeasurementError, run, wall
from tests.kernel.bpf_watch import Watch

PROBE = "packetloss"
ATTACH_S, COLD_S = 0.100, 0.450
PYTHON = ("/usr/bin/python3", "-I", "-S", "-B", "-c", "pass")


@dataclass(frozen=True, slots=True)
class Start:
    """One start, in seconds: until the node said that the probe is attached, and what of that reading BTF took."""

    whole_s: float
    types_s: float
    steps_ms: dict[str, float]


def attaching(setting: Setting) -> Iterator[Figure]:
    """Start the program of one probe again and again, beside a Python that does nothing."""
    if os.geteuid() != 0:
        raise UsageError("loading eBPF programs takes root", hint="run it with sudo")
    starts, bare = [], []
    for number in range(setting.rounds(15) + 1):
        start, empty = _start(), run(PYTHON)
        if number:
            starts.append(start)
            bare.append(empty)
    least = wall(bare)
    attach = median(start.whole_s - start.types_s for start in starts)
    whole = median(start.whole_s for start in starts)
    detail = {"whole_s": [round(start.whole_s, 4) for start in starts], "steps_ms": starts[-1].steps_ms}
    what = f"payload to attached, {PROBE}"
    yield Figure(
        "attach", f"{what}, without BTF", attach, "s", least, "python3 -c pass", at_most(ATTACH_S), detail
    )
    yield Figure("attach.cold", f"{what}, BTF too", whole, "s", least, "python3 -c pass", at_most(COLD_S))
    yield from _beside_bcc(setting, whole)


def _beside_bcc(setting: Setting, whole: float) -> Iterator[Figure]:
    """Start the same probe by BCC, where this machine can; the guest of `tests/vm` always can."""
    try:
        theirs = _start("bcc").whole_s
    except MeasurementError as error:
        setting.say(f"BCC's start-up: not on this machine ({error}); tests/vm/test_bpf_backends.py prints it")
        return
    yield Figure("attach.bcc", f"payload to attached, {PROBE}", whole, "s", theirs, "by BCC, once")


def _start(backend: str = "core") -> Start:
    """Start it once; everything in it is new, as on a node that was never asked before."""
    request = BpfRequest((PROBE,), 30.0, backend=backend, selftest=False, budget=0)
    with Watch(request) as watch:
        setup = watch.setups.get(PROBE)
    if setup is None or setup.status == "unavailable":
        raise MeasurementError(f"{PROBE} by {backend}: {setup.detail if setup else 'nothing said'}")
    steps_ms = {step: round(ms, 2) for step, ms in setup.ms.items()}
    return Start(watch.started_at - watch.began, setup.ms.get("btf", 0.0) / 1e3, steps_ms)
