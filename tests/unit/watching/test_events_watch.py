"""Events beside rounds on one connection: what goes wrong with them costs no round."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace

import pytest

from skoopctl.bpf.stream import Said
from skoopctl.errors import DeadlineError, DeniedError, EvidenceError, TransportError, UnsupportedError
from skoopctl.transport import Job
from skoopctl.transport.fake import FakeTransports, Script
from skoopctl.watching.asked import Asked
from skoopctl.watching.conversation import Talk
from skoopctl.watching.events_asked import EventsAsked, EventsHow
from tests.unit.events.node_said import setup
from tests.unit.watching.scripted import END, Heard, Lines, Watched, hosts, on_moved_clock, sends

Pours = Callable[[Job], AsyncIterator[bytes]]


class SaidReader:
    """Reads what scripted event programs send: a line for each message, ``end``, or garbage."""

    def __init__(self) -> None:
        self.ended = False

    def feed(self, data: bytes) -> list[Said]:
        """Return a setup for each line."""
        lines = data.split(b"\n")[:-1]
        if any(line not in {b"said", b"end"} for line in lines):
            raise EvidenceError("a: foreign bytes among events")
        self.ended = self.ended or b"end" in lines
        return [setup() for line in lines if line == b"said"]


@dataclass(frozen=True, slots=True)
class EventLines(EventsAsked):
    """Asks scripted nodes for events. The command says for which probes, on which machine, how long."""

    def talk(self, host: str, architecture: str, duration_s: float) -> Talk[Said]:
        """Return what the script reads."""
        del host
        job = Job(f"events {','.join(self.probes)} {architecture} {duration_s:g}", heartbeat_s=15)
        return Talk(job, SaidReader(), self.silence_s, "messages")


EVENTS = EventLines(("packetloss",), 5.0, EventsHow("core"))


async def counts(_job: Job) -> AsyncIterator[bytes]:
    """Say something every five seconds, without end."""
    while True:
        yield b"said\n"
        await asyncio.sleep(5)


def node(events: Pours, rounds: Pours = sends) -> FakeTransports:
    """Return a node whose rounds and events are scripted; ``jobs`` are its execs, in order."""

    def pours(job: Job) -> AsyncIterator[bytes]:
        return (events if job.command.startswith("events") else rounds)(job)

    return FakeTransports({"a": Script(pours=pours)})


def watched(events: Pours, *, rounds: int = 5, asked: EventsAsked | None = EVENTS) -> Heard:
    """Watch such a node for its rounds; return what was heard."""
    watch = Watched(node(events), replace(Lines(rounds=rounds), events=asked))
    on_moved_clock(watch.watch.run(hosts("a")))
    return watch.heard


def test_events_come_beside_rounds_and_end_with_them() -> None:
    """They begin when a round has told which machine it is, and are over when the rounds are."""
    jobs: list[str] = []

    async def for_its_time(job: Job) -> AsyncIterator[bytes]:
        jobs.append(job.command)
        for _ in range(4):
            yield b"said\n"
            await asyncio.sleep(5)
        yield END

    heard = watched(for_its_time)
    assert jobs == ["events packetloss x86_64 20"]
    assert heard.of("a").count("said Setup") == 4
    assert [word for word in heard.of("a") if word.startswith("round")] == [f"round {n}" for n in range(1, 6)]
    assert heard.of("a")[-1] == "ended"
    assert heard.errors == {}


def test_the_last_counts_are_waited_for_but_not_for_long() -> None:
    """An event program that does not end is left some seconds after the last round."""
    watch = Watched(node(counts), replace(Lines(rounds=3), events=EVENTS))

    async def timed() -> float:
        await watch.watch.run(hosts("a"))
        return asyncio.get_running_loop().time()

    assert on_moved_clock(timed()) <= 15 + 3.5
    assert watch.fakes.closed == ["a"]


def ended_early(events: Callable[[FakeTransports], Pours]) -> tuple[list[str], float]:
    """End a watch after seven seconds with its last words; return what was heard and how long these took."""
    fakes = FakeTransports({})
    fakes.scripts = node(events(fakes)).scripts
    watch = Watched(fakes, replace(Lines(rounds=100), events=EVENTS))

    async def scenario() -> float:
        running = asyncio.create_task(watch.watch.run(hosts("a")))
        await asyncio.sleep(7)
        began = asyncio.get_running_loop().time()
        await watch.watch.last_words()
        took_s = asyncio.get_running_loop().time() - began
        running.cancel()
        await asyncio.wait([running])
        return took_s

    took_s = on_moved_clock(scenario())
    assert fakes.execs == ["a", "a"], "one for rounds and one for events, which did not begin again"
    return watch.heard.of("a"), took_s


def test_who_ends_early_hears_what_was_counted_since_the_last_time() -> None:
    """The program is told to say its last words; when it has, it is over."""

    def events(fakes: FakeTransports) -> Pours:
        async def until_told(_job: Job) -> AsyncIterator[bytes]:
            while fakes.said.get("a") != b".":  # noqa: ASYNC110 - the clock jumps
                await asyncio.sleep(0.1)
            yield b"said\n" + END

        return until_told

    heard, took_s = ended_early(events)
    assert heard.count("said Setup") == 1
    assert took_s < 0.5


def test_last_words_are_not_waited_for_long() -> None:
    """A program that goes on as if it had heard nothing, or has its network gone, costs three seconds."""
    heard, took_s = ended_early(lambda _fakes: counts)
    assert heard.count("said Setup") >= 2
    assert 2.9 < took_s < 3.2


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (DeniedError("a", "the server allows no second exec"), 1),
        (TransportError("a", "the channel broke"), 5),
    ],
    ids=["denied", "broken"],
)
def test_what_breaks_events_costs_no_round(error: Exception, tries: int) -> None:
    """All rounds come; what is denied is not tried again on that connection, what broke is, later each time."""

    async def refused(_job: Job) -> AsyncIterator[bytes]:
        raise error
        yield b""

    heard = watched(refused)
    rounds = [word for word in heard.of("a") if word.startswith("round")]
    assert rounds == [f"round {number}" for number in range(1, 6)]
    assert heard.of("a").count("broken") == 0
    assert heard.of("a").count("events broken") == tries
    assert heard.waits["a"] == ([None] if tries == 1 else [1, 2, 4, 8, 16])


async def garbage(_job: Job) -> AsyncIterator[bytes]:
    """Say something, and then nonsense."""
    yield b"said\n"
    yield b"\x00garbage\n"


async def silence(_job: Job) -> AsyncIterator[bytes]:
    """Say something, and then nothing."""
    yield b"said\n"
    await asyncio.sleep(10_000)


async def early_end(_job: Job) -> AsyncIterator[bytes]:
    """Say something, and end without a last word."""
    yield b"said\n"


@pytest.mark.parametrize(
    ("events", "kind", "text"),
    [
        (garbage, EvidenceError, "foreign bytes among events"),
        (silence, DeadlineError, "1 messages came, and then nothing"),
        (early_end, TransportError, "ended by itself after 1 messages"),
    ],
)
def test_why_events_do_not_come_is_told(events: Pours, kind: type[Exception], text: str) -> None:
    """Garbage, silence, an end without a last word: each is told by its name, and tried again."""
    heard = watched(events, rounds=9)
    assert isinstance(heard.errors["a"][0], kind)
    assert text in str(heard.errors["a"][0])
    assert heard.waits["a"][0] == 1
    assert heard.of("a").count("said Setup") >= 2


def test_a_node_where_no_probe_can_be_had_is_not_asked_again() -> None:
    """The program says so and ends: that is an answer."""

    async def nothing(_job: Job) -> AsyncIterator[bytes]:
        yield b"said\nend\n"

    heard = watched(nothing)
    assert heard.of("a").count("said Setup") == 1
    assert heard.errors == {}


def test_a_machine_without_built_programs_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which machine it is comes from the node; rounds go on."""
    monkeypatch.setattr("skoopctl.watching.host_watch.machine_of", lambda _round: "s390x")
    heard = watched(counts)
    (error,) = heard.errors["a"]
    assert isinstance(error, UnsupportedError)
    assert "its machine is s390x" in str(error)
    assert heard.waits["a"] == [None]
    assert heard.of("a").count("said Setup") == 0


