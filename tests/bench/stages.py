"""The stages of one diagnosis, each by the clock: run as a program with a bundle, it prints JSON.

It does what ``skoopctl diagnose --bundle`` does, in a fresh process, because imports are a stage.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from dataclasses import dataclass
from itertools import pairwise

STAGES = {
    "import": "importing",
    "read": "reading the bundle",
    "decode": "decoding it",
    "answer": "walking, findings, a checked fix",
    "render": "writing the text",
}
MODULES = (
    "skoopctl.cli.app",
    "skoopctl.cli.diagnose",
    "skoopctl.evidence",
    "skoopctl.checks.load",
    "skoopctl.checks.diagnose",
    "skoopctl.report.text",
)


@dataclass(frozen=True, slots=True)
class FlowAsked:
    """Which flow is diagnosed."""

    source: str
    destination: str
    port: int


FLOW = FlowAsked("10.244.3.70", "10.244.2.201", 8080)
"""The manual's example."""


def staged(bundle: str) -> dict[str, float]:
    """Diagnose and return the seconds of each stage."""
    moments = [time.perf_counter()]

    def stage_is_over() -> None:
        moments.append(time.perf_counter())

    modules = {name: importlib.import_module(name) for name in MODULES}
    stage_is_over()
    read = modules["skoopctl.evidence"].read_bundle(bundle)
    stage_is_over()
    snapshot = modules["skoopctl.checks.load"].snapshot_of(read)
    stage_is_over()
    asking = modules["skoopctl.checks.diagnose"]
    question = asking.Question(FLOW.source, FLOW.destination, "tcp", FLOW.port)
    diagnosis = asking.diagnose(question, snapshot)
    stage_is_over()
    modules["skoopctl.report.text"].render_text(diagnosis, width=100, color=False, explain="summary")
    stage_is_over()
    taken = [after - before for before, after in pairwise(moments)]
    return dict(zip(STAGES, taken, strict=True))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(staged(sys.argv[1])) + "\n")
