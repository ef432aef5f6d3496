"""The sentences that every report shares: the verdict, a packet, a rule's place, a share."""

from __future__ import annotations

import re
from dataclasses import replace

from skoopctl.checks.diagnosis import Diagnosis
from skoopctl.dataplane.trace import (
    Branch,
    Disposition,
    Evidence,
    Flow,
    Outcome,
    PacketView,
    PathResult,
    Step,
    StepKind,
    Verdict,
    Walk,
)

_RULE = re.compile(r"(?P<table>.+) (?P<chain>\S+) rule (?P<number>\d+)(?: \((?P<backend>\w+)\))?")
_POLICY = re.compile(r"(?P<table>.+) (?P<chain>\S+) policy")
_DECIDING = ("iptables-rule", "nft-rule", "iptables-policy", "nft-policy")
GOOD = frozenset({Disposition.DELIVERED, Disposition.EXITS_CLUSTER})

FATES = {
    Disposition.DELIVERED: "is delivered{place}",
    Disposition.REFUSED: "is refused{place}: {decision}",
    Disposition.REJECTED: "is rejected{by}{place}{because}",
    Disposition.DROPPED: "is dropped{by}{place}{because}",
    Disposition.NO_ROUTE: "finds no route{place}: {decision}",
    Disposition.BLACKHOLE: "is swallowed by a route{place}: {decision}",
    Disposition.HOST_UNREACHABLE: "finds no neighbour{place}: {decision}",
    Disposition.RP_FILTER: "is dropped by reverse path filtering{place}: {decision}",
    Disposition.MTU: "is too big for the MTU{place}: {decision}",
    Disposition.LOOP: "goes round in a loop{place}: {decision}",
    Disposition.EXITS_CLUSTER: "leaves the cluster{place}",
    Disposition.OPAQUE: "enters something that cannot be read{place}: {decision}",
    Disposition.UNKNOWN: "cannot be followed{place}: {decision}",
}
SEEN = {
    Outcome.CONNECTED: "The client gets its connection.",
    Outcome.REFUSED: "The client sees its connection refused.",
    Outcome.TIMEOUT: "The client sees a timeout.",
    Outcome.UNREACHABLE: "The client sees that the destination is unreachable.",
    Outcome.UNKNOWN: "What the client sees is not known.",
}


def verdict_sentence(diagnosis: Diagnosis) -> str:
    """Return the answer in words, without the verdict's own word: where the packet dies, and of what."""
    path = diagnosis.path
    ends = f"from {diagnosis.source.label} to {diagnosis.destination.label}{_port(path.flow)}"
    branch = settled(path.representative, path)
    if path.verdict is Verdict.PASS:
        return _success(ends, branch)
    if path.verdict is Verdict.UNKNOWN:
        reasons = path.unknowns or branch.unknowns or ("the path could not be followed to its end",)
        more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        return f"Whether a connection {ends} works cannot be said: {reasons[0]}{more}."
    what = f"{_fate_of(branch, ends if path.verdict is Verdict.FAIL else '')}. {_seen(branch)}"
    if path.verdict is Verdict.MIXED:
        shares = sorted(path.outcomes().items(), key=lambda item: (-item[1], item[0]))
        parts = ", ".join(f"{share(weight)} {outcome.value}" for outcome, weight in shares)
        lead = f"Connections {ends} come out differently: {parts}. With {chosen(branch)}, "
        return lead + what[0].lower() + what[1:]
    return what


def _seen(branch: Branch) -> str:
    if branch.disposition is Disposition.MTU and branch.outcome is Outcome.CONNECTED:
        return "The client gets its connection, and then it stalls."
    return SEEN[branch.outcome]


def _success(ends: str, branch: Branch) -> str:
    if branch.forward.disposition is Disposition.EXITS_CLUSTER:
        return f"The {branch.forward.label} {ends} leaves the cluster; what is outside is not seen."
    back = f", and the {branch.reply.label} comes back" if branch.reply else ""
    return f"The {branch.forward.label} {ends} arrives{back}."


def _fate_of(branch: Branch, ends: str) -> str:
    walk = deciding_walk(branch)
    about = f"{walk.label} {ends}".strip()
    if walk is not branch.forward and walk.disposition is not Disposition.MTU:
        about = f"{walk.label} that answers the {branch.forward.label} {ends}".strip()
    last = branch.walks[-1]
    more = ""
    if last is not walk and last.disposition not in GOOD:
        more = f"; the {last.label} that says so {fate(last)}"
    elif walk.disposition in GOOD:
        more = ", and the client gets no answer"
    return f"The {about} {fate(walk)}{more}"


def deciding_walk(branch: Branch) -> Walk:
    """Return the first packet of a branch that does not arrive, or the one that decided it."""
    for walk in branch.walks:
        if walk.disposition not in GOOD:
            return walk
    return branch.fatal_walk


def fate(walk: Walk) -> str:
    """Return what became of a packet: ``is dropped by rule 1 of INPUT (filter) on node1-c4``."""
    step = walk.last
    by = deciding_evidence(step)
    words = {
        "by": f" by {rule_place(by)}" if by else "",
        "because": f": {step.decision}" if step.decision and not by else "",
        "place": place(step) if not (step.depth and by) else f"{place(step)}, as the tunnel's outer packet",
        "decision": step.decision or step.unknown or "no reason is known",
    }
    return FATES[walk.disposition].format(**words).rstrip(".")


