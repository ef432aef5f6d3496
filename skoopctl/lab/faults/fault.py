"""What a fault is, and the table of all of them.

A fault is data: commands that break something and commands that mend exactly that, for a given plan. Each is
a function of the plan, registered by name with ``@fault``; a function may raise LabError where the plan has
no such part.
"""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from skoopctl.errors import LabError
from skoopctl.lab.topology import Backend, LabNode, LabPod, Plan


@dataclass(frozen=True, slots=True)
class Step:
    """One command in one network namespace: ``where`` is a node's name or ``namespace/name`` of a pod.

    ``iptables`` stands for the flavour that the lab uses. ``signal``, if set, is sent to the pod's process in
    place of a command; ``listens`` is then a TCP port and whether it must be open afterwards. ``carrier``
    names a device that must have its carrier back afterwards, which the kernel may take a second to notice.
    """

    where: str
    argv: tuple[str, ...] = ()
    stdin: str = ""
    signal: str = ""
    listens: tuple[int, bool] | None = None
    carrier: str = ""

    def __str__(self) -> str:
        if self.signal:
            return f"{self.where}: kill -{self.signal} $PID"
        given = f" <<< {shlex.quote(self.stdin.strip())}" if self.stdin else ""
        return f"{self.where}: {shlex.join(self.argv)}{given}"


Steps = tuple[Step, ...]
Maker = Callable[[Plan], tuple[Steps, Steps]]


@dataclass(frozen=True, slots=True)
class Fault:
    """A way to break a lab. ``harmless`` marks a control: it changes the kernel, but no flow's outcome."""

    name: str
    title: str
    steps: Steps
    undo: Steps
    harmless: bool


@dataclass(frozen=True, slots=True)
class _Entry:
    """A row of the table."""

    title: str
    make: Maker
    harmless: bool
    needs: Backend | None


_TABLE: dict[str, _Entry] = {}


def fault(
    name: str, title: str, *, harmless: bool = False, needs: Backend | None = None
) -> Callable[[Maker], Maker]:
    """Register a fault under ``name``; ``needs`` names the backend without which it makes no sense."""

    def register(make: Maker) -> Maker:
        _TABLE[name] = _Entry(title, make, harmless, needs)
        return make

    return register


def fault_titles() -> dict[str, str]:
    """Return every fault's title by name, in the order of the table."""
    return {name: entry.title for name, entry in _TABLE.items()}


def make_fault(plan: Plan, name: str) -> Fault:
    """Return a plan's fault by name; LabError for an unknown name or a plan that cannot have it."""
    entry = _TABLE.get(name)
    if entry is None:
        near = difflib.get_close_matches(name, _TABLE, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]}?" if near else "skoopctl lab fault list shows them"
        raise LabError(f"no fault {name}", hint=hint)
    if entry.needs not in (None, plan.options.backend):
        raise LabError(
            f"fault {name} needs the {entry.needs} backend; this lab has {plan.options.backend}",
            hint=f"skoopctl lab up --replace --backend {entry.needs}",
        )
    steps, undo = entry.make(plan)
    return Fault(name, entry.title, steps, undo, entry.harmless)


def faults_for(plan: Plan) -> Iterator[Fault]:
    """Yield every fault that a plan can have."""
    for name, entry in _TABLE.items():
        if entry.needs in (None, plan.options.backend):
            yield make_fault(plan, name)


@dataclass(frozen=True, slots=True)
class Stage:
    """The two ends of the manual's example: ``caller`` on ``near`` calls ``callee`` on ``far``."""

    near: LabNode
    far: LabNode
    caller: LabPod
    callee: LabPod


def stage(plan: Plan) -> Stage:
    """Return the manual's two pods and their nodes."""
    caller, callee = plan.pod("tools/tools-74bdbfc69d-q4h8h"), plan.pod("tools/demo-5bf67dcbc9-hxtmt")
    return Stage(plan.node(caller.node), plan.node(callee.node), caller, callee)


def command(where: str, line: str) -> Step:
    """Return a step from a command line as one would type it."""
    return Step(where, tuple(shlex.split(line)))


def ip_steps(where: str, lines: list[str], program: str = "ip") -> Steps:
    """Return steps for lines of ``ip -batch`` or ``bridge -batch``."""
    return tuple(command(where, f"{program} {line}") for line in lines)
