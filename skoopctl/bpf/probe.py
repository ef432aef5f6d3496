"""What an event probe is: what it sees, by which hooks, as which events, counted how."""

from __future__ import annotations

from dataclasses import dataclass

from skoopctl.bpf.metric import EventMetric

RECORD_BYTES = 96
FRAMES = 14
"""``struct record`` and the addresses behind it: bpf/record.h."""
INNER_BYTES = 48
"""What ``struct inner`` has behind those addresses: bpf/tunnel.h."""
BPF = "bpf"
DELAY_BYTES = 40
"""What ``struct delay`` has behind the record: bpf/latency.h."""

HISTOGRAMS = "histograms"
"""As a `BpfProbe.proof`: that something is in them."""


@dataclass(frozen=True, slots=True)
class Below:
    """Only where a tracepoint hands fewer than ``arguments`` to programs."""

    tracepoint: str
    arguments: int


@dataclass(frozen=True, slots=True)
class Hook:
    """One thing that a probe sees, and the programs that show it: of the alternatives, the first that works whole."""

    what: str
    alternatives: tuple[tuple[str, ...], ...]
    needed: Below | None = None
    since: str = ""
    """The kernels that have it, for people; the loader asks for features."""
    whole: bool = False
    """Whether a part of an alternative shows nothing."""
    by: str = ""
    """What shows it where that is no program of eBPF."""


@dataclass(frozen=True, slots=True)
class EventKind:
    """One kind of event. ``number`` is ``enum kind`` of bpf/record.h, ``compatible`` is KubeSkoop's name or empty."""

    number: int
    name: str
    compatible: str
    tells: str
    sampled: bool = True
    """Whether it comes as an event; else it is only counted, by namespace."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """From how many microseconds on something is told. ``name`` is ``skoop_NAME_us`` in the source."""

    name: str
    default_us: int
    tells: str


@dataclass(frozen=True, slots=True)
class BpfProbe:
    """One probe; by eBPF, where it does not say otherwise."""

    name: str
    title: str
    hooks: tuple[Hook, ...]
    kinds: tuple[EventKind, ...]
    reasons: str = ""
    """The kernel's enumeration that its reasons are of."""
    stack: bool = False
    """Whether the record has the calls that led there."""
    inner: bool = False
    """Whether the record has what a packet of a tunnel carries."""
    delay: bool = False
    """Whether the record has how long it took: ``struct delay`` of bpf/latency.h."""
    words: tuple[str, ...] = ()
    """The names of its reasons by number, where they are the same on all kernels."""
    thresholds: tuple[Threshold, ...] = ()
    histograms: tuple[tuple[str, str], ...] = ()
    """What each row of its histograms is of: a stage, and a type or nothing."""
    whole_node: bool = False
    """Whether what it sees belongs to no namespace, so that asking for some does not narrow it."""
    proof: tuple[str, ...] = ()
    """What it sees of the self-test (remote/bpf_selftest.py): kinds, `HISTOGRAMS`; empty where nothing harmless
    makes it see something."""
    metrics: tuple[EventMetric, ...] = ()
    """KubeSkoop's names for what it counts."""
    notes: str = ""
    """What its numbers are, where the table does not tell."""
    cost: str = ""
    """What a run costs, as the kernel measured it on a small virtual machine (``BPF_ENABLE_STATS``)."""
    source: str = BPF
    """What it is made by: eBPF, or the node's file ``ev_SOURCE.py``, which needs neither BTF nor CAP_BPF."""
    backend: str = "core"
    """How its results name that."""

    @property
    def is_bpf(self) -> bool:
        """Whether programs have to be loaded for it."""
        return self.source == BPF

    @property
    def record_bytes(self) -> int:
        """The size of a record."""
        return self.inner_at + (INNER_BYTES if self.inner else 0) + (DELAY_BYTES if self.delay else 0)

    @property
    def inner_at(self) -> int:
        """Where in a record stands what it carries: behind the calls."""
        return RECORD_BYTES + (8 * FRAMES if self.stack else 0)
