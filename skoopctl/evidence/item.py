"""What one host answered: items of raw bytes, each with how it went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

HOST_WIDE = 0
"""The ``netns`` of an item that belongs to the host, not to one namespace."""


class ItemStatus(StrEnum):
    """How reading one item went. Missing is never shown as empty."""

    OK = "ok"
    ABSENT = "absent"
    DENIED = "denied"
    TIMEOUT = "timeout"
    TRUNCATED = "truncated"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Item:
    """Raw bytes as the node gave them, for the namespace with inode ``netns`` (`HOST_WIDE`: the host).

    ``packed`` is the payload as a zlib stream, where the node has made one: a bundle need not pack it again.
    """

    netns: int
    name: str
    status: ItemStatus
    payload: bytes = field(default=b"", repr=False)
    detail: str = ""
    elapsed_ms: float = 0.0
    packed: bytes = field(default=b"", repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class HostEvidence:
    """All items of one host. ``complete`` is false when the answer had no end frame.

    The items are left out of its repr: asyncio.run makes one of a task's whole result (signal.getsignal, by way
    of enum's error message), and megabytes of evidence cost it more time than decoding them did.
    """

    host: str
    items: Mapping[tuple[int, str], Item] = field(default_factory=dict, repr=False)
    complete: bool = True
    problem: str = ""

    def item(self, name: str, netns: int = HOST_WIDE) -> Item | None:
        """Return one item, or None when the host said nothing about it."""
        return self.items.get((netns, name))

    def namespaces(self) -> list[int]:
        """Return the inodes of the namespaces that the host told of, in its order."""
        return list(dict.fromkeys(netns for netns, _ in self.items if netns != HOST_WIDE))
