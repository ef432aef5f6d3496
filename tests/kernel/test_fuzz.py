"""A bounded run of the differential harness, and that it sees, cleans up and ends as it says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.kernel.grammar import draw_state
from tests.kernel.plan import BY_NAME
from tests.kernel.state import Flow, Line, Shape, State, Tool, from_json
from tests.kernel.supervise import ROOT, Crew
from tests.kernel.tally import Tally

pytestmark = [
    pytest.mark.lab,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces"),
]

CASES = 3000
FLOWS_A_STATE = 50
WORKER = "tests.kernel.worker"


@pytest.fixture(scope="module")
def crew() -> Iterator[Crew]:
    """Return two workers."""
    with Crew(2) as made:
        yield made


def test_the_model_agrees_with_the_kernel(crew: Crew) -> None:
    """Of random flows in random states, the model decides nearly all, and the kernel does what it says."""
    seeds = [f"ci:{n}" for n in range(CASES // FLOWS_A_STATE)]
    tasks = [{"kind": "state", "seed": seed, "flows": FLOWS_A_STATE} for seed in seeds]
    tally = Tally(seed="ci")
    for task, result in crew.run(tasks):
        tally.add(result, task["seed"])
    sys.stdout.write(f"\n{tally.table()}\n")
    assert tally.cases == CASES
    assert tally.rules_checked > 20
    assert tally.rules_checked_alone > 0
    words = "\n".join(each.words for each in tally.disagreements)
    assert tally.met, f"{tally.table()}\n{words}"


def test_a_wrong_model_is_found_out(crew: Crew) -> None:
    """A flow that the kernel drops and the model does not know of is a disagreement, and is cut to its rule.

    The rule is put where the model cannot see it: it is added after the state was read.
    """
    shape = Shape()
    hidden = Line("b", Tool.IPTABLES_NFT, "filter -A FORWARD -d 10.244.2.10 -p tcp --dport 8080 -j DROP")
    other = Line("a", Tool.IP, "route replace blackhole 10.99.0.0/16 metric 5")
    flow = Flow("c", BY_NAME["s"].v4, "tcp", 8080)
    state = State(shape, (other, hidden), (flow,))
    ((_, result),) = crew.run([{"kind": "state", "state": state.to_json(), "blind": [hidden.text]}])
    assert [case["answer"] for case in result["cases"]] == ["disagrees"]
    ((_, reduced),) = crew.run(
        [{"kind": "reduce", "state": state.to_json(), "flow": 0, "blind": [hidden.text]}]
    )
    assert from_json(reduced["state"]).lines == (hidden,)
    assert "real timeout, predicted PASS" in reduced["words"]


def test_the_blamed_rule_must_have_counted(crew: Crew) -> None:
    """A drop that agrees is counted as checked by its rule's counter and by the kernel's drop reason."""
    drop = Line("b", Tool.NFT, "add rule ip fz base tcp dport 8080 counter drop")
    made = (
        Line("b", Tool.NFT, "add table ip fz"),
        Line("b", Tool.NFT, "add chain ip fz base { type filter hook forward priority 0; }"),
    )
    state = State(Shape(), (*made, drop), (Flow("c", BY_NAME["s"].v4, "tcp", 8080),))
    ((_, result),) = crew.run([{"kind": "state", "state": state.to_json()}])
    assert [case["answer"] for case in result["cases"]] == ["agrees"]
    assert (result["rules_checked"], result["rules_checked_alone"]) == (1, 1)


def test_the_same_seed_draws_the_same_state() -> None:
    """A seed is a state: a report names it, and anybody can build it again."""
    first = draw_state("7:3", 40)
    assert first == draw_state("7:3", 40)
    assert first != draw_state("7:4", 40)
    assert from_json(first.to_json()) == replace(first)


def _below(pid: int) -> set[int]:
    """Return all descendants of a process."""
    parents: dict[int, int] = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            stat = (process / "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        parents[int(process.name)] = int(stat.rpartition(")")[2].split()[1])
    found: set[int] = set()
    fresh = {pid}
    while fresh:
        fresh = {child for child, parent in parents.items() if parent in fresh} - found
        found |= fresh
    return found


def _is_worker(pid: int) -> bool:
    try:
        return WORKER.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_nothing_outlives_the_harness(number: signal.Signals) -> None:
    """However the harness ends, its workers end with it, and so do their namespaces."""
    argv = [sys.executable, "-m", "tests.kernel", "--cases", "100000", "--jobs", "1"]
    harness = subprocess.Popen(
        argv, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        assert _wait(lambda: any(_is_worker(pid) for pid in _below(harness.pid)))
        started = _below(harness.pid)
        harness.send_signal(number)
        harness.wait(120)
        assert _wait(lambda: not any(_is_worker(pid) for pid in started))
    finally:
        harness.kill()
        harness.wait()
    assert not list(Path("/run/netns").glob("skoop-fuzz-*"))


def _wait(condition: Callable[[], bool], seconds: float = 60.0) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True
