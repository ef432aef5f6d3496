"""What a rule set says about a packet at a hook."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from skoopctl.dataplane.packet import Unreachable


class Action(StrEnum):
    """The verdicts of netfilter, and RETURN, which only chains see."""

    ACCEPT = "ACCEPT"
    DROP = "DROP"
    REJECT = "REJECT"
    RETURN = "RETURN"


@dataclass(frozen=True, slots=True)
class Ruling:
    """A verdict. For REJECT, ``error`` is the ICMP type, or None for a TCP reset."""

    action: Action
    error: Unreachable | None = None


ACCEPT = Ruling(Action.ACCEPT)
DROP = Ruling(Action.DROP)
RETURN = Ruling(Action.RETURN)
