"""Applying faults to a running lab, and undoing them."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterable

from skoopctl.errors import LabError
from skoopctl.lab.commands import require_root, run_in
from skoopctl.lab.faults import Fault, Step, make_fault
from skoopctl.lab.readiness import listening
from skoopctl.lab.statefile import LabState, locked_state
from skoopctl.lab.topology import Plan, plan_lab

SETTLE_DEADLINE_S = 5.0


def apply_fault(name: str) -> Fault | None:
    """Break the running lab; return the fault, or None if it was applied already.

    The fault is written down before its first command runs, so that an interrupted one can be undone.
    """
    require_root()
    with locked_state() as state:
        plan = plan_lab(state.options)
        fault = make_fault(plan, name)
        if name in state.faults:
            return None
        state.faults.append(name)
        state.save()
        try:
            _run(plan, state, fault.steps)
        except BaseException:
            _run_all(plan, state, fault.undo)
            state.faults.remove(name)
            raise
        forget_connections(plan)
        return fault


def undo_fault(name: str) -> Fault | None:
    """Mend what a fault broke; return the fault, or None if it was not applied."""
    require_root()
    with locked_state() as state:
        plan = plan_lab(state.options)
        fault = make_fault(plan, name)
        if name not in state.faults:
            return None
        failed = _run_all(plan, state, fault.undo)
        if failed:
            raise LabError(
                f"fault {name} is not undone: {failed[0]}",
                hint="skoopctl lab up --replace builds a healthy lab",
            )
        state.faults.remove(name)
        forget_connections(plan)
        return fault


def forget_connections(plan: Plan) -> None:
    """Empty the nodes' connection tracking: what was established before must decide nothing afterwards."""
    for node in plan.nodes:
        run_in(node.netns, ["conntrack", "-F"])


def _run(plan: Plan, state: LabState, steps: Iterable[Step]) -> None:
    """Run steps in order; the first failure ends it."""
    for step in steps:
        pid = state.pids.get(step.where)
        if pid is None:
            raise LabError(f"the lab has no {step.where}")
        if step.signal:
            os.kill(pid, getattr(signal, f"SIG{step.signal}"))
        else:
            program = f"iptables-{plan.options.iptables}" if step.argv[0] == "iptables" else step.argv[0]
            run_in(f"/proc/{pid}/ns/net", [program, *step.argv[1:]], stdin=step.stdin)
        _wait_for_effect(step, pid)


def _run_all(plan: Plan, state: LabState, steps: Iterable[Step]) -> list[LabError]:
    """Run every step, whatever becomes of the others; return what failed."""
    failed = []
    for step in steps:
        try:
            _run(plan, state, [step])
        except LabError as error:
            failed.append(error)
    return failed


def _wait_for_effect(step: Step, pid: int) -> None:
    """Wait until what a step brings about a little later is there."""
    if step.listens:
        port, wanted = step.listens
        what = f"{step.where} to {'open' if wanted else 'close'} port {port}"
        _settle(lambda: (port in listening(pid)) == wanted, what)
    if step.carrier:
        _settle(lambda: _has_carrier(pid, step.carrier), f"the carrier of {step.carrier} on {step.where}")


def _has_carrier(pid: int, device: str) -> bool:
    """Return whether a device in a process's network namespace is up and has a carrier."""
    (link,) = json.loads(run_in(f"/proc/{pid}/ns/net", ["ip", "-j", "link", "show", "dev", device]))
    return "LOWER_UP" in link["flags"] and link["operstate"] != "DOWN"


def _settle(reached: Callable[[], bool], what: str) -> None:
    """Wait for a state that a step brings about."""
    deadline = time.monotonic() + SETTLE_DEADLINE_S
    while not reached():
        if time.monotonic() > deadline:
            raise LabError(f"waited {SETTLE_DEADLINE_S:g} s for {what}")
        time.sleep(0.005)
