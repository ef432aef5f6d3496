"""Long conversations with scripted nodes, on a clock that jumps."""

from __future__ import annotations

import asyncio
import gc
import sys
import tracemalloc
from pathlib import Path

import pytest

from skoopctl.errors import (
    AuthenticationError,
    DeadlineError,
    DeniedError,
    EvidenceError,
    HostKeyError,
    SkoopError,
    TransportError,
    UnreachableError,
    UnsupportedError,
)
from skoopctl.evidence.rounds import Round
from skoopctl.inventory import InventoryHost
from skoopctl.transport import Job
from skoopctl.transport.fake import FakeTransports, Script
from skoopctl.transport.verdict import NO_PYTHON_MARK, NO_PYTHON_STATUS
from skoopctl.watching.fleet_watch import start_after_s

sys.path.insert(0, str(Path(__file__).parent))
from scripted import GARBAGE, GOOD, Heard, Lines, Watched, after, hosts, on_moved_clock, sends, watched


def test_all_rounds_come_and_the_watch_ends() -> None:
    """Each node is connected once, sends what was asked for, and is told to have ended."""
    made = watched({"a": GOOD, "b": GOOD}, Lines(rounds=3))
    for name in "ab":
        assert made.heard.of(name) == [
            "connecting",
            "connected",
            "round 1",
            "round 2",
            "round 3",
            "ended",
        ]
    assert sorted(made.fakes.dialled) == ["a", "b"]
    assert made.watch.silent == ()


def test_without_a_number_a_watch_lasts_for_weeks_on_one_connection() -> None:
    """Nothing but cancelling ends it."""
    made = watched({"a": GOOD}, Lines(interval_s=60), seconds=7 * 86_400)
    assert made.heard.of("a")[-1] == "round 10080"
    assert made.fakes.dialled == ["a"]
    assert made.fakes.beats["a"] > 40_000


@pytest.mark.parametrize(
    ("bad", "kind", "said"),
    [
        (Script(connect_s=10_000), DeadlineError, "connect deadline of 10 s"),
        (Script(run_s=100_000), DeadlineError, "program deadline of 30 s"),
        (Script(pours=after(2, then_s=100_000)), DeadlineError, "round deadline of 20 s"),
        (Script(pours=after(1, GARBAGE)), EvidenceError, "foreign bytes"),
        (Script(pours=after(2), exit_status=0), TransportError, "ended by itself after 2 rounds"),
        (Script(pours=after(1), stderr=b"MemoryError\n", exit_status=1), TransportError, "MemoryError"),
        (Script(breaks=UnreachableError("a", "broke")), UnreachableError, "broke"),
        (
            Script(stderr=NO_PYTHON_MARK.encode(), exit_status=NO_PYTHON_STATUS),
            UnsupportedError,
            "no Python 3.6",
        ),
    ],
)
def test_a_node_that_breaks_is_told_why_and_tried_again(
    bad: Script, kind: type[SkoopError], said: str
) -> None:
    """At each stage: the login, the first round, later ones; with garbage, an end, and a break."""
    made = watched({"a": bad}, Lines(rounds=3), seconds=400)
    first = made.heard.errors["a"][0]
    assert type(first) is kind
    assert said in str(first)
    assert str(first).startswith("a: ")
    assert len(made.fakes.dialled) > 2


def test_output_that_dribbles_is_silence() -> None:
    """A node that sends a byte a second, and no round, costs the same deadline as one that sends nothing."""

    async def dribbles(_job: Job):  # type: ignore[no-untyped-def]  # noqa: ANN202 - an asynchronous generator
        yield b"round 1\n"
        while True:
            await asyncio.sleep(1)
            yield b"r"

    made = watched({"a": Script(pours=dribbles)}, Lines(), seconds=30)
    assert "1 rounds came, and then nothing" in str(made.heard.errors["a"][0])
    assert made.heard.times("a", "broken")[0] == pytest.approx(20)


