"""How large a packet may be that takes a walk's way: the narrow places, in the order in which it meets them.

Sizes are lengths in bytes of the IP packet that the walk is about; inside of a tunnel its overhead is off
already.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from skoopctl.dataplane.packet import Packet
from skoopctl.kernel.link import Link
from skoopctl.kernel.netns import NetNamespace

UNLIMITED = 1 << 30


class TooBig(Enum):
    """What becomes of a larger packet that has DF set, as TCP's have."""

    ERROR = "answered with an ICMP error"
    TOLD = "made known to the sender by the kernel that they share"
    SILENT = "dropped without a word"
    FRAGMENTS = "sent in fragments"
    UNSEEN = "up to hardware that nobody here sees"


@dataclass(frozen=True, slots=True)
class Narrow:
    """A place where packets larger than ``size`` do not pass whole.

    ``packet`` is as it was there, ``step`` how many steps the walk had made; ``words`` say what limits.
    """

    size: int
    too_big: TooBig
    netns: NetNamespace
    link: Link
    packet: Packet
    step: int
    words: str


@dataclass(slots=True)
class Passage:
    """What a walk has learnt about sizes so far.

    ``born`` is the MTU at the sender; ``largest`` what has passed whole until here; ``overhead`` that of the
    tunnels around; ``fragment`` the size of the outer packet's fragments (0: it is whole).
    """

    born: int = 0
    largest: int = UNLIMITED
    overhead: int = 0
    fragment: int = 0
    narrows: list[Narrow] = field(default_factory=list)
