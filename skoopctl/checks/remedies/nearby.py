"""Whatever is near: single edits of what the packets met, for causes that have no remedy of their own."""

from __future__ import annotations

from collections.abc import Iterable

from skoopctl.checks.cause import Cause
from skoopctl.checks.remedies.registry import Remedy, family_of
from skoopctl.checks.remedies.routes import without_policy_rule, without_route
from skoopctl.checks.remedies.rules import without_rule
from skoopctl.checks.snapshot import Snapshot
from skoopctl.dataplane.trace import Branch

_WITHOUT_TABLES = frozenset({"iptables-rule", "nft-rule"})


def nearby(_cause: Cause, branch: Branch, _snapshot: Snapshot) -> Iterable[Remedy]:
    """Take away, one at a time, the rules and routes that the packets met, the last step first."""
    for walked in reversed(branch.walks):
        for step in reversed(walked.steps):
            for item in reversed(step.evidence):
                key = (item.node, item.netns)
                if item.kind in _WITHOUT_TABLES:
                    yield from without_rule(item, key, family_of(step))
                elif item.kind == "policy-rule":
                    yield without_policy_rule(item)
                elif (
                    item.kind == "route" and item.location == "table main" and "proto kernel" not in item.text
                ):
                    yield without_route(item)
