"""What each of the kernel's reasons means: in one sentence, what usually causes it, what to look at, how bad it is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from skoopctl.bpf.calls import NO_REASON, RUNNERS
from skoopctl.checks.finding import Severity
from skoopctl.events.drop_reasons import DROP_ROWS, SUBSYSTEMS, Row
from skoopctl.events.reset_reasons import RESET_ROWS
from skoopctl.events.subjects import Subject


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason. ``subject`` is None for those of resets; ``noise`` happens where all is well."""

    name: str
    means: str
    cause: str
    look: tuple[str, ...]
    severity: Severity
    subject: Subject | None = None
    noise: bool = False
    known: bool = True
    """Whether it is one of the tables; what follows from an unknown one is not more than its name."""


_RESET_LOOK = ("ss -tanp", "nstat -az TcpOutRsts TcpEstabResets")
_OF_SUBSYSTEM = re.compile(r"\d+ of subsystem (\d+)")
_PREFIXES = {"OVS_": 2, "RX_DROP_U_": 1, "RX_DROP_M_": 1}
"""Of reasons whose names the kernel's types tell: net/openvswitch/drop.h, net/mac80211/drop.h."""


def _drop(subject: Subject, row: Row) -> Reason:
    name, means, *more = row
    about = subject.value
    special = more[0] if more else False
    severity = special if isinstance(special, Severity) else about.severity
    return Reason(name, means, about.cause, about.look, severity, subject, noise=special is True)


DROP_REASONS = {row[0]: _drop(subject, row) for subject, rows in DROP_ROWS.items() for row in rows}
"""``enum skb_drop_reason`` by its names without prefix, those of older kernels too."""
RESET_REASONS = {
    name: Reason(name, means, cause, _RESET_LOOK, severity) for name, means, cause, severity in RESET_ROWS
}
"""``enum sk_rst_reason``, in the same way."""


RULES_DROPPED = "NETFILTER_DROP"


def told_reason(reason: str, function: str, hook: str = "") -> str:
    """Return a drop's reason; kernels before 5.17 tell none, and what rules have dropped is known by its place."""
    return RULES_DROPPED if reason in NO_REASON and (hook or function in RUNNERS) else reason


@lru_cache(maxsize=1024)
def drop_reason(name: str) -> Reason:
    """Return what a reason for a drop means; one that is in no table says that it is not known."""
    return DROP_REASONS.get(name) or _unknown_drop(name)


@lru_cache(maxsize=1024)
def reset_reason(name: str) -> Reason:
    """Return what a reason for a reset means; one that is in no table says that it is not known."""
    known = RESET_REASONS.get(name)
    if known is not None:
        return known
    means = f"the kernel says {name}, which skoopctl does not know" if name else "the kernel tells no reason"
    return Reason(name, means, "it can be any", _RESET_LOOK, Severity.INFO, known=False)


def _unknown_drop(name: str) -> Reason:
    about = Subject.UNSAID.value
    means = f"the kernel says {name}, which skoopctl does not know" if name else "the kernel tells no reason"
    return Reason(
        name,
        _of_subsystem(name) or means,
        about.cause,
        about.look,
        about.severity,
        Subject.UNSAID,
        known=False,
    )


def _of_subsystem(name: str) -> str:
    """Return what a reason means that a part of the kernel has for itself; empty for the core's."""
    numbered = _OF_SUBSYSTEM.fullmatch(name)
    number = (
        int(numbered[1]) if numbered else next((n for p, n in _PREFIXES.items() if name.startswith(p)), 0)
    )
    if number in SUBSYSTEMS:
        return f"{SUBSYSTEMS[number]}: {name}"
    return f"a part of the kernel dropped it for a reason of its own: {name}" if numbered else ""
