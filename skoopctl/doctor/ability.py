"""What would work on a node, by the checks that it stands on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from skoopctl.doctor.catalogue import CHECKS
from skoopctl.doctor.check import Judgement, Level


class Answer(StrEnum):
    """Whether something would work."""

    YES = "yes"
    PARTLY = "partly"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Ability:
    """Something that skoopctl does, and the ids of the checks that decide whether it would work."""

    id: str
    title: str
    checks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Prospect:
    """Whether an ability would work on one node; ``because`` names the checks that stand in its way."""

    ability: Ability
    answer: Answer
    because: tuple[str, ...]


_ASKED = ("reach", "host-key", "login", "python", "answer")

ABILITIES = (
    Ability(
        "diagnose",
        "diagnose",
        (*_ASKED, "root", "namespaces", "netlink", "iptables", "nft", "module-guard", "memory"),
    ),
    Ability("metrics", "metrics", (*_ASKED, "root", "namespaces", "netlink", "memory")),
    Ability(
        "ebpf",
        "eBPF probes",
        (*_ASKED, "root", "architecture", "btf", "lockdown", "bpf-unprivileged", "perf", "tracefs", "ebpf"),
    ),
)

_WORST = ((Level.MISSING, Answer.NO), (Level.UNKNOWN, Answer.UNKNOWN), (Level.DEGRADED, Answer.PARTLY))


def prospects(rows: Mapping[str, Judgement]) -> tuple[Prospect, ...]:
    """Return what would work, from the judgement of every check."""
    return tuple(_prospect(ability, rows) for ability in ABILITIES)


def _prospect(ability: Ability, rows: Mapping[str, Judgement]) -> Prospect:
    order = [name for name in CHECKS if name in ability.checks]
    for level, answer in _WORST:
        because = tuple(name for name in order if rows[name].level is level)
        if because:
            return Prospect(ability, answer, because)
    return Prospect(ability, Answer.YES, ())
