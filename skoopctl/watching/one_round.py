"""Ask each host for one round, once: what fails is not tried again."""

from __future__ import annotations

import asyncio

from skoopctl.transport.base import Deadlines, TransportFactory
from skoopctl.watching.asked import Asked
from skoopctl.watching.events_asked import events_asked
from skoopctl.watching.fleet_watch import FleetWatch
from skoopctl.watching.observation import NodeView, Observation, Phase

LOOK_S = 0.05
TRIAL_S = 1.0
"""How often event probes tell what they count, while it is tried whether they can be had."""
_INTERVAL_S = 1.0
_DONE = frozenset({Phase.ENDED, Phase.GIVEN_UP, Phase.BROKEN})


async def ask_once(
    observation: Observation,
    *,
    transports: TransportFactory,
    deadlines: Deadlines,
    forks: int | None = None,
) -> None:
    """Ask the observation's hosts for one round each, at most ``deadlines.run_s`` long. Closes the transports."""
    watch = FleetWatch(
        Asked(
            tuple(observation.probes),
            _INTERVAL_S,
            rounds=1,
            events=events_asked(observation.events, TRIAL_S),
        ),
        observation,
        transports=transports,
        deadlines=deadlines,
        forks=forks,
        spread_s=0.0,
    )
    running = asyncio.create_task(watch.run(observation.hosts), name="one round")
    loop = asyncio.get_running_loop()
    until = loop.time() + deadlines.run_s
    try:
        while not running.done() and loop.time() < until:
            await asyncio.wait([running], timeout=LOOK_S)
            if all(map(_answered, observation.nodes.values())):
                break
    finally:
        running.cancel()
        await asyncio.wait([running])
    if not running.cancelled():
        running.result()


def _answered(view: NodeView) -> bool:
    """Return whether all is known of a node: its round, and how its event probes fare."""
    if view.phase in _DONE:
        return True
    events = view.events
    told = events is None or view.events_breaks > 0 or len(events.setups) == len(events.probes)
    return view.rounds > 0 and told
