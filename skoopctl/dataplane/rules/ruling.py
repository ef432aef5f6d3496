"""What a rule set says about a packet at a hook."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from skoopctl.dataplane.packet import Unreachable


class Action(StrEnum):
    """The verdicts of netfilter, and RETURN, which only chains see.

    STOLEN: the hook's function took the packet and sends it on itself (IPVS).
    """

    ACCEPT = "ACCEPT"
    DROP = "DROP"
    REJECT = "REJECT"
    RETURN = "RETURN"
    STOLEN = "STOLEN"


@dataclass(frozen=True, slots=True)
class Ruling:
    """A verdict. For REJECT, ``error`` is the ICMP type, or None for a TCP reset.

    ``towards`` is the address that a STOLEN packet is routed to, ``tunnelled`` that it is wrapped for it.
    ``cause`` and ``reason`` say why, where no rule did it; ``opaque`` that what happens next is outside of the
    model.
    """

    action: Action
    error: Unreachable | None = None
    towards: int = 0
    tunnelled: bool = False
    cause: str = ""
    reason: str = ""
    opaque: bool = False


ACCEPT = Ruling(Action.ACCEPT)
DROP = Ruling(Action.DROP)
RETURN = Ruling(Action.RETURN)
