"""What a node says of its eBPF probes, frame by frame: how attaching went, names, events, counts.

Nodes are not trusted.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from skoopctl.bpf.addresses import address_text
from skoopctl.bpf.calls import function_of, is_loss
from skoopctl.bpf.catalogue import KINDS, PROBES, BpfProbe
from skoopctl.bpf.events import Batch, Names, decode_batch, reason_name
from skoopctl.bpf.histogram import Histogram, histograms_of
from skoopctl.bpf.rows import decode_rows
from skoopctl.errors import EvidenceError
from skoopctl.evidence.untrusted import parse_object, printable

BPF_FRAME = 16
"""The kind of the frames that are decoded here: remote/bpf_session.py."""

MAX_NAMES = 1 << 16
MAX_ROWS = 20_000
MAX_ROWS_BYTES = 8 << 20
_MAX_WORD = 128
_STATUSES = frozenset(("ok", "degraded", "unavailable"))
_HOOK_STATUSES = frozenset(("ok", "absent", "denied", "failed"))
_OUTCOMES = frozenset(("absent", "denied", "failed", "timeout"))
_RESULTS = frozenset(("ok", "silent", "none"))
_FLOW = struct.Struct("<IBBBBHH16s16s")


@dataclass(frozen=True, slots=True)
class HookReport:
    """One program on one hook, and how attaching it went. ``log`` is the end of what the verifier said."""

    program: str
    hook: str
    target: str
    what: str
    status: str
    detail: str
    log: str


@dataclass(frozen=True, slots=True)
class Passed:
    """A better backend that could not be had, and why."""

    backend: str
    status: str
    detail: str


@dataclass(frozen=True, slots=True)
class Setup:
    """How starting a probe went: ``ok``, ``degraded`` (some hooks), ``unavailable`` with the reason in ``detail``."""

    probe: str
    status: str
    detail: str
    backend: str
    buffer: str
    hooks: tuple[HookReport, ...]
    ms: Mapping[str, float]
    """What it took the node, by step, in milliseconds."""
    passed: tuple[Passed, ...] = ()
    """The other backends that were tried: the better ones, or all when none can be had."""
    missing: tuple[str, ...] = ()
    """What this backend cannot tell that the best one does, in words."""


@dataclass(frozen=True, slots=True)
class SelfTest:
    """Whether a probe saw what it was made to see, before it began: ``ok``, ``silent``, or ``none``: not tried."""

    probe: str
    result: str
    detail: str
    ms: float
    """From attaching until it had seen everything, or was given up."""


@dataclass(frozen=True, slots=True)
class Detached:
    """A probe was taken off its hooks before the end. What it counted until then comes with the others' counts."""

    probe: str
    reason: str
    """``overhead``."""
    share: float
    """What it took of one CPU."""
    budget: float
    by: str
    """How that was measured: ``time`` of its programs, or from its ``events`` where the kernel measures none."""


@dataclass(frozen=True, slots=True)
class Total:
    """How often something happened, by namespace, reason and function."""

    kind: str
    netns: int
    reason: int
    reason_name: str
    location: int
    function: str
    count: int


@dataclass(frozen=True, slots=True)
class FlowCount:
    """How often something happened between two ends. The kernel keeps the flows that were seen last."""

    kind: str
    netns: int
    protocol: int
    source: str
    source_port: int
    destination: str
    destination_port: int
    count: int
    bytes: int = 0
    """Of payload. These are of `flow` alone."""
    packets: int = 0
    retransmits: int = 0
    rtt_us: int = 0
    """As the socket measured it last; 0 where it did not."""
    netfilter: bool = field(default=False, kw_only=True)
    """Whether these were dropped by rules of netfilter; never on kernels without reasons (before 5.18)."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Everything that a probe counted. What was sampled and what found no room is counted all the same."""

    probe: str
    totals: tuple[Total, ...]
    flows: tuple[FlowCount, ...]
    sampled: int
    lost: int
    uncounted: int
    """Events that fell out of the totals, because there were too many different ones."""
    ignored: int
    """How many of all were no loss (`calls.is_loss`); they are not in the totals."""
    unsent: int
    """Samples that were over the limit of what a node sends."""
    cost: Mapping[str, tuple[int, int]]
    """Runs and nanoseconds of each program, while the kernel was counting them."""
    histograms: tuple[Histogram, ...] = ()
    """How long everything took, slow or not."""
    missed: int = 0
    """How often a program was not run, for it was running already on that CPU: what happened then is in no count."""


Said = Setup | SelfTest | Detached | Batch | Counts


