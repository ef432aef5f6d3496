"""Was it the blamed rule? Its counter must rise with the flow, and the kernel's drop reason must fit."""

from __future__ import annotations

from dataclasses import dataclass

from skoopctl.dataplane.trace import Disposition, Evidence, Outcome, StepKind
from skoopctl.kernel.iptables import Backend
from skoopctl.kernel.netns import Host, NetNamespace
from tests.kernel.predict import COUNTED, Prediction, blamed, collect
from tests.kernel.traffic import Heard, try_flows

ALONE_S = 0.7
NETFILTER = "NETFILTER_DROP"
REASONS: dict[str, frozenset[str]] = {
    "rp-filter": frozenset({"IP_RPFILTER"}),
    "own-source": frozenset({"IP_RPFILTER", "IP_LOCAL_SOURCE", "IP_LOCALNET"}),
    "martian": frozenset({"IP_LOCALNET", "IP_LOCAL_SOURCE", "IP_INVALID_SOURCE", "IP_INVALID_DEST"}),
    "netfilter": frozenset({NETFILTER}),
    "no-socket": frozenset({"NO_SOCKET"}),
}
"""What the end of a walk is called here, and the reasons of the kernel that fit it (net/dropreason-core.h)."""
_TELLING = frozenset({"IP_RPFILTER", NETFILTER, "IP_LOCAL_SOURCE", "IP_LOCALNET"})


def packets_of(host: Host, evidence: Evidence) -> int | None:
    """Return the packet counter of the rule that a piece of evidence shows; None for a rule without one."""
    netns = host.namespaces.get(evidence.netns)
    if netns is None:
        return None
    # An nft rule's text holds its counter; its handle says which it is. Of iptables' two families only the text.
    same = evidence.text if evidence.kind == "iptables-rule" else ""
    wanted = (evidence.location, same)
    counters = [n for location, text, n in _rules(netns) if (location, text if same else "") == wanted]
    found = [n for n in counters if n is not None]
    return sum(found) if found else None


def _rules(netns: NetNamespace) -> list[tuple[str, str, int | None]]:
    rows: list[tuple[str, str, int | None]] = []
    for table in netns.iptables:
        suffix = " (legacy)" if table.backend is Backend.LEGACY else ""
        for chain in table.chains.values():
            for rule in chain.rules:
                location = f"{rule.table} {rule.chain} rule {rule.number}{suffix}"
                rows.append((location, rule.text, rule.packets))
    for nft in netns.nft:
        for nft_chain in nft.chains.values():
            for each in nft_chain.rules:
                location = (
                    f"{each.family} {each.table} {each.chain} rule {each.number} (handle {each.handle})"
                )
                rows.append((location, "", each.counter.packets if each.counter else None))
    return rows


@dataclass(frozen=True, slots=True)
class Decided:
    """What a closer look at one flow showed. ``wrong`` says in words what does not fit, or is empty."""

    rule_checked: bool = False
    reason_checked: bool = False
    wrong: str = ""


def look_closer(prediction: Prediction) -> Decided:
    """Send one flow alone, with the counters before and after, and compare rule and drop reason."""
    rule, expected = blamed(prediction), _expected(prediction)
    before = packets_of(collect(COUNTED), rule) if rule is not None else None
    _, reasons = try_flows([prediction.flow], ALONE_S)
    wrong = ""
    if rule is not None and before is not None:
        after = packets_of(collect(COUNTED), rule)
        if after is None or after <= before:
            wrong = f"the counter of {rule.location} ({rule.text}) stays at {before}"
    telling = _TELLING & set(reasons)
    if expected and telling and not (expected & set(reasons)):
        wrong = (
            wrong
            or f"the kernel's drop reason is {', '.join(sorted(telling))}, expected {', '.join(expected)}"
        )
    return Decided(before is not None, bool(expected & set(reasons)), wrong)


def _expected(prediction: Prediction) -> frozenset[str]:
    """Return the drop reasons that fit how the flow is predicted to end; none when the kernel may say many."""
    branch = prediction.single
    if branch is None or branch.outcome is Outcome.CONNECTED:
        return frozenset()
    last = branch.fatal_walk.last
    if last.ends is Disposition.REFUSED and prediction.flow.protocol == "tcp":
        return REASONS["no-socket"]
    if last.evidence and last.evidence[-1].kind in {
        "iptables-rule",
        "iptables-policy",
        "nft-rule",
        "nft-policy",
    }:
        return (
            REASONS["netfilter"] if last.ends in {Disposition.DROPPED, Disposition.REJECTED} else frozenset()
        )
    if last.cause == "martian" and all(step.kind is not StepKind.RECEIVE for step in branch.fatal_walk.steps):
        return frozenset()  # it was not received: a lookup on the way out failed, and who asked drops it
    return REASONS.get(last.cause, frozenset())


def unmoved(before: Host, after: Host, predictions: list[tuple[Prediction, Heard]]) -> dict[int, str]:
    """Return the flows, by place in the list, whose blamed rule counted nothing while all of them were tried."""
    found = {}
    for n, (prediction, _) in enumerate(predictions):
        rule = blamed(prediction)
        if rule is None:
            continue
        first, then = packets_of(before, rule), packets_of(after, rule)
        if first is not None and (then is None or then <= first):
            found[n] = f"the counter of {rule.location} ({rule.text}) stays at {first}"
    return found
