"""What one ``probe run`` is asked for: probes, hosts, time, and whose events are shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from skoopctl.watching.events_asked import EventsHow
from skoopctl.watching.for_a_while import Stay

if TYPE_CHECKING:
    from skoopctl.events.event import Event
    from skoopctl.inventory import InventoryHost
    from skoopctl.plans.loki_part import LokiPart
    from skoopctl.transport.base import Deadlines


@dataclass(slots=True)
class Wanted:
    """What is asked for, of whom, and how long."""

    probes: tuple[str, ...]
    events: tuple[str, ...]
    stay: Stay
    hosts: Sequence[InventoryHost]
    inventory: str
    deadlines: Deadlines
    forks: int | None = None
    kubeconfig: str | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict)
    sort: str | None = None
    pod: tuple[str, str] | None = None
    sysfs: str = "/sys"
    loki: LokiPart | None = None
    how: EventsHow = field(default_factory=EventsHow)

    def asked_for(self, events: Iterable[Event]) -> Iterator[Event]:
        """Yield those that are to be shown: all, or the one pod's."""
        return (each for each in events if self.pod is None or (each.namespace, each.pod) == self.pod)
