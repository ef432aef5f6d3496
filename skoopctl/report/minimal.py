"""A diagnosis in as few lines as it has packets: the same for the same network, so that it can be compared.

No counters, no times, no addresses of processes: what changes here has changed in the network.
"""

from __future__ import annotations

from collections.abc import Iterator

from skoopctl.checks.diagnosis import Diagnosis
from skoopctl.dataplane.proof import Reason
from skoopctl.dataplane.trace import Branch, Outcome, Step, StepKind, Verdict, Walk
from skoopctl.report.escape import escape_terminal
from skoopctl.report.terminal import Line, Span, line
from skoopctl.report.words import ended, rule_place, share_of

_STYLES = {Verdict.PASS: "good", Verdict.FAIL: "bad"}


def minimal_lines(diagnosis: Diagnosis) -> Iterator[Line]:
    """Yield the verdict, one line for each packet of each branch, and one for each cause and its fix."""
    path = diagnosis.path
    flow = path.flow
    about = f"{flow.protocol} {flow.source} → {flow.destination}" + (
        f" port {flow.port}" if flow.port else ""
    )
    verdict = Span(path.verdict.value, _STYLES.get(path.verdict, "warn"))
    several = len(path.branches) > 1
    seen = path.outcome.value if several else _seen(path.branches[0])
    yield line(verdict, f"  {seen}  {about}")
    for branch in sorted(path.branches, key=lambda each: (each.outcome is Outcome.CONNECTED, -each.weight)):
        if several:
            yield line("  ", f"{share_of(branch, path)} {_seen(branch)}", _by_choice(branch))
        for walked in branch.walks:
            yield line("    " if several else "  ", escape_terminal(packet_line(walked)))
    for finding in diagnosis.findings:
        if finding.cause:
            yield line(
                "  ",
                Span(f"cause {finding.id}", "bold"),
                f" at {finding.where}: ",
                escape_terminal(finding.summary),
            )
            if finding.fix is not None:
                checked = ", checked" if finding.fix.checked else ""
                yield line("  ", f"fix{checked}: ", escape_terminal(finding.fix.summary))
    for condition in path.conditions:
        yield line("  ", escape_terminal(condition))


def _seen(branch: Branch) -> str:
    return f"{branch.outcome.value} ({branch.errno})" if branch.errno else branch.outcome.value


def _by_choice(branch: Branch) -> str:
    return f"  {', '.join(branch.choices)}" if branch.choices else ""


def packet_line(walked: Walk) -> str:
    """Return one packet's way in one line: the places, the translations, and how it ends."""
    words: list[str] = []
    for step in walked.steps:
        place = _place(step)
        if not words or words[-1] != place:
            words.append(place)
        if step.kind is StepKind.NAT:
            words += [f"[{step.decision}]", place]
    tidy = [word for n, word in enumerate(words) if n == 0 or word != words[n - 1]]
    if tidy and tidy[-1] == _place(walked.last) and len(tidy) > 1 and tidy[-2].startswith("["):
        tidy.pop()
    return f"{walked.label}: {' > '.join(tidy)}: {ended(walked.last)}"


def _place(step: Step) -> str:
    tunnel = "(tunnel) " if step.depth else ""
    return f"{tunnel}{step.node}" if step.namespace in {"", "host"} else f"{tunnel}{step.namespace}"


def reason_words(reason: Reason) -> str:
    """Return one step of the proof in one line."""
    step = reason.step
    where = step.node if step.namespace in {"", "host"} else f"{step.namespace} on {step.node}"
    by = "; ".join(
        rule_place(item)
        if item.kind.endswith(("rule", "policy")) and item.kind != "policy-rule"
        else item.text
        for item in reason.evidence
    )
    decision = ended(step) if step.ends else step.decision
    hook = f"{step.hook}: " if step.hook else ""
    return escape_terminal(f"{reason.label} · {where} · {hook}{decision}" + (f" [{by}]" if by else ""))