class Stream:
    """Decodes the frames of one node, in their order."""

    def __init__(self) -> None:
        self.names = Names()
        self.trouble = ""
        """Why functions have no names, when that is so."""

    def take(self, meta: Mapping[str, Any], body: bytes = b"") -> Said | None:
        """Return what a frame says; names are kept. Raises `EvidenceError` when it is not what it should be."""
        what = meta.get("what")
        decode: Mapping[Any, Callable[[Mapping[str, Any], bytes], Said | None]] = {
            "setup": self._setup,
            "selftest": _self_test,
            "detached": _detached,
            "symbols": self._symbols,
            "events": self._events,
            "rows": lambda meta, body: decode_rows(_probe(meta), meta, body),
            "counts": self._counts,
            "started": lambda _meta, _body: None,
        }
        if not isinstance(what, str) or what not in decode:
            raise EvidenceError(
                f"a node says {printable(str(what), 40)!r} of its eBPF probes, which is unknown"
            )
        try:
            return decode[what](meta, body)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise EvidenceError(
                f"what a node says of its eBPF probes ({what}) cannot be read: {error}"
            ) from None

    def _setup(self, meta: Mapping[str, Any], _body: bytes) -> Setup:
        probe = _probe(meta)
        names = meta["names"]
        if len(names) > MAX_NAMES:
            raise ValueError("too many reasons")
        self.names.reasons[probe.name] = {int(number): _word(name) for number, name in names.items()}
        status = meta["status"]
        if status not in _STATUSES:
            raise ValueError("no status")
        return Setup(
            probe=probe.name,
            status=status,
            detail=_text(meta.get("detail", "")),
            backend=_word(meta["backend"]),
            buffer=_word(meta.get("buffer", "")),
            hooks=tuple(_hook(row) for row in meta["hooks"]),
            ms={_word(step): float(value) for step, value in meta["ms"].items()},
            passed=tuple(_passed(*row) for row in meta.get("passed", [])),
            missing=tuple(_text(each) for each in meta.get("missing", [])),
        )

    def _symbols(self, meta: Mapping[str, Any], _body: bytes) -> None:
        found = meta["names"]
        if len(self.names.functions) + len(found) > MAX_NAMES:
            raise ValueError("too many functions")
        self.names.learn((int(address), _word(name)) for address, name in found.items())
        self.trouble = _text(meta.get("trouble", ""))

    def _events(self, meta: Mapping[str, Any], body: bytes) -> Batch:
        return decode_batch(_probe(meta), body, self.names)

    def _counts(self, meta: Mapping[str, Any], body: bytes) -> Counts:
        probe = _probe(meta)
        health, rows = meta["health"], parse_object(body, max_bytes=MAX_ROWS_BYTES)
        if len(rows["totals"]) > MAX_ROWS or len(rows["flows"]) > MAX_ROWS:
            raise ValueError("too many rows")
        totals = tuple(self._totals(probe, rows["totals"]))
        return Counts(
            probe=probe.name,
            totals=tuple(total for total in totals if is_loss(total.function, total.reason_name)),
            ignored=sum(total.count for total in totals if not is_loss(total.function, total.reason_name)),
            flows=tuple(_flow(*row) for row in rows["flows"]),
            sampled=_number(health["sampled"]),
            lost=_number(health["lost"]),
            uncounted=_number(health["uncounted"]),
            unsent=_number(health["unsent"]),
            missed=_number(health.get("missed", 0)),
            cost={_word(name): (_number(runs), _number(ns)) for name, (runs, ns) in meta["cost"].items()},
            histograms=histograms_of(probe, [list(map(_number, row)) for row in rows["latencies"]]),
        )

    def _totals(self, probe: BpfProbe, rows: list[list[int]]) -> Iterator[Total]:
        reasons = dict(enumerate(probe.words)) or self.names.reasons.get(probe.name, {})
        for row in rows:
            location, netns, reason, kind, count = map(_number, row)
            yield Total(
                kind=KINDS[kind].name,
                netns=netns,
                reason=reason,
                reason_name=reason_name(reason, reasons),
                location=location,
                function=function_of(self.names.functions.get(location, "")),
                count=count,
            )


def _probe(meta: Mapping[str, Any]) -> BpfProbe:
    return PROBES[_word(meta["probe"])]


def _passed(backend: str, status: str, detail: str, _hooks: object) -> Passed:
    if status not in _OUTCOMES:
        raise ValueError("no status of a backend")
    return Passed(_word(backend), status, _text(detail))


def _self_test(meta: Mapping[str, Any], _body: bytes) -> SelfTest:
    if meta["result"] not in _RESULTS:
        raise ValueError("no result of a self-test")
    return SelfTest(_probe(meta).name, meta["result"], _text(meta["detail"]), float(meta["ms"]))


def _detached(meta: Mapping[str, Any], _body: bytes) -> Detached:
    return Detached(
        probe=_probe(meta).name,
        reason=_word(meta["reason"]),
        share=float(meta["share"]),
        budget=float(meta["budget"]),
        by=_word(meta["by"]),
    )


def _hook(row: Mapping[str, Any]) -> HookReport:
    if row["status"] not in _HOOK_STATUSES:
        raise ValueError("no status of a hook")
    return HookReport(
        program=_word(row["program"]),
        hook=_word(row["hook"]),
        target=_word(row["target"]),
        what=_text(row["what"]),
        status=row["status"],
        detail=_text(row.get("detail", "")),
        log=printable(str(row.get("log", "")), 4000),
    )


def _flow(key: str, count: int, *sums: int) -> FlowCount:
    """Return one row; the order of the key is that of ``struct flow_key``, of the sums that of `FlowCount`."""
    packed = bytes.fromhex(key)
    if len(packed) != _FLOW.size:
        raise ValueError("a flow's key is cut")
    netns, kind, family, protocol, filtered, source_port, destination_port, *ends = _FLOW.unpack(packed)
    return FlowCount(
        KINDS[kind].name,
        netns,
        protocol,
        address_text(family, ends[0]),
        source_port,
        address_text(family, ends[1]),
        destination_port,
        *(_number(value) for value in (count, *sums)),
        netfilter=bool(filtered),
    )


def _number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 64:
        raise TypeError("a number is none")
    return value


def _word(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a word is none")
    return printable(value, _MAX_WORD)


def _text(value: Any) -> str:
    return printable(str(value), 400)
