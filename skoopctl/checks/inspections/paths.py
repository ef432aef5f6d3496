"""Many paths at once: each is walked, and what breaks several of them is one finding that counts them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from skoopctl.checks.cause import cause_of
from skoopctl.checks.diagnose import Question, Walked, explain, walk_between
from skoopctl.checks.finding import Finding
from skoopctl.checks.inspections.registry import Inspected, Noted
from skoopctl.checks.snapshot import Snapshot
from skoopctl.cluster.cluster import IdentityKind
from skoopctl.dataplane.trace import Verdict
from skoopctl.errors import TargetError

MOST_NAMED = 5
"""So many of the paths that a finding breaks are named; the others are counted."""


@dataclass(slots=True)
class _Group:
    """The paths that one cause breaks; the first is explained for all."""

    first: Walked
    names: list[str] = field(default_factory=list)


def name_of(question: Question, snapshot: Snapshot) -> str:
    """Write a path for people: with the names of its ends, where they are known."""
    port = f"/{question.port}" if question.port else ""
    ends = (_end(text, snapshot) for text in (question.source, question.destination))
    return f"{' -> '.join(ends)} {question.protocol}{port}"


def _end(text: str, snapshot: Snapshot) -> str:
    identity = snapshot.cluster.whois(text)
    if identity is not None and identity.kind in {IdentityKind.POD, IdentityKind.SERVICE}:
        return str(identity)
    owner = snapshot.owner(text)
    name = snapshot.labels.get(owner, "") if owner is not None else ""
    return f"pod {name}" if name else text


def broken_paths(inspected: Inspected, questions: Iterable[Question], what: str) -> Iterator[Noted]:
    """Walk all paths; yield one finding for each different cause, with the paths that it breaks."""
    snapshot = inspected.snapshot
    groups: dict[object, _Group] = {}
    asked = walked_paths = 0
    for question in questions:
        asked += 1
        try:
            walked = walk_between(question, snapshot)
        except TargetError:
            continue
        walked_paths += 1
        if walked.path.verdict is not Verdict.PASS:
            key = cause_key(walked, snapshot)
            groups.setdefault(key, _Group(walked)).names.append(name_of(question, snapshot))
    inspected.count(what, walked_paths, asked)
    for group in groups.values():
        finding = cause_finding(group.first, snapshot)
        if finding is not None:
            yield Noted(finding, tuple(group.names[:MOST_NAMED]), len(group.names))


def cause_key(walked: Walked, snapshot: Snapshot) -> object:
    """Return what paths that break for one reason have in common."""
    failing = next((branch for branch in walked.path.branches if not branch.works), None)
    if failing is None:
        return walked.path.verdict, walked.path.unknowns[:1]
    cause = cause_of(failing, snapshot)
    shown = tuple((e.kind, e.location, e.text) for e in cause.evidence[-1:])
    return walked.path.verdict, cause.id, cause.step.node, shown or cause.step.netns


def cause_finding(walked: Walked, snapshot: Snapshot) -> Finding | None:
    """Return the finding that explains why a path does not work, with its fix."""
    return next((f for f in explain(walked, snapshot).findings if f.cause), None)