def test_a_node_that_floods_is_refused() -> None:
    """Rounds without a pause are not what was asked for."""

    async def floods(_job: Job):  # type: ignore[no-untyped-def]  # noqa: ANN202 - an asynchronous generator
        for number in range(1, 10_000):
            yield b"round %d\n" % number

    made = watched({"a": Script(pours=floods)}, Lines(), seconds=0.5)
    assert "rounds came in 0.0 s, asked for was one every 5 s" in str(made.heard.errors["a"][0])
    assert made.heard.of("a").count("broken") == 1


def test_waits_double_and_begin_anew_after_a_good_round() -> None:
    """A node that is down is not hammered; one that worked is tried at once."""
    down = watched({"a": Script(refuses=UnreachableError("a", "down"))}, Lines(), seconds=200)
    assert down.heard.waits["a"] == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    weak = watched({"a": Script(pours=after(1))}, Lines(), seconds=20)
    assert weak.heard.waits["a"] == [1, 1, 1]


def test_rounds_that_a_break_cost_are_made_up_for() -> None:
    """Six rounds are six rounds, whatever happened in between."""
    scripts = {"a": Script(pours=after(2), breaks=UnreachableError("a", "broke"))}

    class Mends(Heard):
        def broken(self, host: InventoryHost, error: SkoopError, again_in_s: float | None) -> None:
            super().broken(host, error, again_in_s)
            scripts["a"] = GOOD

    async def scenario() -> Watched:
        made = Watched(FakeTransports(scripts), Lines(rounds=6), Mends())
        await made.for_s(1000, "a")
        return made

    made = on_moved_clock(scenario())
    assert made.fakes.jobs["a"].command.startswith("4 ")
    assert [word for word in made.heard.of("a") if "round" in word][2:] == [
        f"round {n}" for n in (1, 2, 3, 4)
    ]
    assert made.heard.of("a")[-1] == "ended"


def test_a_refused_password_is_sent_once() -> None:
    """No second attempt is made, for failures lock accounts; the watch ends when nobody is left."""
    refusal = AuthenticationError("a", "refused the password", final=True)
    made = watched({"a": Script(refuses=refusal), "b": GOOD}, Lines(rounds=2))
    assert made.heard.of("a") == ["connecting", "broken"]
    assert made.heard.waits["a"] == [None]
    assert made.heard.of("b")[-1] == "ended"
    assert made.watch.silent == ("a",)


@pytest.mark.parametrize("kind", [AuthenticationError, HostKeyError, DeniedError])
def test_a_refusal_that_needs_a_person_is_tried_seldom(
    kind: type[AuthenticationError | HostKeyError | DeniedError],
) -> None:
    """Twelve attempts in four hours, and not hundreds."""
    made = watched({"a": Script(refuses=kind("a", "no"))}, Lines(), seconds=4 * 3600)
    assert made.heard.waits["a"][:4] == [300, 600, 1200, 1800]
    assert len(made.fakes.dialled) < 12


def test_of_thirty_hosts_five_that_are_bad_delay_nobody() -> None:
    """The others' rounds come at the very second at which they would have come."""
    bad = {
        "bad0": Script(connect_s=10_000),
        "bad1": Script(turn_s=5, run_s=100_000),
        "bad2": Script(pours=after(1, GARBAGE)),
        "bad3": Script(refuses=UnreachableError("bad3", "down")),
        "bad4": Script(pours=after(3, then_s=100_000)),
    }
    good = {f"n{number}": GOOD for number in range(25)}
    made = watched(bad | good, Lines(interval_s=15), seconds=601)
    for name in good:
        assert made.heard.times(name, "round") == pytest.approx([15.0 * n for n in range(41)])
    for name in bad:
        assert len(made.heard.errors[name]) > 2


