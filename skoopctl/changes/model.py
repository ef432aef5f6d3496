"""What the difference of two collections is made of: changes in places, and what one side could not see."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

CLUSTER = ""
"""The host of a section that holds Kubernetes objects."""


class Sign(StrEnum):
    """What became of one thing on the way from A to B."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    MOVED = "moved"

    @property
    def mark(self) -> str:
        """The character in front of the line."""
        return {Sign.ADDED: "+", Sign.REMOVED: "-"}.get(self, "~")


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. ``place`` is where within the kind it stands (``iptables filter FORWARD``), or ''.

    ``text`` is the thing's line, in B where it is in both; ``before`` is A's line where that differs, and
    ``fields`` then are the (name, in A, in B) that differ, empty where the lines say it all. ``number`` is a
    rule's place in its chain, counted from 1; ``number_before`` is A's for a rule that moved.
    """

    sign: Sign
    kind: str
    text: str
    place: str = ""
    before: str = ""
    fields: tuple[tuple[str, str, str], ...] = ()
    number: int = 0
    number_before: int = 0


@dataclass(frozen=True, slots=True)
class Unseen:
    """A part that one side could not see whole. ``side`` is ``A`` or ``B``; ``part`` a kind of thing.

    ``reason`` is why; ``withheld`` counts things of the other side that therefore cannot be compared.
    """

    side: str
    part: str
    reason: str
    withheld: int = 0


@dataclass(frozen=True, slots=True)
class Section:
    """One namespace of one host (`CLUSTER` for Kubernetes objects) in which something differs or is unseen."""

    host: str
    namespace: str
    changes: tuple[Change, ...] = ()
    unseen: tuple[Unseen, ...] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """The whole difference. ``hosts`` and ``namespaces`` count what was found on both sides and compared.

    ``objects`` tells whether Kubernetes objects were compared; ``collected_a`` and ``collected_b`` are the times.
    """

    sections: tuple[Section, ...]
    hosts: int = 0
    namespaces: int = 0
    objects: bool = False
    collected_a: str = ""
    collected_b: str = ""
    counts: Counter[Sign] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        signs = Counter(change.sign for section in self.sections for change in section.changes)
        object.__setattr__(self, "counts", signs)

    @property
    def differs(self) -> bool:
        """Whether anything that both sides could see differs."""
        return any(section.changes for section in self.sections)

    @property
    def unseen(self) -> int:
        """How many parts one side could not see."""
        return sum(len(section.unseen) for section in self.sections)
