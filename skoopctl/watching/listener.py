"""Who hears of what happens while nodes are watched: metrics, tables and logs are listeners."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from skoopctl.errors import SkoopError
from skoopctl.evidence.rounds import Round
from skoopctl.inventory.host import InventoryHost

if TYPE_CHECKING:
    from skoopctl.bpf.stream import Said


class EventListener(Protocol):
    """Hears of events, where any are asked for."""

    def said(self, host: InventoryHost, said: Said) -> None:
        """Hear how starting a probe went, some events, or what was counted since then."""
        ...

    def events_broken(self, host: InventoryHost, error: SkoopError, again_in_s: float | None) -> None:
        """Hear why no events come now, and when it is tried again: ``None`` is not on this connection."""
        ...


class WatchListener(EventListener, Protocol):
    """Hears it all in the event loop, in order for each host; whoever is slow here delays all nodes."""

    def connecting(self, host: InventoryHost) -> None:
        """Hear that a host is about to be connected to, for the first time or again."""
        ...

    def connected(self, host: InventoryHost) -> None:
        """Hear that the login is done."""
        ...

    def round_came(self, host: InventoryHost, round_: Round) -> None:
        """Hear a round. Number 1 begins anew: after a break, or when something else was asked for."""
        ...

    def broken(self, host: InventoryHost, error: SkoopError, again_in_s: float | None) -> None:
        """Hear why a host cannot be watched now, and when it is tried again: ``None`` is never."""
        ...

    def ended(self, host: InventoryHost) -> None:
        """Hear that the rounds that were asked for have all come, or that the host has left."""
        ...