def test_other_events_are_asked_for_on_the_same_connection() -> None:
    """A change of the configuration ends the one exec and begins the other; none ends it for good."""
    jobs: list[str] = []

    def noted(job: Job) -> AsyncIterator[bytes]:
        jobs.append(job.command)
        return counts(job)

    watch = Watched(node(noted), replace(Lines(), events=EVENTS))

    async def changes() -> None:
        running = asyncio.create_task(watch.for_s(100, "a"))
        await asyncio.sleep(22)
        watch.watch.set_asked(replace(watch.asked, events=EventLines(("tcpreset",), 5.0)))
        await asyncio.sleep(22)
        watch.watch.set_asked(replace(watch.asked, events=None))
        await asyncio.sleep(1)
        before = watch.heard.of("a").count("said Setup")
        await running
        assert watch.heard.of("a").count("said Setup") == before

    on_moved_clock(changes())
    assert jobs == ["events packetloss x86_64 0", "events tcpreset x86_64 0"]
    assert watch.fakes.dialled == ["a"]
    assert watch.heard.errors == {}


def test_without_event_probes_there_is_one_exec() -> None:
    """Who asks for none pays for none, and rounds bring nothing more."""
    watch = Watched(node(counts), Lines(rounds=3))
    on_moved_clock(watch.watch.run(hosts("a")))
    assert watch.fakes.execs == ["a"]
    plain = Asked(("tcp",), 5.0)
    assert plain.job(1).stdin != replace(plain, events=EVENTS).job(1).stdin
