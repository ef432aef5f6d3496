"""The front door of the analysis: a question and a snapshot in, a `Diagnosis` out. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from skoopctl import __version__
from skoopctl.checks import stale  # noqa: F401 - it registers its remedy
from skoopctl.checks.catalogue import DOCS
from skoopctl.checks.cause import Cause, cause_of, finding_of
from skoopctl.checks.diagnosis import Diagnosis
from skoopctl.checks.finding import Finding, Severity, Where
from skoopctl.checks.integrity import integrity_findings
from skoopctl.checks.mtu import mtu_findings
from skoopctl.checks.remedy import fix_for
from skoopctl.checks.snapshot import Snapshot
from skoopctl.checks.target import Target, resolve
from skoopctl.dataplane.path import walk
from skoopctl.dataplane.topology import NsKey
from skoopctl.dataplane.trace import Branch, Flow, PathResult, Verdict
from skoopctl.errors import TargetError

PROTOCOLS = ("tcp", "udp", "sctp", "icmp")
_ICMPV6_NAMES = frozenset({"icmp6", "icmpv6", "ipv6-icmp"})


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: SRC and DST as typed, protocol, and a port (0: what the destination implies)."""

    source: str
    destination: str
    protocol: str = "tcp"
    port: int = 0


@dataclass(frozen=True, slots=True)
class Walked:
    """A question with its ends and the path between them, before anybody has said what it means."""

    source: Target
    destination: Target
    path: PathResult


def diagnose(question: Question, snapshot: Snapshot) -> Diagnosis:
    """Answer one question. Raises `TargetError` when an end means nothing, or no port is known."""
    return explain(walk_between(question, snapshot), snapshot)


def walk_between(question: Question, snapshot: Snapshot) -> Walked:
    """Find the ends of a question and walk between them. Raises `TargetError` as `diagnose` does."""
    source, destination = _ends(question, snapshot)
    flow = _flow(question, source, destination)
    path = walk(snapshot.network, flow, source.client)
    return Walked(source, destination, _with_source_note(path, source))


def explain(walked: Walked, snapshot: Snapshot) -> Diagnosis:
    """Find out what a path means: its causes, with fixes that were tried, and what else is wrong on it."""
    source, destination, path = walked.source, walked.destination, walked.path
    findings = [
        *_causes(path, source.client, snapshot),
        *integrity_findings(path, snapshot),
        *mtu_findings(path),
    ]
    return Diagnosis(
        source=source.endpoint,
        destination=destination.endpoint,
        path=path,
        findings=tuple(sorted(findings, key=_rank)),
        coverage=snapshot.coverage,
        detected=snapshot.detected,
        collected_at=snapshot.collected_at,
        tool_version=__version__,
    )


def _ends(question: Question, snapshot: Snapshot) -> tuple[Target, Target]:
    """Resolve both ends to addresses of one family, where their names leave a choice."""
    family = 6 if question.protocol.lower() in _ICMPV6_NAMES else 0
    source = resolve(question.source, snapshot, family)
    destination = resolve(question.destination, snapshot, family)
    if _version(source) != _version(destination):
        other = resolve(question.destination, snapshot, _version(source))
        if _version(other) == _version(source):
            return source, other
        source = resolve(question.source, snapshot, _version(destination))
    return source, destination


def _version(target: Target) -> int:
    return 6 if ":" in target.endpoint.address else 4


def _flow(question: Question, source: Target, destination: Target) -> Flow:
    protocol = question.protocol.lower()
    if protocol in _ICMPV6_NAMES:
        if ":" not in destination.endpoint.address:
            raise TargetError(
                f"{question.protocol} is of IPv6, and {destination.endpoint.address} is not",
                hint="use icmp, which means the address's own",
            )
        protocol = "icmp"
    if protocol not in PROTOCOLS:
        raise TargetError(
            f"protocol {question.protocol!r} is not known", hint=f"use one of {', '.join(PROTOCOLS)}"
        )
    if protocol == "icmp":
        return Flow(source.endpoint.address, destination.endpoint.address, "icmp", 0)
    port = question.port or destination.port
    if not 0 < port < 65536:
        given = f"port {question.port} is not" if question.port else "no port is given: it must be"
        raise TargetError(f"{given} a number from 1 to 65535", hint="give one with -p")
    return Flow(source.endpoint.address, destination.endpoint.address, protocol, port)


def _with_source_note(path: PathResult, source: Target) -> PathResult:
    """Say so when the kernel would send from another address than the one that was asked for."""
    first = path.representative.forward.steps[0] if path.representative.forward.steps else None
    used = first.after.source if first is not None and first.after is not None else ""
    if source.client is None or not used or used in {source.endpoint.address, "0.0.0.0", "::"}:  # noqa: S104
        return path
    note = (
        f"a program on {source.endpoint.node or source.endpoint.address} that does not bind sends from {used}"
    )
    return replace(path, assumptions=(*path.assumptions, note))


_RARE = 0.005
"""A share of connections that is not worth waking anybody for: a port or two of a client's range."""


def _rank(finding: Finding) -> tuple[bool, int, str]:
    return (not finding.cause, -finding.severity, finding.id)


# --- causes --------------------------------------------------------------------------------------------------


def _causes(path: PathResult, client: NsKey | None, snapshot: Snapshot) -> Iterable[Finding]:
    """Yield one finding for each different cause among the branches that fail, the heaviest first."""
    if path.verdict is Verdict.PASS:
        return
    groups: dict[object, tuple[Cause, Branch, float]] = {}
    for branch in path.branches:
        if branch.works:
            continue
        cause = cause_of(branch, snapshot)
        key = (cause.id, cause.step.node, cause.step.netns, cause.evidence[-1:])
        known = groups.get(key)
        groups[key] = (cause, branch, branch.weight + (known[2] if known else 0.0))
    ranked = sorted(groups.values(), key=lambda group: -group[2])
    for cause, branch, weight in ranked:
        finding = finding_of(cause, is_cause=True)
        if path.verdict is Verdict.UNKNOWN:
            finding = replace(finding, severity=min(finding.severity, Severity.WARNING))
        elif path.verdict is Verdict.MIXED:
            part = f"{weight:.0%}" if weight >= _RARE else "less than 1%"
            share = f" ({part} of connections: {_ways(path, branch)})"
            severity = Severity.CRITICAL if weight >= _RARE else Severity.WARNING
            finding = replace(finding, summary=finding.summary + share, severity=severity)
        fix = fix_for(cause, branch, path.flow, client, snapshot, path)
        if path.verdict is Verdict.UNKNOWN and fix is not None and not fix.checked:
            fix = None
        yield replace(finding, fix=fix)
    if path.verdict is Verdict.UNKNOWN and not groups:
        yield _undecided(path)


def _ways(path: PathResult, branch: Branch) -> str:
    failing = [b for b in path.branches if not b.works]
    names = list(dict.fromkeys(b.choices[-1] for b in failing if b.choices))
    return ", ".join(names[:3]) or (branch.choices[-1] if branch.choices else "some of the ways")


def _undecided(path: PathResult) -> Finding:
    doc = DOCS["not-decided"]
    summary = path.unknowns[0] if path.unknowns else doc.title
    return Finding(doc.id, doc.severity, Where(), summary, why=doc.why, cause=True)
