"""Watch nodes for a given time, and no longer than it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from skoopctl.inventory.host import InventoryHost
from skoopctl.transport.base import Deadlines, TransportFactory
from skoopctl.watching.asked import Asked
from skoopctl.watching.events_asked import EventsAsked
from skoopctl.watching.events_watch import LAST_WORDS_S
from skoopctl.watching.fleet_watch import FleetWatch
from skoopctl.watching.observation import NodeView, Observation, Phase

LOOK_S = 0.25
"""How often it is looked whether all are done."""
LATE_S = 2.0
"""How much later than an interval the last round may come."""
MOST_SPREAD_S = 5.0
START_APART_S = 0.02
"""Times the number of hosts: over how long starts are spread."""


@dataclass(frozen=True, slots=True)
class Stay:
    """How long, and how often."""

    duration_s: float
    interval_s: float

    @property
    def rounds(self) -> int:
        """How many rounds fit; two at least, for a rate is made of two."""
        return max(2, int(self.duration_s / self.interval_s + 1e-9) + 1)

    @property
    def measured_s(self) -> float:
        """The time from the first round to the last."""
        return (self.rounds - 1) * self.interval_s


async def watch_for(
    stay: Stay,
    observation: Observation,
    *,
    transports: TransportFactory,
    deadlines: Deadlines,
    forks: int | None = None,
    sysfs: str = "/sys",
    events: EventsAsked | None = None,
) -> None:
    """Watch the observation's hosts until each has sent its rounds or its time is up. Closes the transports.

    A host that is down is tried again as long as the others are watched, and costs no more time than they do. When
    it is cancelled, what was counted since the last time is told first, where that comes soon.
    """
    loop = asyncio.get_running_loop()
    hosts: Sequence[InventoryHost] = observation.hosts
    asked = Asked(tuple(observation.probes), stay.interval_s, stay.rounds, sysfs, events=events)
    watch = FleetWatch(
        asked,
        observation,
        transports=transports,
        deadlines=deadlines,
        forks=forks,
        spread_s=min(stay.interval_s, MOST_SPREAD_S, START_APART_S * len(hosts)),
    )
    running = asyncio.create_task(watch.run(hosts), name="watch")
    started = loop.time()
    try:
        while not running.done():
            await asyncio.wait([running], timeout=LOOK_S)
            now = loop.time()
            if not any(_due(view, stay, started, now) for view in observation.nodes.values()):
                running.cancel()
                await asyncio.wait([running])
    except asyncio.CancelledError:
        await watch.last_words()
        raise
    finally:
        running.cancel()
        await asyncio.wait([running])
    if not running.cancelled():
        running.result()


def _due(view: NodeView, stay: Stay, started: float, now: float) -> bool:
    """Return whether something is still to be waited for from a node."""
    if view.phase in {Phase.ENDED, Phase.GIVEN_UP}:
        return False
    if view.first_at is not None:
        return now < view.first_at + stay.measured_s + stay.interval_s + LATE_S + (
            LAST_WORDS_S if view.events else 0
        )
    end = started + stay.measured_s
    # An attempt that began in time has deadlines of its own; a node that is down is not waited for any longer.
    trying = view.phase in {Phase.CONNECTING, Phase.CONNECTED} and view.attempt_at < end
    return trying or now < end
