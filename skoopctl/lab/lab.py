"""A running lab: what is in it, what its connections get, and how to break it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skoopctl.errors import LabError
from skoopctl.lab.breaking import apply_fault, undo_fault
from skoopctl.lab.build import Progress, build_lab
from skoopctl.lab.commands import require_root
from skoopctl.lab.faults import Fault, faults_for
from skoopctl.lab.probe import Flow, ProbeResult, Source, probe_sources
from skoopctl.lab.readiness import dead_members
from skoopctl.lab.statefile import STATE_DIR, LabState, load_state
from skoopctl.lab.summary import lab_summary
from skoopctl.lab.teardown import lab_is_dead, take_down
from skoopctl.lab.topology import (
    OUTSIDE_ADDRESS,
    OUTSIDE_NAME,
    LabNode,
    LabOptions,
    LabPod,
    LabService,
    Plan,
    host_netns,
    plan_lab,
)


@dataclass(frozen=True, slots=True)
class Lab:
    """A lab that is up. ``plan`` says what it consists of, ``pids`` which processes stand for it."""

    plan: Plan
    pids: Mapping[str, int]
    api_port: int

    @classmethod
    def load(cls) -> Lab:
        """Return the lab that is running on this machine; LabError if there is none, or it is not whole."""
        state = load_state()
        hint = "skoopctl lab up --replace builds another"
        if state.phase != "up":
            raise LabError("the lab is half built", hint=hint)
        dead = dead_members(plan_lab(state.options), state.pids)
        if dead:
            raise LabError(f"the lab is damaged: {', '.join(dead)} is gone", hint=hint)
        return cls.of(state)

    @classmethod
    def of(cls, state: LabState) -> Lab:
        """Return the lab that a state describes."""
        return cls(plan_lab(state.options), dict(state.pids), state.api_port)

    @property
    def options(self) -> LabOptions:
        """What was asked for."""
        return self.plan.options

    @property
    def nodes(self) -> tuple[LabNode, ...]:
        """The nodes, the control plane first."""
        return self.plan.nodes

    @property
    def pods(self) -> tuple[LabPod, ...]:
        """The pods."""
        return self.plan.pods

    @property
    def services(self) -> tuple[LabService, ...]:
        """The services."""
        return self.plan.services

    @property
    def inventory(self) -> Path:
        """The inventory file."""
        return STATE_DIR / "inventory.yaml"

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig of the lab's API server."""
        return STATE_DIR / "kubeconfig"

    def sources(self) -> tuple[Source, ...]:
        """Return everything that flows can start from: pods in their own network, nodes, the outside host."""
        pods = [
            Source(f"pod/{pod.key}", pod.address, f"/proc/{self.pids[pod.key]}/ns/net")
            for pod in self.pods
            if not pod.host_network
        ]
        nodes = [Source(f"node/{node.name}", node.address, node.netns) for node in self.nodes]
        return (*pods, *nodes, Source(OUTSIDE_NAME, OUTSIDE_ADDRESS, host_netns(OUTSIDE_NAME)))

    def source(self, name: str) -> Source:
        """Return a source by its name, by ``namespace/name`` of a pod, by a node's name, or by address."""
        for source in self.sources():
            if name in (source.name, source.name.partition("/")[2], source.address):
                return source
        raise LabError(f"no source {name} in the lab", hint=", ".join(s.name for s in self.sources()))

    def probe(
        self, source: Source | str, flows: Iterable[Flow | tuple[str, str, int]], *, timeout_s: float = 1.5
    ) -> tuple[ProbeResult, ...]:
        """Try flows from one source, all at once; return their results in order."""
        origin = self.source(source) if isinstance(source, str) else source
        wanted = _flows(flows)
        return probe_sources({origin: wanted}, timeout_s=timeout_s)[origin.name]

    def probe_all(
        self,
        sources: Iterable[Source],
        flows: Iterable[Flow | tuple[str, str, int]],
        *,
        timeout_s: float = 1.5,
    ) -> dict[str, tuple[ProbeResult, ...]]:
        """Try the same flows from many sources, all at once; return their results by the source's name."""
        wanted = _flows(flows)
        return probe_sources(dict.fromkeys(sources, wanted), timeout_s=timeout_s)

    def faults(self) -> tuple[Fault, ...]:
        """Return every fault that this lab can have."""
        return tuple(faults_for(self.plan))

    def applied_faults(self) -> tuple[str, ...]:
        """Return the names of the faults that are applied now, oldest first."""
        return tuple(load_state().faults)

    def apply_fault(self, name: str) -> bool:
        """Break the lab; return whether anything was done (it is not when the fault was applied already)."""
        return apply_fault(name) is not None

    def undo_fault(self, name: str) -> bool:
        """Mend what a fault broke; return whether anything was done."""
        return undo_fault(name) is not None

    def summary(self) -> dict[str, Any]:
        """Return the lab as plain data (schema ``skoopctl.lab/1``)."""
        return lab_summary(self.plan, load_state())

    def down(self) -> None:
        """Take the lab down."""
        down()


def up(options: LabOptions | None = None, progress: Progress | None = None, *, replace: bool = False) -> Lab:
    """Build a lab and return it; with ``replace``, take down the one that is there first.

    Raises LabError when this is not root, a program is missing, or a lab is there already. An error or an
    interrupt on the way leaves nothing behind.
    """
    if replace:
        down()
    return Lab.of(build_lab(options or LabOptions(), progress or (lambda _: None)))


def down(*, only_dead: bool = False) -> bool:
    """Take down whatever there is of a lab, whole or half built; return whether anything was taken down.

    With ``only_dead``, a lab that somebody is building or in which a process runs stays.
    """
    require_root()
    return (not only_dead or lab_is_dead()) and take_down()


def _flows(flows: Iterable[Flow | tuple[str, str, int]]) -> Sequence[Flow]:
    """Accept flows as such or as plain tuples."""
    return [flow if isinstance(flow, Flow) else Flow(*flow) for flow in flows]
