"""Reports of a run with five thousand findings on two hundred nodes: how long each form takes, and how much memory."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tests.bench.figure import Figure, at_most
from tests.bench.setting import Setting, python, skoopctl
from tests.bench.stopwatch import peak_mb, run
from tests.support.large_run import large_run

FINDINGS, NODES = 5000, 200
SECONDS = {"html": 5.0, "md": 5.0, "json": 5.0, "pdf": 60.0}
PEAK_MB = 1024.0


def reporting(setting: Setting) -> Iterator[Figure]:
    """Measure ``skoopctl report`` on a large run, in every form; a tenth of it where small numbers are asked for."""
    findings = FINDINGS // 10 if setting.quick else FINDINGS
    kept = setting.folder / "20261130T023000Z.json"
    kept.write_text(json.dumps(large_run(findings, NODES)), encoding="utf-8")
    bare = run(python("-c", "pass"))
    bare_mb = peak_mb(python("-c", "pass"))
    for form, limit_s in SECONDS.items():
        target = setting.folder / f"large.{form}"
        command = skoopctl("report", str(kept), "-o", str(target))
        done = run(command)
        detail = {"findings": findings, "report_bytes": target.stat().st_size, "cpu_s": done.cpu_s}
        setting.say(f"{findings} findings as {form} in {done.wall_s:.1f} s")
        what = f"{findings:,} findings as {form}"
        yield Figure(
            f"report.{form}", what, done.wall_s, "s", bare.wall_s, "python -c pass", at_most(limit_s), detail
        )
        yield Figure(
            f"report.{form}-peak",
            "its memory",
            peak_mb(command),
            "MB",
            bare_mb,
            "python -c pass",
            at_most(PEAK_MB),
        )
