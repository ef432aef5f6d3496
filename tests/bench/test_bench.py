"""The benchmarks measure what they say, say what they could not, and end cleanly."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.benchmarks import BENCHMARKS
from tests.bench.figure import Figure, NotMeasured, Of, at_least, at_most
from tests.bench.setting import CHECKOUT
from tests.bench.stopwatch import MeasurementError, run
from tests.bench.table import as_text, ratio_text


def figure(value: float, baseline: float, **more: object) -> Figure:
    """Return a figure of seconds."""
    return Figure("name", "what", value, "s", baseline, "baseline", **more)  # type: ignore[arg-type]


def bench(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start the benchmarks as ``make bench`` does."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.bench", *arguments],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("measured", "met"),
    [
        (figure(1, 8, target=at_most(1 / 8, Of.RATIO)), True),
        (figure(1, 7, target=at_most(1 / 8, Of.RATIO)), False),
        (figure(0.5, 9, target=at_most(0.6)), True),
        (figure(0.7, 9, target=at_most(0.6)), False),
        (figure(301, 9, target=at_least(300)), True),
        (figure(299, 9, target=at_least(300)), False),
        (figure(1, 1), None),
    ],
)
def test_a_target_speaks_of_the_figure_or_of_the_ratio(measured: Figure, met: bool | None) -> None:
    """A target is met at its limit and on the good side of it."""
    assert measured.met is met


def test_the_table_tells_missed_targets_and_what_was_not_measured() -> None:
    """A missed target reads NO, ratios read as people say them, and reasons stand below."""
    missed = figure(2.5, 10, target=at_most(1 / 8, Of.RATIO))
    header, row, reason = as_text([missed, NotMeasured("other", "no root")]).splitlines()
    assert header.split()[-1] == "met"
    assert row.split()[-4:] == ["1/4.00", "<=", "1/8.00", "NO"]
    assert reason == "other: not measured: no root"
    assert ratio_text(12.5) == "x 12.5"


def test_a_run_counts_the_cpu_of_children() -> None:
    """CPU that a child of the command used is the command's."""
    burn = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    program = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]], check=True)"
    done = run([sys.executable, "-c", program, burn])
    assert done.cpu_s > 0.3
    assert done.wall_s > 0.3


def test_a_command_that_fails_is_no_measurement() -> None:
    """The error has the command's own last words."""
    with pytest.raises(MeasurementError, match=r"exit status 3, not 0: out of cheese"):
        run(["sh", "-c", "echo out of cheese >&2; exit 3"])


def test_figures_come_as_json_with_the_machine() -> None:
    """One benchmark, quick, without root: its figure, its baseline, its ratio, and the machine."""
    process = bench("--quick", "--only", "iptables", "--json")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    document = json.loads(out)
    assert document["schema"] == "skoopctl.bench/1"
    assert document["machine"]["cores"] == os.cpu_count()
    (only,) = document["figures"]
    assert only["name"] == "iptables"
    assert only["ratio"] == pytest.approx(only["value"] / only["baseline"])
    assert only["value"] > 1


def test_without_ansible_the_rest_is_measured(tmp_path: Path) -> None:
    """What cannot be measured is one line that says what to do, after the figures that could."""
    process = bench("--quick", "--only", "help", SKOOP_BENCH_ANSIBLE=str(tmp_path / "none"))
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "skoopctl --help" in out
    assert f"help: not measured: SKOOP_BENCH_ANSIBLE={tmp_path}/none: there is no such program" in out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_it_at_once_and_leaves_no_files(number: int, tmp_path: Path) -> None:
    """Interrupted in the middle, it exits with 130 and its temporary folder is gone."""
    process = bench("--only", "scale", TMPDIR=str(tmp_path))
    assert process.stderr is not None
    while "reading the rules" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "interrupted" in err
    assert list(tmp_path.iterdir()) == []


def test_every_benchmark_can_be_asked_for_by_name() -> None:
    """Names are unique, and a name that does not exist is refused with those that do."""
    names = [each.name for each in BENCHMARKS]
    assert len(set(names)) == len(names)
    process = bench("--only", "nothing")
    _, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert all(name in err for name in names)
