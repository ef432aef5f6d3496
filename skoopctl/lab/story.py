"""The demo's story: a healthy path, the manual's fault, the diagnosis that names it, and the path mended.

Told from a live lab, where every moment is also checked by a real connect(), or from recorded bundles.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from skoopctl.checks.diagnose import Question, diagnose
from skoopctl.checks.diagnosis import Diagnosis
from skoopctl.checks.load import snapshot_of
from skoopctl.dataplane.trace import Verdict
from skoopctl.errors import LabError
from skoopctl.evidence import read_bundle, write_bundle
from skoopctl.evidence.bundle import Bundle
from skoopctl.recorded import recorded_bundle

SOURCE, DESTINATION, PORT = "10.244.3.70", "10.244.2.201", 8080
FAULT = "input-drop"
FAULT_COMMAND = "iptables -I INPUT -s 192.168.3.87 -j DROP"
FAULT_NODE = "node1-c4"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Moment:
    """One point of the story: what was done before it, and what must be true then."""

    name: str
    title: str
    verdict: Verdict
    fault: bool = False


STORY = (
    Moment("healthy", "A pod on node2-c4 calls a pod on node1-c4", Verdict.PASS),
    Moment("broken", f"Somebody runs '{FAULT_COMMAND}' on {FAULT_NODE}", Verdict.FAIL, fault=True),
    Moment("mended", "The rule is deleted again", Verdict.PASS),
)


class Stage(Protocol):
    """Where the evidence of a moment comes from."""

    def bring_about(self, moment: Moment) -> str | None:
        """Make the moment so, and return what a real connect() gets then (None when nobody can try)."""
        ...

    def evidence(self, moment: Moment) -> Bundle:
        """Return what the nodes say."""
        ...


class RecordedStage:
    """Bundles that were recorded from a lab."""

    def bring_about(self, moment: Moment) -> str | None:  # noqa: ARG002 - it is recorded
        """Nobody can try."""
        return None

    def evidence(self, moment: Moment) -> Bundle:
        """Read the moment's bundle."""
        return read_bundle(recorded_bundle(moment.name))


class LiveStage:
    """A running lab."""

    def __init__(self, lab: object, keep: Path | None = None) -> None:
        from skoopctl.lab.lab import Lab  # noqa: PLC0415 - the recorded story does not need it

        assert isinstance(lab, Lab)  # noqa: S101 - callers pass what up() returned
        self.lab = lab
        self.keep = keep

    def bring_about(self, moment: Moment) -> str | None:
        """Apply or undo the fault, then really connect from inside the pod: the rule's counter shows it."""
        if moment.fault:
            self.lab.apply_fault(FAULT)
        elif FAULT in self.lab.applied_faults():
            self.lab.undo_fault(FAULT)
        (result,) = self.lab.probe(SOURCE, [("tcp", DESTINATION, PORT)])
        return str(result.outcome.value)

    def evidence(self, moment: Moment) -> Bundle:
        """Ask the nodes."""
        bundle = self._collect()
        if bundle.whole < len(bundle.results):
            raise LabError(f"the lab's nodes did not answer: {bundle.coverage()}", hint="try once more")
        if self.keep is not None:
            self.keep.mkdir(parents=True, exist_ok=True)
            write_bundle(self.keep / f"{moment.name}.skoop", bundle)
        return bundle

    def _collect(self) -> Bundle:
        from skoopctl.evidence.collect import collect  # noqa: PLC0415 - asyncssh is heavy
        from skoopctl.inventory import load_inventory  # noqa: PLC0415

        hosts = load_inventory(self.lab.inventory).select("nodes")
        return asyncio.run(
            collect(hosts, inventory=str(self.lab.inventory), kubeconfig=str(self.lab.kubeconfig))
        )


@dataclass(frozen=True, slots=True)
class Told:
    """A moment as it was found: the diagnosis, and what was not as it should be ('' when all was)."""

    moment: Moment
    diagnosis: Diagnosis
    connected: str | None
    problem: str


def tell(stage: Stage) -> Iterator[Told]:
    """Bring every moment about in order, and check it."""
    for moment in STORY:
        connected = stage.bring_about(moment)
        snapshot = snapshot_of(stage.evidence(moment))
        diagnosis = diagnose(Question(SOURCE, DESTINATION, "tcp", PORT), snapshot)
        yield Told(moment, diagnosis, connected, _problem(moment, diagnosis, connected))


def _problem(moment: Moment, diagnosis: Diagnosis, connected: str | None) -> str:
    """Say what is not as the story has it."""
    path = diagnosis.path
    if path.verdict is not moment.verdict:
        return f"the verdict is {path.verdict.value}, not {moment.verdict.value}"
    if connected is not None and connected != path.outcome.value:
        return f"the model says {path.outcome.value}, a real connect() got: {connected}"
    if moment.fault and not _names_the_rule(diagnosis):
        found = diagnosis.findings[0].summary if diagnosis.findings else "nothing"
        return f"the cause is not named; the first finding is: {found}"
    return ""


def _names_the_rule(diagnosis: Diagnosis) -> bool:
    """Tell whether rule 1 of INPUT on node1-c4 is the cause, with a fix that the model has checked."""
    cause = diagnosis.findings[0] if diagnosis.findings else None
    if cause is None or not cause.cause or cause.fix is None or not cause.evidence:
        return False
    last = cause.evidence[-1]
    return (
        cause.where.node == FAULT_NODE
        and last.location.startswith("filter INPUT rule 1")
        and "192.168.3.87" in last.text
        and cause.fix.checked
    )


@contextmanager
def live_stage(progress: Say | None, keep: Path | None = None) -> Iterator[LiveStage]:
    """Build a lab for the story, and take it down whatever happens."""
    from skoopctl.lab.lab import up  # noqa: PLC0415

    lab = up(progress=progress)
    try:
        yield LiveStage(lab, keep)
    finally:
        lab.down()
