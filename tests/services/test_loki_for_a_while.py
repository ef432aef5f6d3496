"""Events of a watch that ends: all of them are at Loki then, or it was said how many are not."""

from __future__ import annotations

from skoopctl.events.event import Event
from skoopctl.inventory import InventoryHost
from skoopctl.plans.loki_part import LokiPart
from skoopctl.sinks.loki_for_a_while import to_loki
from skoopctl.watching.observation import NodeView, Observation
from tests.services.loki_receiver import Receiver, Reply, loki_receiver
from tests.unit.events.made_events import WALL_NS, made

EVENTS = [made(wall_ns=WALL_NS + 1000 * at, mono_ns=at) for at in range(250)]


async def observed(loki: Receiver, said: list[str]) -> int:
    """Let all events happen within a watch; return how many its own listener heard."""
    observation = Observation((), [InventoryHost("node1", "10.0.9.1")], events=("packetloss",))
    heard: list[Event] = []

    def happened(_view: NodeView, events: list[Event]) -> None:
        heard.extend(events)

    observation.happened = happened  # type: ignore[assignment]
    part = LokiPart(url=loki.url, batch=100, batch_wait=60)
    async with to_loki(part, "prod", observation, said.append):
        observation.happened(observation.nodes["node1"], EVENTS)
    return len(heard)


async def test_the_last_event_of_a_watch_arrives() -> None:
    """What waits for others when the watch ends is sent at once, and whoever listened before still hears it all."""
    said: list[str] = []
    with loki_receiver() as loki:
        assert await observed(loki, said) == len(EVENTS)
        assert sorted(entry.event["mono_ns"] for entry in loki.entries) == [each.mono_ns for each in EVENTS]
    assert said == []


async def test_what_loki_refused_is_said_in_the_end() -> None:
    """The last line tells how many of how many events Loki did not take, and why."""
    said: list[str] = []
    with loki_receiver(receiver=Receiver(replies=[Reply(400, "no, because")])) as loki:
        await observed(loki, said)
    assert said[-1].startswith("of 250 events for Loki 100 were refused: ")
    assert said[-1].endswith("no, because")
