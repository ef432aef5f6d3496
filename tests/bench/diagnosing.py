"""A diagnosis from a saved bundle: the whole command, and where its time goes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from tests.bench.cluster import lab_of
from tests.bench.figure import Figure, at_most
from tests.bench.setting import Setting, python, skoopctl
from tests.bench.stages import FLOW, STAGES
from tests.bench.stopwatch import Run, alternate, cpu, run, spread, wall

DIAGNOSE_S = 0.6
FAULT = "input-drop"
EXIT_STATUS = {"healthy": 0, "broken": 1}


def diagnosing(setting: Setting) -> Iterator[Figure]:
    """Measure ``skoopctl diagnose --bundle`` on bundles of the lab of three, healthy and broken."""
    bundles = _bundles(setting)
    for name, bundle in bundles.items():
        command = skoopctl("diagnose", "--bundle", str(bundle), *_flags())
        status = EXIT_STATUS[name]

        def diagnosed(command: list[str] = command, status: int = status) -> Run:
            return run(command, expect=status)

        ours, bare, ssh = alternate(setting.rounds(7), diagnosed, _bare, _ssh)
        detail = {"skoopctl": spread(ours), "python": spread(bare), "bundle_bytes": bundle.stat().st_size}
        setting.say(f"diagnosed the {name} lab in {wall(ours):.2f} s")
        what = f"skoopctl diagnose, {name} lab of 3"
        target = at_most(DIAGNOSE_S)
        yield Figure(f"diagnose.{name}", what, wall(ours), "s", wall(bare), "python -c pass", target, detail)
        yield Figure(
            f"diagnose.{name}-cpu", "its CPU", cpu(ours), "s", cpu(ssh), "python -c 'import asyncssh'"
        )
    yield from _shares(setting, bundles["broken"])


def _flags() -> list[str]:
    return ["-s", FLOW.source, "-d", FLOW.destination, "-p", str(FLOW.port)]


def _bare() -> Run:
    return run(python("-c", "pass"))


def _ssh() -> Run:
    return run(python("-c", "import asyncssh"))


def _bundles(setting: Setting) -> dict[str, Path]:
    """Collect from a lab of three nodes, healthy and broken, with the API's objects."""
    bundles = {name: setting.folder / f"{name}.skoop" for name in EXIT_STATUS}
    with lab_of(setting, 3) as lab:
        for name, bundle in bundles.items():
            if name == "broken":
                lab.apply_fault(FAULT)
            flags = ("-i", "lab", "--kubeconfig", str(lab.kubeconfig), "-o", str(bundle))
            run(skoopctl("collect", *flags))
    return bundles


def _shares(setting: Setting, bundle: Path) -> Iterator[Figure]:
    """Yield what each stage takes in a process of its own that does what the command does."""
    command = python("-m", "tests.bench.stages", str(bundle))
    runs = alternate(setting.rounds(7), lambda: run(command))[0]
    told = [json.loads(each.stdout) for each in runs]
    total = median(sum(each.values()) for each in told)
    for stage, what in STAGES.items():
        taken = median(each[stage] for each in told)
        yield Figure(f"diagnose.{stage}", f"of which: {what}", taken, "s", total, "all stages")
