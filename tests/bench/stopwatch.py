"""Measuring: whole commands by the wall and by their CPU, and code of this process by its CPU."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from skoopctl.errors import SkoopError
from tests.bench.setting import environment

GRACE_S = 5.0


class MeasurementError(SkoopError):
    """A measured command did not do what it should, so that its time means nothing."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a command. ``cpu_s`` is that of the process and of the children that it waited for."""

    wall_s: float
    cpu_s: float
    status: int
    stdout: str
    stderr: str


def run(
    argv: Sequence[str],
    *,
    expect: int = 0,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Run:
    """Run a command to its end and measure it; `MeasurementError` with its own words if it ends otherwise."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        started = time.perf_counter()
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=dict(env or environment()),
            cwd=cwd,
            start_new_session=True,
        )
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            _end_group(process)
            raise
        wall_s = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        cpu_s = usage.ru_utime + usage.ru_stime
        done = Run(wall_s, cpu_s, process.returncode, out.read(), err.read())
    if done.status != expect:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        last = said[-1][:300] if said else "nothing said"
        raise MeasurementError(f"{' '.join(argv)[:120]}: exit status {done.status}, not {expect}: {last}")
    return done


PEAK = """
import resource, subprocess, sys
status = subprocess.call(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(status)
"""


def peak_mb(argv: Sequence[str]) -> float:
    """Return the largest resident set of a command, in MB.

    A process begins with that of its parent, which here is large: a small one stands between.
    """
    done = run([sys.executable, "-I", "-S", "-c", PEAK, *argv])
    return int(done.stderr.splitlines()[-1]) / 1024


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End a command and whatever it started in its group."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
            return


def alternate(rounds: int, *commands: Callable[[], Run]) -> list[list[Run]]:
    """Run commands in turn, one round unmeasured and then ``rounds`` more; return each command's runs.

    In turn, so that whatever else the machine does meanwhile costs each of them alike.
    """
    results: list[list[Run]] = [[] for _ in commands]
    for number in range(rounds + 1):
        for runs, command in zip(results, commands, strict=True):
            done = command()
            if number:
                runs.append(done)
    return results


def wall(runs: Sequence[Run]) -> float:
    """Return the median wall time in seconds."""
    return median(each.wall_s for each in runs)


def cpu(runs: Sequence[Run]) -> float:
    """Return the median CPU time in seconds."""
    return median(each.cpu_s for each in runs)


def spread(runs: Sequence[Run]) -> dict[str, list[float]]:
    """Return every run's times, for the JSON."""
    return {
        "wall_s": [round(each.wall_s, 4) for each in runs],
        "cpu_s": [round(each.cpu_s, 4) for each in runs],
    }


def cpu_of(work: Callable[[], object], *, rounds: int, at_least_s: float = 0.05) -> float:
    """Return the CPU seconds that one call takes here: the median of ``rounds`` series of calls.

    A series is long enough for the clock.
    """
    once = _series(work, 1)
    calls = max(1, round(at_least_s / max(once, 1e-7)))
    return median(_series(work, calls) / calls for _ in range(rounds))


def _series(work: Callable[[], object], calls: int) -> float:
    started = time.process_time()
    for _ in range(calls):
        work()
    return time.process_time() - started
