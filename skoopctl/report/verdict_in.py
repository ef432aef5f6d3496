"""A diagnosis' verdict in one sentence, in any language that has a table for it; English is `words`."""

from __future__ import annotations

from skoopctl.checks.diagnosis import Diagnosis, Endpoint
from skoopctl.dataplane.trace import Branch, Disposition, Outcome, PathResult, Step, Verdict, Walk
from skoopctl.report.messages import Messages
from skoopctl.report.words import (
    GOOD,
    chosen,
    deciding_evidence,
    deciding_walk,
    fate,
    rule_place,
    settled,
    share,
    verdict_sentence,
)


def verdict_in(diagnosis: Diagnosis, words: Messages) -> str:
    """Return the answer in words, without the verdict's own word, as `words.verdict_sentence` does in English."""
    if words.lang == "en":
        return verdict_sentence(diagnosis)
    path = diagnosis.path
    branch = settled(path.representative, path)
    ends = _ends(diagnosis, words)
    if path.verdict is Verdict.PASS:
        return _success(ends, branch, words)
    if path.verdict is Verdict.UNKNOWN:
        reasons = path.unknowns or branch.unknowns or (_said(words, "unknown_reason"),)
        key = "unknown_more" if len(reasons) > 1 else "unknown"
        return _said(words, key, ends=ends, reason=words.sentence(reasons[0]), more=len(reasons) - 1)
    if path.verdict is Verdict.MIXED:
        shares = sorted(path.outcomes().items(), key=lambda entry: (-entry[1], entry[0]))
        parts = _said(words, "between").join(
            _said(words, "share", share=share(weight), outcome=words.word("outcome", outcome.value))
            for outcome, weight in shares
        )
        choice = words.sentence(chosen(branch))
        what = _fate_of(branch, "", words)
        seen = _seen(branch, words)
        return _said(words, "mixed", ends=ends, parts=parts, choice=choice, what=what, seen=seen)
    return _said(words, "fail", what=_fate_of(branch, ends, words), seen=_seen(branch, words))


def label_in(end: Endpoint, words: Messages) -> str:
    """Return an end's name with its address."""
    if words.lang == "en" or not end.name:
        return end.label
    return _said(words, "label", kind=words.word("kind", end.kind), name=end.name, address=end.address)


def fate_in(walk: Walk, words: Messages) -> str:
    """Return what became of a packet, as `words.fate` does in English."""
    if words.lang == "en":
        return fate(walk)
    step = walk.last
    by = deciding_evidence(step)
    names = {
        "by": f" {words.sentence(rule_place(by))}" if by else "",
        "because": _said(words, "because", decision=words.sentence(step.decision))
        if step.decision and not by
        else "",
        "place": _place(step, words),
        "outer": _said(words, "outer") if step.depth and by else "",
        "decision": words.sentence(step.decision or step.unknown) or _said(words, "no_reason"),
    }
    return words.text(f"fate.{walk.disposition.value}", **names)


def chosen_in(branch: Branch, words: Messages) -> str:
    """Return what tells a branch from the others, as `words.chosen` does in English."""
    return words.sentence(chosen(branch))


def share_in(branch: Branch, path: PathResult, words: Messages) -> str:
    """Return a branch's share, or that it is not known, as `words.share_of` does in English."""
    return words.text("say.not_known") if branch.unknowns and path.unknowns else share(branch.weight)


def _said(words: Messages, key: str, **names: object) -> str:
    return words.text(f"verdict_said.{key}", **names)


def _ends(diagnosis: Diagnosis, words: Messages) -> str:
    flow = diagnosis.path.flow
    return _said(
        words,
        "ends",
        source=label_in(diagnosis.source, words),
        destination=label_in(diagnosis.destination, words),
        protocol=f"{flow.protocol}/{flow.port}" if flow.port else flow.protocol,
    )


def _success(ends: str, branch: Branch, words: Messages) -> str:
    label = words.sentence(branch.forward.label)
    if branch.forward.disposition is Disposition.EXITS_CLUSTER:
        return _said(words, "exits", ends=ends, label=label)
    if branch.reply is None:
        return _said(words, "pass", ends=ends, label=label)
    return _said(words, "pass_back", ends=ends, label=label, reply=words.sentence(branch.reply.label))


def _fate_of(branch: Branch, ends: str, words: Messages) -> str:
    walk = deciding_walk(branch)
    answers = walk is not branch.forward and walk.disposition is not Disposition.MTU
    key = ("answer" if answers else "packet") + ("" if ends else "_bare")
    label, first = words.sentence(walk.label), words.sentence(branch.forward.label)
    about = _said(words, key, ends=ends, label=label, first=first)
    last = branch.walks[-1]
    became = fate_in(walk, words)
    if last is not walk and last.disposition not in GOOD:
        then = fate_in(last, words)
        return _said(
            words, "fate_then", about=about, fate=became, label=words.sentence(last.label), then=then
        )
    return _said(words, "fate_silent" if walk.disposition in GOOD else "fate", about=about, fate=became)


def _seen(branch: Branch, words: Messages) -> str:
    if branch.disposition is Disposition.MTU and branch.outcome is Outcome.CONNECTED:
        return _said(words, "stalls")
    return words.text(f"seen.{branch.outcome.value}")


def _place(step: Step, words: Messages) -> str:
    node = step.node or "?"
    if step.namespace in ("", "host"):
        return _said(words, "on_node", node=node)
    return _said(words, "in_namespace", node=node, namespace=step.namespace)
