"""Watching for a given time, with real frames from scripted nodes, on a clock that jumps."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from skoopctl.errors import AuthenticationError, UnreachableError
from skoopctl.inventory import InventoryHost
from skoopctl.transport import Deadlines, Job
from skoopctl.transport.fake import FakeTransports, Script
from skoopctl.watching.for_a_while import Stay, watch_for
from skoopctl.watching.observation import Observation, Phase
from tests.support.rounds_wire import end, hello, round_frame

sys.path.insert(0, str(Path(__file__).parent))
from numbers_of_nodes import numbers
from scripted import on_moved_clock

STAY = Stay(30, 5)


def sends(rounds: int = 7, *, ends: bool = True, late_s: float = 0) -> Callable[[Job], AsyncIterator[bytes]]:
    """Return a node that sends so many rounds, one every 5 s, each so much later than it should."""

    async def pours(_job: Job) -> AsyncIterator[bytes]:
        yield hello()
        for number in range(1, rounds + 1):
            yield round_frame(numbers(number, sent=number * 1000))
            if number < rounds:
                await asyncio.sleep(5 + late_s)
        if ends:
            yield end(rounds)
        else:
            await asyncio.sleep(10_000)

    return pours


def watch(scripts: dict[str, Script], stay: Stay = STAY) -> tuple[Observation, float]:
    """Watch scripted nodes; return what was seen and how long it took."""

    async def scenario() -> tuple[Observation, float]:
        fakes = FakeTransports(scripts)
        made = Observation(("tcp",), [InventoryHost(name, name) for name in scripts])
        await watch_for(stay, made, transports=fakes, deadlines=Deadlines())
        assert fakes.over
        assert not fakes.open
        assert len(asyncio.all_tasks()) == 1
        return made, asyncio.get_running_loop().time()

    return on_moved_clock(scenario())


@pytest.mark.parametrize(
    ("duration_s", "interval_s", "rounds"), [(30, 5, 7), (5, 5, 2), (1, 0.2, 6), (7, 5, 2), (3, 2.9, 2)]
)
def test_as_many_rounds_as_fit_and_two_at_least(duration_s: float, interval_s: float, rounds: int) -> None:
    """A rate is made of two."""
    assert Stay(duration_s, interval_s).rounds == rounds


def test_it_ends_as_soon_as_all_have_sent_their_rounds() -> None:
    """30 seconds are not 31."""
    seen, took_s = watch({"a": Script(pours=sends()), "b": Script(pours=sends())})
    assert [view.rounds for view in seen.nodes.values()] == [7, 7]
    assert 30 <= took_s < 30.5


def test_a_node_that_is_down_costs_no_more_time_than_the_others_take() -> None:
    """It is tried again meanwhile, and is then left."""
    down = Script(refuses=UnreachableError("b", "down"))
    seen, took_s = watch({"a": Script(pours=sends()), "b": down})
    assert (seen.nodes["a"].rounds, seen.nodes["b"].rounds) == (7, 0)
    assert seen.nodes["b"].breaks >= 4
    assert took_s < 31


def test_only_nodes_that_are_down_are_given_the_time_that_was_asked_for() -> None:
    """Somebody may be starting it just now."""
    seen, took_s = watch({"a": Script(refuses=UnreachableError("a", "down"))})
    assert 30 <= took_s < 31
    assert seen.nodes["a"].phase is Phase.BROKEN


def test_nobody_waits_when_nobody_can_come() -> None:
    """A refused password ends it at once."""
    refusal = AuthenticationError("a", "refused", final=True)
    _, took_s = watch({"a": Script(refuses=refusal)})
    assert took_s < 1


def test_a_node_that_hangs_costs_its_deadline_and_no_more() -> None:
    """Nothing is waited for without end."""
    seen, took_s = watch(
        {"a": Script(pours=sends()), "b": Script(connect_s=10_000), "c": Script(run_s=10_000)}
    )
    assert seen.nodes["a"].rounds == 7
    assert took_s < 36


def test_a_node_that_is_slow_is_left_when_its_time_is_up() -> None:
    """It has sent fewer rounds, and the summary says so."""
    seen, took_s = watch({"a": Script(pours=sends(late_s=3))})
    assert 3 <= seen.nodes["a"].rounds < 7
    assert took_s < 38


def test_a_node_that_never_ends_is_left() -> None:
    """All rounds are here, and the program still runs."""
    seen, took_s = watch({"a": Script(pours=sends(ends=False))})
    assert seen.nodes["a"].rounds == 7
    assert took_s < 38


def test_a_node_that_logs_in_late_has_all_of_its_time() -> None:
    """Whoever had to wait for a bastion is measured as long as the others."""
    seen, took_s = watch({"a": Script(pours=sends()), "b": Script(turn_s=25, pours=sends())})
    assert seen.nodes["b"].rounds == 7
    assert 55 <= took_s < 56
