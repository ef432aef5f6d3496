"""Scripted nodes that send rounds on a clock that jumps: one line each in place of frames."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from skoopctl.bpf.stream import Said
from skoopctl.errors import EvidenceError, SkoopError
from skoopctl.evidence.item import ItemStatus
from skoopctl.evidence.rounds import HOST, Change, Round
from skoopctl.inventory import InventoryHost
from skoopctl.transport import Deadlines, Job
from skoopctl.transport.backoff import Backoff
from skoopctl.transport.fake import FakeTransports, MovedClockLoop, Script
from skoopctl.watching.fleet_watch import Asked, FleetWatch

T = TypeVar("T")
EXACT = Backoff(jitter=0)
END, GARBAGE = b"end\n", b"\x00garbage\n"


def on_moved_clock(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a loop whose clock jumps."""
    with asyncio.Runner(loop_factory=MovedClockLoop) as runner:
        return runner.run(main)


def hosts(*names: str) -> list[InventoryHost]:
    """Return hosts with these names."""
    return [InventoryHost(name, name) for name in names]


def a_round(number: int) -> Round:
    """Return a round without anything, but that the first says which machine it is."""
    identity = Change(HOST, "identity", ItemStatus.OK, "", b'{"machine":"x86_64"}')
    return Round(number, 0, 0, 1.0, 1.0, 1, 0, 10, (identity,) if number == 1 else ())


class LineReader:
    """Reads what scripted nodes send: `round N`, or `end`."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._rest = b""
        self.ended = False

    def feed(self, data: bytes) -> list[Round]:
        """Return the rounds that are whole."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        found = []
        for line in lines:
            if line == b"end":
                self.ended = True
            elif line.startswith(b"round "):
                found.append(a_round(int(line.split()[1])))
            else:
                raise EvidenceError(f"{self._host}: foreign bytes")
        return found


@dataclass(frozen=True, slots=True)
class Lines(Asked):
    """Asks scripted nodes. The command says for how many rounds."""

    probes: tuple[str, ...] = ("tcp",)
    interval_s: float = 5.0

    def job(self, rounds: int) -> Job:
        """Return what the script reads."""
        return Job(f"{rounds} {self.interval_s} {','.join(self.probes)}", heartbeat_s=15)

    def reader(self, host: str) -> LineReader:  # type: ignore[override]
        """Return the reader of lines."""
        return LineReader(host)


async def sends(job: Job) -> AsyncIterator[bytes]:
    """Send a round at once and then one an interval, until the number that was asked for."""
    rounds, interval_s, _ = job.command.split()
    number = 0
    while number < (int(rounds) or 10**9):
        number += 1
        yield b"round %d\n" % number
        await asyncio.sleep(float(interval_s))
    yield END


def after(count: int, *pieces: bytes, then_s: float = 0) -> Callable[[Job], AsyncIterator[bytes]]:
    """Return what sends so many rounds, then other bytes, then nothing for so long."""

    async def pours(job: Job) -> AsyncIterator[bytes]:
        interval_s = float(job.command.split()[1])
        for number in range(1, count + 1):
            yield b"round %d\n" % number
            await asyncio.sleep(interval_s)
        for piece in pieces:
            yield piece
        await asyncio.sleep(then_s)

    return pours


GOOD = Script(pours=sends)


@dataclass
class Heard:
    """A listener that writes down what it hears, with the clock's seconds."""

    words: list[tuple[float, str, str]] = field(default_factory=list)
    errors: dict[str, list[SkoopError]] = field(default_factory=dict)
    waits: dict[str, list[float | None]] = field(default_factory=dict)

    def _note(self, host: InventoryHost, word: str) -> None:
        self.words.append((asyncio.get_running_loop().time(), host.name, word))

    def connecting(self, host: InventoryHost) -> None:
        """Note it."""
        self._note(host, "connecting")

    def connected(self, host: InventoryHost) -> None:
        """Note it."""
        self._note(host, "connected")

    def round_came(self, host: InventoryHost, round_: Round) -> None:
        """Note its number."""
        self._note(host, f"round {round_.number}")

    def said(self, host: InventoryHost, said: Said) -> None:
        """Note what its event program says."""
        self._note(host, f"said {type(said).__name__}")

    def events_broken(self, host: InventoryHost, error: SkoopError, again_in_s: float | None) -> None:
        """Note it, and why."""
        self._note(host, "events broken")
        self.errors.setdefault(host.name, []).append(error)
        self.waits.setdefault(host.name, []).append(again_in_s)

    def broken(self, host: InventoryHost, error: SkoopError, again_in_s: float | None) -> None:
        """Note it, and why."""
        self._note(host, "broken")
        self.errors.setdefault(host.name, []).append(error)
        self.waits.setdefault(host.name, []).append(again_in_s)

    def ended(self, host: InventoryHost) -> None:
        """Note it."""
        self._note(host, "ended")

    def of(self, name: str) -> list[str]:
        """Return what was heard of a host, in order."""
        return [word for _, host, word in self.words if host == name]

    def times(self, name: str, word: str) -> list[float]:
        """Return when a word was heard of a host."""
        return [when for when, host, said in self.words if host == name and said.startswith(word)]


@dataclass
class Watched:
    """One watch over scripted nodes, and what was heard of it."""

    fakes: FakeTransports
    asked: Asked
    heard: Heard = field(default_factory=Heard)
    forks: int | None = None
    watch: FleetWatch = field(init=False)

    def __post_init__(self) -> None:
        self.watch = FleetWatch(
            self.asked,
            self.heard,
            transports=self.fakes,
            deadlines=Deadlines(),
            forks=self.forks,
            backoff=EXACT,
            spread_s=0,
        )

    async def for_s(self, seconds: float, *names: str) -> None:
        """Watch for so long, then cancel."""
        try:
            async with asyncio.timeout(seconds):
                await self.watch.run(hosts(*names))
        except TimeoutError:
            pass


def watched(scripts: dict[str, Script], asked: Asked, seconds: float = 10_000) -> Watched:
    """Watch scripted nodes for so long, or until all rounds have come."""

    async def scenario() -> Watched:
        made = Watched(FakeTransports(scripts), asked)
        await made.for_s(seconds, *scripts)
        return made

    made = on_moved_clock(scenario())
    assert not made.fakes.open
    assert made.fakes.over
    return made
