"""What a long program writes is handed on and not kept, and its stdin gets a byte now and then."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import pytest

from skoopctl.errors import EvidenceError, TransportError
from skoopctl.inventory import InventoryHost
from skoopctl.transport import Job
from skoopctl.transport.base import MOST_NOISE, MOST_STDERR, Answer, Receiver
from skoopctl.transport.fake import FakeTransports, MovedClockLoop, Script
from skoopctl.transport.handing import HandingOn
from skoopctl.transport.local import LocalTransport
from skoopctl.transport.verdict import complaint

HERE = InventoryHost("here", "localhost", connection="local")
SLEEP = f"9876.{os.getpid()}"


async def converse(job: Job, receiver: Receiver, limit_s: float = 20) -> None:
    """Run a job on this machine."""
    async with asyncio.timeout(limit_s), LocalTransport(HERE) as transport:
        await transport.run(job, receiver)


def test_what_comes_is_handed_on_from_the_beginning_on() -> None:
    """A login shell's chatter is left out, also when the mark comes in pieces."""
    got: list[bytes] = []
    receiver = HandingOn(got.append, begins=b"MAGIC")
    for piece in (b"Welcome!\nMA", b"GI", b"C1", b"MAGIC2"):
        assert receiver.add_stdout(piece)
    assert got == [b"MAGIC1", b"MAGIC2"]
    assert (receiver.begun, receiver.stdout) == (True, b"")


def test_output_that_is_refused_ends_the_conversation_with_the_reason() -> None:
    """Nothing that comes later is handed on any more."""
    got: list[bytes] = []

    def take(data: bytes) -> None:
        got.append(data)
        raise EvidenceError("cannot be read")

    receiver = HandingOn(take)
    assert [receiver.add_stdout(b"x"), receiver.add_stdout(b"y")] == [False, False]
    assert (str(receiver.error), got, receiver.stopped) == ("cannot be read", [b"x"], True)


def test_a_login_that_prints_without_end_is_cut_off() -> None:
    """Up to a mebibyte may come before the beginning, and is what a complaint quotes."""
    receiver = HandingOn(lambda _: pytest.fail("noise was handed on"), begins=b"MAGIC")
    assert receiver.add_stdout(b"x" * MOST_NOISE)
    assert not receiver.add_stdout(b"x")
    assert "printed more than" in str(complaint(HERE, receiver))


def test_a_program_that_poured_out_gigabytes_left_nothing_in_memory() -> None:
    """Of stderr the beginning is kept; of stdout nothing."""
    receiver = HandingOn(lambda _: None, begins=b"x")
    for _ in range(1000):
        receiver.add_stdout(b"x" * 65536)
        receiver.add_stderr(b"e" * 65536)
    assert (receiver.size, receiver.stdout, len(receiver.stderr)) == (65_536_000, b"", MOST_STDERR)


def test_an_end_is_judged_as_that_of_an_answer() -> None:
    """A program that was killed after it had begun has a complaint that says so."""
    receiver = HandingOn(lambda _: None, begins=b"M")
    receiver.add_stdout(b"M123")
    receiver.exit_signal = "KILL"
    said = complaint(HERE, receiver)
    assert type(said) is TransportError
    assert "killed by SIGKILL after 4 bytes" in str(said)


def test_a_local_program_gets_a_byte_on_its_stdin_now_and_then() -> None:
    """The program counts beats, and gets none before its stdin."""
    receiver = Answer(100)
    asyncio.run(converse(Job("head -c 8", b"hello", heartbeat_s=0.01), receiver))
    assert receiver.stdout == b"hello\n\n\n"


def test_without_a_heartbeat_nothing_follows_the_stdin() -> None:
    """A one-shot job's program may read what it was sent and no more."""
    receiver = Answer(100)
    with pytest.raises(TimeoutError):
        asyncio.run(converse(Job("head -c 8", b"hello"), receiver, 0.3))
    assert receiver.stdout == b""


def test_a_job_that_was_cancelled_is_followed_by_another_on_the_same_transport() -> None:
    """The first program is gone when the second runs."""

    async def scenario() -> bytes:
        first, second = HandingOn(lambda _: began.set()), Answer(100)
        began = asyncio.Event()
        async with asyncio.timeout(20), LocalTransport(HERE) as transport:
            running = asyncio.create_task(transport.run(Job(f"echo $$; exec sleep {SLEEP}"), first))
            await began.wait()
            running.cancel()
            await asyncio.wait([running])
            await transport.run(Job(f"pgrep -f '[s]leep {SLEEP}' || echo none"), second)
        return second.stdout

    assert asyncio.run(scenario()) == b"none\n"


def test_a_fake_host_pours_out_over_time_and_counts_its_beats() -> None:
    """What tests of long conversations stand on: a clock that jumps moves both."""

    async def pours(_job: Job) -> AsyncIterator[bytes]:
        for number in range(3):
            await asyncio.sleep(10)
            yield b"%d" % number

    async def scenario() -> tuple[bytes, dict[str, int]]:
        fakes, answer = FakeTransports({"a": Script(b"begin:", pours=pours)}), Answer(100)
        async with fakes(InventoryHost("a", "a")) as transport:
            await transport.run(Job("x", heartbeat_s=4), answer)
        return answer.stdout, fakes.beats

    with asyncio.Runner(loop_factory=MovedClockLoop) as runner:
        assert runner.run(scenario()) == (b"begin:012", {"a": 7})
