"""The node program with the eBPF loader: the files that it is made of, and the request that it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from skoopctl import __version__
from skoopctl.bpf.artefact import bcc_source, built
from skoopctl.bpf.catalogue import FRAMES, PROBES, BpfProbe
from skoopctl.errors import UsageError
from skoopctl.evidence.payload import job_of, joined
from skoopctl.transport.base import Job

PROGRAM_FILES = (
    "paths.py",
    "outcome.py",
    "frames.py",
    "lifetime.py",
    "namespaces.py",
    "bpf.py",
)
"""What the loader stands on."""

LOADER_FILES = (
    "bpf_btf.py",
    "bpf_relocate.py",
    "bpf_maps.py",
    "bpf_load.py",
    "bpf_attach.py",
    "bpf_buffers.py",
    "bpf_symbols.py",
    "bpf_probe.py",
    "bpf_core.py",
    "ev_plain.py",
    "bpf_selftest.py",
    "bpf_budget.py",
    "bpf_session.py",
)


@dataclass(frozen=True, slots=True)
class Backend:
    """One way to see a probe's events: its class in the node program, and its files beside the loader's."""

    name: str
    made_by: str
    files: tuple[str, ...] = ()


BACKENDS = {
    backend.name: backend
    for backend in (
        Backend("core", "Core"),
        Backend("bcc", "Bcc", ("ev_bcc.py",)),
        Backend("tracefs", "Tracefs", ("ev_trace.py", "ev_tracefs.py")),
        Backend("proc", "Proc", ("ev_proc.py",)),
    )
}
"""The best first."""
BCC_COMPILER = "ev_bcc_compiler.py"
"""The program that BCC's backend starts on the node."""
AUTO = "auto"
BUFFERS = ("auto", "ring", "perf")
MAX_THRESHOLD_US = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class BpfRequest:
    """What a node is asked to watch. Namespaces are inodes; none means all. Times are in seconds."""

    probes: tuple[str, ...]
    duration_s: float
    namespaces: tuple[int, ...] = ()
    buffers: str = "auto"
    stats: bool = False
    """Whether the kernel counts what the programs cost, which costs some 65 ns a run itself."""
    interval_s: float = 0.2
    """How long the node may keep events at most."""
    counts_s: float = 0.0
    """How often the counts are sent; 0 for once, at the end."""
    total_bytes: int = 64 << 20
    btf: str = "/sys/kernel/btf/vmlinux"
    lockdown: str = "/sys/kernel/security/lockdown"
    backend: str = AUTO
    """One of `BACKENDS`, or ``auto``: for each probe the first that can."""
    bcc_timeout_s: float = 60.0
    """How long BCC may compile one probe."""
    budget: float | None = None
    """What share of one CPU each probe may take before it is detached: 0.02 of all CPUs; 0 for any."""
    budget_slice_s: float = 1.0
    """For how long the cost is measured each time."""
    budget_every_s: float = 10.0
    """How often it is measured. A probe goes after two slices over the budget in a row."""
    selftest: bool = True
    """Whether each probe is made to see something on the node's own loopback first, which is not counted."""
    thresholds_us: Mapping[str, int] = field(default_factory=dict)
    """From when on things are told, in microseconds, as ``PROBE.THRESHOLD``; the others are the catalogue's."""

    def __post_init__(self) -> None:
        unknown = [name for name in self.probes if name not in PROBES]
        if unknown:
            raise UsageError(f"there is no eBPF probe {unknown[0]!r}", hint=f"there are {', '.join(PROBES)}")
        if self.buffers not in BUFFERS:
            raise UsageError(f"there is no buffer {self.buffers!r}", hint=f"there are {', '.join(BUFFERS)}")
        if self.backend not in {AUTO, *BACKENDS}:
            backends = ", ".join((*BACKENDS, AUTO))
            raise UsageError(f"there is no backend {self.backend!r}", hint=f"there are {backends}")
        if min(self.duration_s, self.interval_s, self.total_bytes) <= 0:
            raise UsageError("durations and limits of a request must be above zero")
        if (self.budget or 0) < 0 or not 0 < self.budget_slice_s <= self.budget_every_s:
            raise UsageError("a budget is not below zero, and measured in slices of the time between them")
        known = [f"{probe.name}.{each.name}" for probe in PROBES.values() for each in probe.thresholds]
        for name, value in self.thresholds_us.items():
            if name not in known:
                raise UsageError(f"there is no threshold {name!r}", hint=f"there are {', '.join(known)}")
            if not 0 <= value <= MAX_THRESHOLD_US:
                raise UsageError(f"the threshold {name} is not between 0 and {MAX_THRESHOLD_US} microseconds")

    @property
    def backends(self) -> tuple[str, ...]:
        """The backends to try, in this order."""
        return tuple(BACKENDS) if self.backend == AUTO else (self.backend,)

    def plain(self, architecture: str) -> dict[str, Any]:
        """Return the request with the built programs, as the node program takes it."""
        return {
            "version": __version__,
            "probes": [self._asked(PROBES[name], architecture) for name in self.probes],
            "duration_s": self.duration_s,
            "deadline_s": self.duration_s + 15 + self._compile_s(),
            "namespaces": list(self.namespaces),
            "buffers": self.buffers,
            "stats": self.stats,
            "interval_s": self.interval_s,
            "counts_s": self.counts_s,
            "total_bytes": self.total_bytes,
            "btf": self.btf,
            "lockdown": self.lockdown,
            "selftest": self.selftest,
            "bcc_timeout_s": self.bcc_timeout_s,
            "bcc_compiler": joined((BCC_COMPILER,)) if "bcc" in self.backends else "",
            "budget": self.budget,
            "budget_slice_s": self.budget_slice_s,
            "budget_every_s": self.budget_every_s,
        }

    def _compile_s(self) -> float:
        """Return how long BCC may compile before the probes begin."""
        texts = [name for name in self.probes if "bcc" in self.backends and bcc_source(name)]
        return len(texts) * self.bcc_timeout_s

    def _asked(self, probe: BpfProbe, architecture: str) -> dict[str, Any]:
        groups = [
            {
                "what": hook.what,
                "any": [list(each) for each in hook.alternatives],
                "below": [hook.needed.tracepoint, hook.needed.arguments] if hook.needed else None,
            }
            for hook in probe.hooks
        ]
        numbers = {kind.name: kind.number for kind in probe.kinds}
        more = {
            "groups": groups,
            "record": probe.record_bytes,
            "calls": FRAMES if probe.stack else 0,
            "reasons": probe.reasons,
            "bcc": bcc_source(probe.name) if "bcc" in self.backends else "",
            "kinds": {kind.number: kind.name for kind in probe.kinds},
            "proof": [numbers.get(each, each) for each in probe.proof],
            "settings": {
                f"{each.name}_us": self.thresholds_us.get(f"{probe.name}.{each.name}", each.default_us)
                for each in probe.thresholds
            },
        }
        return {**built(probe.name, architecture).plain(), **more}


def bpf_source(request: BpfRequest, architecture: str) -> str:
    """Return the whole program, with the call that answers ``request``."""
    backends = [BACKENDS[name] for name in request.backends]
    more = tuple(each for backend in backends for each in backend.files)
    made_by = "".join(f"{backend.made_by}, " for backend in backends)
    call = f"watch_with_bpf({request.plain(architecture)!r}, ({made_by}))"
    return f"{joined(PROGRAM_FILES + LOADER_FILES + more)}\n{call}\n"


def bpf_job(request: BpfRequest, architecture: str) -> Job:
    """Return the command and the bytes for its stdin."""
    return job_of(bpf_source(request, architecture))