def settled(branch: Branch, path: PathResult) -> Branch:
    """Return the branch as it is to be shown: with its last packet ending as the branch does.

    An answer may reach somebody who never asked: its own way ends well, and the client sees a timeout. And
    where the verdict is UNKNOWN, an end that follows only if an undecided rule matches is not known either.
    """
    if path.verdict is Verdict.UNKNOWN and branch.unknowns:
        walk = deciding_walk(branch)
        if walk.disposition in GOOD or any(step.unknown for step in walk.steps):
            return branch
        return _with_end(branch, walk, _doubtful(walk.last, branch))
    last = branch.walks[-1]
    arrived = all(walk.disposition in GOOD for walk in branch.walks)
    if not arrived or branch.disposition in GOOD or branch.works or branch.outcome is Outcome.UNKNOWN:
        return branch
    decision = f"{last.last.decision}, which is not where it was awaited"
    return _with_end(branch, last, replace(last.last, ends=branch.disposition, decision=decision))


def _doubtful(step: Step, branch: Branch) -> Step:
    return replace(step, unknown="; ".join(branch.unknowns), decision=f"perhaps {step.decision}")


def _with_end(branch: Branch, walk: Walk, end: Step) -> Branch:
    changed = Walk(walk.label, (*walk.steps[:-1], end), end.ends or walk.disposition)
    if walk is branch.forward:
        return replace(branch, forward=changed)
    if walk is branch.reply:
        return replace(branch, reply=changed)
    return replace(branch, others=tuple(changed if other is walk else other for other in branch.others))


def share_of(branch: Branch, path: PathResult) -> str:
    """Return a branch's share, or that it is not known: behind an unknown that matters it says nothing."""
    return "not known" if branch.unknowns and path.unknowns else share(branch.weight)


def deciding_evidence(step: Step) -> Evidence | None:
    """Return the rule or policy that decided a step, if one did: the last that the packet met."""
    for item in reversed(step.evidence):
        if item.kind in _DECIDING:
            return item
    return None


def rule_place(evidence: Evidence) -> str:
    """Return where a rule stands, in words: ``rule 1 of INPUT (filter)``."""
    if match := _RULE.fullmatch(evidence.location):
        backend = f", {match['backend']}" if match["backend"] else ""
        return f"rule {match['number']} of {match['chain']} ({match['table']}{backend})"
    if match := _POLICY.fullmatch(evidence.location):
        return f"the policy of {match['chain']} ({match['table']})"
    return evidence.location or evidence.kind


def place(step: Step) -> str:
    """Return where a step happens, in words that follow a verb: `` on node1-c4``."""
    node = f" on {step.node}" if step.node else ""
    if step.namespace in ("", "host"):
        return node
    return f" in {step.namespace}{node}"


def counter(evidence: Evidence) -> str:
    """Return a rule's counter in words, or nothing."""
    if evidence.packets is None:
        return ""
    return "1 packet" if evidence.packets == 1 else f"{evidence.packets:,} packets"


def header(view: PacketView) -> str:
    """Return a packet's header in one line."""
    source = _end(view.source, view.source_port)
    return f"{source} → {_end(view.destination, view.destination_port)} {view.protocol}"


def _end(address: str, port: str) -> str:
    if not port or port == "0":
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _port(flow: Flow) -> str:
    return f" {flow.protocol}/{flow.port}" if flow.port else f" {flow.protocol}"


def share(weight: float) -> str:
    """Return a weight as a percentage."""
    if 0 < weight < 0.005:
        return "<1%"
    if 0.995 <= weight < 1:
        return ">99%"
    return f"{weight * 100:.0f}%"


def chosen(branch: Branch) -> str:
    """Return what tells a branch from the others, in words: its choices, its address, or its end."""
    if branch.choices:
        return ", ".join(branch.choices)
    for step in branch.forward.steps:
        if step.kind is StepKind.NAT and step.after is not None:
            return f"to {_end(step.after.destination, step.after.destination_port)}"
    if branch.works:
        return "every packet arrives"
    walk = deciding_walk(branch)
    return f"the {walk.label} {fate(walk)}"


def ended(step: Step) -> str:
    """Return how a way ended and why, its disposition in capitals: ``DROPPED by filter INPUT rule 1``."""
    word = step.ends.value if step.ends else ""
    if step.decision.upper().startswith(word):
        return word + step.decision[len(word) :]
    return f"{word}: {step.decision}" if step.decision else word


def overview(diagnosis: Diagnosis) -> str:
    """Return what was seen and what it was found to be, in one line: every report opens with it."""
    found = diagnosis.detected
    underlay = f" over {', '.join(found.underlay_interfaces)}" if found.underlay_interfaces else ""
    parts = [
        diagnosis.coverage.sentence(),
        f"API {diagnosis.coverage.api}",
        f"{found.network_plugin}{underlay}" if found.network_plugin else "",
        f"kube-proxy {found.proxy_mode}" if found.proxy_mode else "",
        f"iptables-{found.backend}" if found.backend in ("nft", "legacy") else found.backend,
        diagnosis.collected_at,
    ]
    return " · ".join(part for part in parts if part)
