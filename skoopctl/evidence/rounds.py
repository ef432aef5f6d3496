"""What a node says over and over: rounds, each with what has changed since the round before."""

from __future__ import annotations

from dataclasses import dataclass

from skoopctl.evidence.item import ItemStatus

HOST = 0
"""The `Change.netns` of items that belong to the host and to no namespace."""


@dataclass(frozen=True, slots=True)
class Change:
    """One item of one namespace that is not as it was in the round before, or is there for the first time."""

    netns: int
    """The namespace's inode, or `HOST`."""
    item: str
    status: ItemStatus
    detail: str
    payload: bytes
    """The whole item as it is now."""


@dataclass(frozen=True, slots=True)
class Round:
    """Everything that one round of a node brought. What it does not mention is as it was."""

    number: int
    """From 1 on; 1 holds everything, and what was known of the node before is void."""
    wall_ns: int
    """The node's wall clock at the round's beginning, since 1970."""
    mono_ns: int
    """Its monotonic clock: rates are made of this one."""
    took_ms: float
    """How long the node took to read it all."""
    cpu_ms: float
    """The CPU that the node program has used since it began."""
    rss_kib: int
    """The memory that it holds now."""
    skipped: int
    """Rounds that fell out since the one before: the node was late, or nobody took what it had written."""
    wire_bytes: int
    """What came over the connection for this round."""
    changes: tuple[Change, ...]
    gone: frozenset[int] = frozenset()
    """Namespaces that ended since the round before."""