def test_few_places_for_logins_do_not_limit_how_many_are_connected() -> None:
    """A place is held until the login is over."""

    async def scenario() -> Watched:
        scripts = {f"n{number}": Script(pours=sends, connect_s=1) for number in range(10)}
        made = Watched(FakeTransports(scripts), Lines(), forks=2)
        await made.for_s(30, *scripts)
        return made

    made = on_moved_clock(scenario())
    assert made.fakes.most_open == 10
    assert sorted(made.heard.times(f"n{n}", "connected")[0] for n in range(10)) == pytest.approx(
        [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    )


def test_starts_are_spread_over_the_interval_by_name() -> None:
    """The same host starts at the same time in each run, and hundreds do not start at once."""
    starts = [start_after_s(f"node{number}", 60) for number in range(300)]
    assert starts == [start_after_s(f"node{number}", 60) for number in range(300)]
    quarters = [sum(15 * q <= start < 15 * (q + 1) for start in starts) for q in range(4)]
    assert sum(quarters) == 300
    assert min(quarters) > 40


def test_hosts_join_and_leave_while_others_go_on() -> None:
    """Who leaves is closed at once and told to have ended; who stays has its one connection."""

    async def scenario() -> Watched:
        made = Watched(FakeTransports(dict.fromkeys("abc", GOOD)), Lines())
        running = asyncio.create_task(made.for_s(100, "a", "b"))
        await asyncio.sleep(22)
        made.watch.set_hosts(hosts("b", "c"))
        await asyncio.sleep(0.1)
        assert made.fakes.open == {"b", "c"}
        await running
        return made

    made = on_moved_clock(scenario())
    assert made.heard.times("a", "ended") == [22]
    assert made.heard.times("c", "connecting") == [22]
    assert made.fakes.dialled == ["a", "b", "c"]
    assert made.heard.of("b")[-1] == "round 20"


def test_a_host_that_was_given_up_is_told_to_have_ended_when_it_leaves() -> None:
    """Whoever keeps something of it may forget it then."""
    refusal = AuthenticationError("a", "refused", final=True)

    async def scenario() -> Watched:
        made = Watched(FakeTransports({"a": Script(refuses=refusal)}), Lines())
        running = asyncio.create_task(made.for_s(30, "a"))
        await asyncio.sleep(12)
        made.watch.set_hosts([])
        await running
        return made

    assert on_moved_clock(scenario()).heard.of("a") == ["connecting", "broken", "ended"]


def test_hosts_that_are_set_before_it_begins_or_after_it_ended_do_no_harm() -> None:
    """Whoever reloads an inventory just then need not know how far the watch is."""

    async def scenario() -> Watched:
        made = Watched(FakeTransports({"a": GOOD, "b": GOOD}), Lines())
        made.watch.set_hosts(hosts("b"))
        await made.for_s(6, "a")
        made.watch.set_hosts(hosts("a"))
        return made

    made = on_moved_clock(scenario())
    assert made.fakes.dialled == ["b"]


def test_a_host_whose_address_changes_is_connected_anew_and_not_told_to_have_ended() -> None:
    """What is kept of it is still its own."""

    async def scenario() -> Watched:
        made = Watched(FakeTransports({"a": GOOD}), Lines())
        running = asyncio.create_task(made.for_s(30, "a"))
        await asyncio.sleep(12)
        made.watch.set_hosts([InventoryHost("a", "10.0.0.9")])
        await running
        return made

    made = on_moved_clock(scenario())
    assert made.heard.times("a", "connecting") == [0, 12]
    assert "ended" not in made.heard.of("a")


def test_other_probes_are_asked_for_on_the_same_connection() -> None:
    """A new exec, and no new login."""

    async def scenario() -> Watched:
        made = Watched(FakeTransports({"a": GOOD}), Lines())
        running = asyncio.create_task(made.for_s(60, "a"))
        await asyncio.sleep(12)
        made.watch.set_asked(Lines(("udp",), interval_s=20))
        await running
        return made

    made = on_moved_clock(scenario())
    assert made.heard.times("a", "round") == [0, 5, 10, 12, 32, 52]
    assert (made.fakes.dialled, made.fakes.execs) == (["a"], ["a", "a"])
    assert made.fakes.jobs["a"].command == "0 20 udp"


def test_a_fault_of_ours_at_one_host_costs_that_host_only() -> None:
    """It is told as what it is, and the others go on."""

    class Faulty(Heard):
        def round_came(self, host: InventoryHost, round_: Round) -> None:
            if host.name == "a":
                raise KeyError("oh")
            super().round_came(host, round_)

    async def scenario() -> Watched:
        made = Watched(FakeTransports({"a": GOOD, "b": GOOD}), Lines(rounds=3), Faulty())
        await made.for_s(50, "a", "b")
        return made

    made = on_moved_clock(scenario())
    assert "a fault of skoopctl" in str(made.heard.errors["a"][0])
    assert made.heard.of("b")[-1] == "ended"


@pytest.mark.parametrize("seconds", [0.0, 0.5, 3.0, 5.5, 6.0, 9.0, 11.0, 60.0, 100.0])
def test_nothing_outlives_a_watch_whenever_it_is_cancelled(seconds: float) -> None:
    """Neither a task nor a connection: while waiting for a turn, connecting, listening, and between attempts."""
    scripts = {
        "turn": Script(turn_s=4, pours=sends),
        "slow": Script(connect_s=8, pours=sends),
        "down": Script(refuses=UnreachableError("down", "down")),
        "bad": Script(pours=after(1, GARBAGE)),
        "good": GOOD,
    }

    async def scenario() -> tuple[Watched, int]:
        made = Watched(FakeTransports(scripts), Lines())
        running = asyncio.create_task(made.watch.run(hosts(*scripts)))
        await asyncio.sleep(seconds)
        running.cancel()
        await asyncio.wait([running])
        return made, len(asyncio.all_tasks())

    made, tasks = on_moved_clock(scenario())
    assert tasks == 1
    assert not made.fakes.open
    assert made.fakes.over


class Silent:
    """A listener that keeps nothing but how much memory there was when 50 and 200 rounds had come."""

    def __init__(self) -> None:
        self.rounds = 0
        self.at: dict[int, int] = {}

    def connecting(self, host: InventoryHost) -> None:
        """Nothing."""

    def connected(self, host: InventoryHost) -> None:
        """Nothing."""

    def round_came(self, host: InventoryHost, round_: Round) -> None:
        """Count, and look at the memory."""
        if host.name == "n0" and round_.number in {50, 200}:
            gc.collect()
            self.at[round_.number] = tracemalloc.get_traced_memory()[0]

    def broken(self, host: InventoryHost, error: SkoopError, again_in_s: float | None) -> None:
        """Nothing."""

    def ended(self, host: InventoryHost) -> None:
        """Nothing."""


def test_memory_is_flat_over_hundreds_of_rounds_and_breaks() -> None:
    """100 nodes, some of which break again and again: nothing is kept of what is over."""
    good: dict[str, Script] = {f"n{number}": GOOD for number in range(95)}
    weak = {f"weak{number}": Script(pours=after(2, GARBAGE)) for number in range(5)}
    heard = Silent()

    async def scenario() -> None:
        made = Watched(FakeTransports(good | weak), Lines(rounds=0), heard)  # type: ignore[arg-type]
        made.fakes.dialled = made.fakes.execs = made.fakes.closed = _Nothing()
        await made.for_s(5 * 201, *good, *weak)

    tracemalloc.start()
    try:
        on_moved_clock(scenario())
    finally:
        tracemalloc.stop()
    assert heard.at[200] - heard.at[50] < 100_000, heard.at


class _Nothing(list[str]):
    """A list that forgets: what the fakes write down is no part of what is measured."""

    def append(self, _each: str) -> None:
        """Forget it."""
