"""The node program with the eBPF loader: the files that it is made of, and the request that it answers."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from skoopctl import __version__
from skoopctl.bpf.artefact import bpf_folder, built
from skoopctl.bpf.catalogue import FRAMES, PROBES, BpfProbe
from skoopctl.bpf.rendering import not_everywhere, rendered
from skoopctl.errors import UsageError
from skoopctl.evidence.payload import job_of, joined
from skoopctl.transport.base import Job

PROGRAM_FILES = (
    "paths.py",
    "outcome.py",
    "frames.py",
    "lifetime.py",
    "lease.py",
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
    "bpf_selftest.py",
    "bpf_budget.py",
    "bpf_session.py",
)


PLAIN = "ev_plain.py"


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
        Backend("bcc", "Bcc", (PLAIN, "ev_bcc.py")),
        Backend("tracefs", "Tracefs", (PLAIN, "ev_trace.py", "ev_tracefs.py")),
        Backend("proc", "Proc", (PLAIN, "ev_proc.py")),
    )
}
"""The best first."""
BCC_COMPILER = "ev_bcc_compiler.py"
"""The program that BCC's backend starts on the node."""
AUTO = "auto"
SOURCE_FILES = {
    "conntrack": ("ev_conntrack.py",),
    "dns": ("ev_dns_tcp.py", "ev_dns.py"),
    "flow": ("ev_flow.py",),
}
"""What is sent behind them for a source that is no eBPF, by its name; all of them stand on `SOURCES_STAND_ON`."""
SOURCES_STAND_ON = ("modules.py", "netlink.py", "ev_source.py")
BUFFERS = ("auto", "ring", "perf")
MAX_THRESHOLD_US = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class BpfRequest:
    """What a node is asked to watch. Namespaces are inodes; none means all. Times are in seconds.

    With a lease the program goes on for ``duration_s``, without end if that is 0, as long as it hears something on its
    stdin now and then, as a node that sends rounds does. Without one it has a deadline, by ``start_s``.
    """

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
    """Of events: the most that is sent at once, or in all where nothing comes back."""
    bytes_s: float = 0.0
    """What comes back of it, by the second."""
    lease_s: float = 0.0
    btf: str = "/sys/kernel/btf/vmlinux"
    lockdown: str = "/sys/kernel/security/lockdown"
    backend: str = AUTO
    """One of `BACKENDS`, or ``auto``: for each probe the first that can."""
    start_s: float = 60.0
    """Without a lease: how long a node may take to start the probes and to end them, beside what BCC may compile."""
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
        if min(self.duration_s or self.lease_s, self.start_s, self.interval_s, self.total_bytes) <= 0:
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
            "deadline_s": self.duration_s + self.start_s + self._compile_s(),
            "namespaces": list(self.namespaces),
            "buffers": self.buffers,
            "stats": self.stats,
            "interval_s": self.interval_s,
            "counts_s": self.counts_s,
            "total_bytes": self.total_bytes,
            "bytes_s": self.bytes_s,
            "lease_s": self.lease_s,
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
        texts = [name for name in self.probes if "bcc" in self.backends and PROBES[name].is_bpf]
        return len(texts) * self.bcc_timeout_s

    def files(self) -> tuple[str, ...]:
        """Return the files of the node program that answers it."""
        asked = [PROBES[name] for name in self.probes]
        sources = {probe.source for probe in asked if not probe.is_bpf}
        more = [file for name, files in SOURCE_FILES.items() if name in sources for file in files]
        below = dict.fromkeys(file for backend in self.backends for file in BACKENDS[backend].files)
        return (
            *PROGRAM_FILES,
            *LOADER_FILES,
            *(below if any(probe.is_bpf for probe in asked) else ()),
            *((*SOURCES_STAND_ON, *more) if more else ()),
        )

    def _asked(self, probe: BpfProbe, architecture: str) -> dict[str, Any]:
        settings = {
            f"{each.name}_us": self.thresholds_us.get(f"{probe.name}.{each.name}", each.default_us)
            for each in probe.thresholds
        }
        about = {"source": probe.source, "backend": probe.backend, "settings": settings}
        if probe.is_bpf:
            return {**self._programs(probe, architecture), **about}
        return {
            "name": probe.name,
            "hooks": [[hook.what, hook.by] for hook in probe.hooks],
            "words": list(probe.words),
            **about,
        }

    def _programs(self, probe: BpfProbe, architecture: str) -> dict[str, Any]:
        groups = [
            {
                "what": hook.what,
                "any": [list(each) for each in hook.alternatives],
                "whole": hook.whole,
                "below": [hook.needed.tracepoint, hook.needed.arguments] if hook.needed else None,
            }
            for hook in probe.hooks
        ]
        numbers = {kind.name: kind.number for kind in probe.kinds}
        text = rendered(probe.name, bpf_folder()) if "bcc" in self.backends else ""
        more = {
            "groups": groups,
            "record": probe.record_bytes,
            "calls": FRAMES if probe.stack else 0,
            "reasons": probe.reasons,
            "bcc": text,
            "not_everywhere": not_everywhere(text),
            "kinds": {kind.number: kind.name for kind in probe.kinds},
            "proof": [numbers.get(each, each) for each in probe.proof],
        }
        return {**built(probe.name, architecture).plain(), **more}


def bpf_source(request: BpfRequest, architecture: str) -> str:
    """Return the whole program, with the call that answers ``request``."""
    makers = [BACKENDS[name].made_by for name in request.backends] if _has_programs(request) else []
    call = f"watch_with_bpf({request.plain(architecture)!r}, ({''.join(f'{each}, ' for each in makers)}))"
    return f"{joined(request.files())}\n{call}\n"


def _has_programs(request: BpfRequest) -> bool:
    return any(PROBES[name].is_bpf for name in request.probes)


def bpf_job(request: BpfRequest, architecture: str) -> Job:
    """Return the command and the bytes for its stdin; with a lease, it wants to hear something four times a lease."""
    job = job_of(bpf_source(request, architecture))
    if not request.lease_s:
        return job
    # How much a whole conversation brings has no limit: its receiver bounds what it holds.
    return replace(job, max_output=sys.maxsize, heartbeat_s=request.lease_s / 4)
