"""The fleet over scripted hosts, on a clock that jumps: deadlines of minutes pass in no time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

import pytest

from skoopctl.errors import (
    AuthenticationError,
    DeniedError,
    HostKeyError,
    TransportError,
    UnreachableError,
    UnsupportedError,
)
from skoopctl.inventory import InventoryHost
from skoopctl.transport import Deadlines, HostResult, HostStatus, Job
from skoopctl.transport.base import Answer
from skoopctl.transport.fake import FakeTransports, MovedClockLoop, Script
from skoopctl.transport.fleet import run_fleet

T = TypeVar("T")
JOB = Job("program", b"payload")


def on_moved_clock(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a loop whose clock jumps."""
    with asyncio.Runner(loop_factory=MovedClockLoop) as runner:
        return runner.run(main)


def hosts(*names: str) -> list[InventoryHost]:
    """Return hosts with these names."""
    return [InventoryHost(name, name) for name in names]


def ask(script: Script, job: Job = JOB, deadlines: Deadlines | None = None) -> HostResult:
    """Ask one host that behaves as ``script`` says."""
    fakes = FakeTransports({"a": script})
    result = on_moved_clock(run_fleet(hosts("a"), job, deadlines=deadlines, transports=fakes))[0]
    assert not fakes.open
    return result


def test_each_host_gives_one_result_in_order() -> None:
    """The slowest host does not change its place."""
    fakes = FakeTransports(
        {
            "a": Script(b"A", run_s=5),
            "b": Script(refuses=UnreachableError("b", "down")),
            "c": Script(b"C", run_s=1),
        }
    )
    results = on_moved_clock(run_fleet(hosts("a", "b", "c"), JOB, transports=fakes))
    assert [(r.host, r.status, r.stdout) for r in results] == [
        ("a", HostStatus.OK, b"A"),
        ("b", HostStatus.UNREACHABLE, b""),
        ("c", HostStatus.OK, b"C"),
    ]
    assert fakes.jobs == {"a": JOB, "c": JOB}


def test_no_hosts_give_no_results() -> None:
    """An empty fleet is done at once."""
    assert on_moved_clock(run_fleet([], JOB, transports=FakeTransports({}))) == []


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UnreachableError("a", "x"), HostStatus.UNREACHABLE),
        (AuthenticationError("a", "x"), HostStatus.AUTH_FAILED),
        (HostKeyError("a", "x"), HostStatus.AUTH_FAILED),
        (DeniedError("a", "x"), HostStatus.DENIED),
        (UnsupportedError("a", "x"), HostStatus.UNSUPPORTED),
    ],
)
def test_an_error_while_connecting_gives_its_status(error: TransportError, status: HostStatus) -> None:
    """Errors become statuses and stay in the result."""
    result = ask(Script(refuses=error))
    assert (result.status, result.error) == (status, error)


def test_a_connection_that_breaks_keeps_what_came() -> None:
    """Half an answer is partial, and no answer is unreachable."""
    broken = UnreachableError("a", "broke")
    half = ask(Script(b"half", breaks=broken))
    assert (half.status, half.stdout, half.error) == (HostStatus.PARTIAL, b"half", broken)
    assert ask(Script(breaks=broken)).status is HostStatus.UNREACHABLE


def test_a_program_that_fails_after_output_is_partial() -> None:
    """A non-zero exit is a complaint that quotes stderr."""
    result = ask(Script(b"half", stderr=b"Traceback\nValueError: no\n", exit_status=1))
    assert (result.status, result.exit_status) == (HostStatus.PARTIAL, 1)
    assert "status 1 after 4 bytes: ValueError: no" in str(result.error)


def test_too_much_output_is_cut_at_the_limit() -> None:
    """The first bytes are kept, and the result says that there was more."""
    result = ask(Script(b"x" * 100), Job("program", max_output=10))
    assert (result.status, result.stdout) == (HostStatus.PARTIAL, b"x" * 10)
    assert "larger than 10 bytes" in str(result.error)


@pytest.mark.parametrize(
    ("script", "stage", "seconds"),
    [
        (Script(connect_s=1000), "connect", 10),
        (Script(b"half", run_s=1000), "program", 30),
    ],
)
def test_a_host_that_hangs_costs_one_deadline(script: Script, stage: str, seconds: float) -> None:
    """The default deadlines are on; what had come stays."""
    result = ask(script)
    assert result.status is HostStatus.TIMEOUT
    assert result.elapsed_s == pytest.approx(seconds)
    assert f"within the {stage} deadline of {seconds} s" in str(result.error)
    assert "waited for the script" in str(result.error)
    assert result.stdout == script.stdout


def test_the_host_deadline_covers_connecting_and_running_together() -> None:
    """Neither of the two is late, but both together are."""
    limits = Deadlines(connect_s=10, program_s=30, host_s=20)
    result = ask(Script(connect_s=9, run_s=29), deadlines=limits)
    assert result.elapsed_s == pytest.approx(20)
    assert "within the host deadline of 20 s" in str(result.error)


def test_waiting_for_a_turn_at_a_bastion_costs_no_deadline_of_the_host() -> None:
    """A host that others hold up for minutes still has all of its own time."""
    result = ask(Script(b"x", turn_s=200, connect_s=9, run_s=29))
    assert (result.status, result.stdout) == (HostStatus.OK, b"x")


def test_what_the_hosts_shared_is_closed_at_the_end_also_of_a_cancelled_run() -> None:
    """Bastions do not outlive a run, whatever ended it."""
    for limit, script in ((None, Script(b"x")), (1, Script(run_s=20))):
        fakes = FakeTransports({"a": script})

        async def scenario(fakes: FakeTransports = fakes, limit: float | None = limit) -> None:
            async with asyncio.timeout(limit):
                await run_fleet(hosts("a"), JOB, transports=fakes)

        with nullcontext() if limit is None else pytest.raises(TimeoutError):
            on_moved_clock(scenario())
        assert fakes.over


def test_noise_before_the_beginning_of_the_answer_is_cut_off() -> None:
    """A login shell that prints without end is told apart from a large answer."""
    job = Job("program", begins=b"\x89MARK")
    result = ask(Script(b"motd\n" * 300_000), job)
    assert result.status is HostStatus.UNSUPPORTED
    assert "printed more than 1048576 bytes before the program's answer" in str(result.error)
    assert ask(Script(b"motd\n" * 1000 + b"\x89MARK" + b"x" * 2_000_000), job).status is HostStatus.OK


def test_the_run_deadline_ends_hosts_that_never_had_their_turn() -> None:
    """With one at a time, the second and third host find the run over."""
    fakes = FakeTransports(dict.fromkeys("abc", Script(b"x", run_s=20)))
    limits = Deadlines(run_s=30)
    results = on_moved_clock(
        run_fleet(hosts("a", "b", "c"), JOB, deadlines=limits, forks=1, transports=fakes)
    )
    assert [r.status.value for r in results] == ["ok", "timeout", "timeout"]
    assert [r.stdout for r in results] == [b"x", b"x", b""]
    assert [r.began_s for r in results] == [0, 20, None]
    assert all("within the run deadline of 30 s" in str(r.error) for r in results[1:])


@dataclass
class _Faulty:
    """A transport whose ``run`` raises what no transport should raise."""

    fault: Exception
    waiting_for: str = ""

    def __call__(self, _host: InventoryHost) -> _Faulty:
        return self

    def turn(self, _connect_s: float) -> AbstractAsyncContextManager[None]:
        """Wait for nothing."""
        return nullcontext()

    async def close(self) -> None:
        """Nothing is shared."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        return None

    async def run(self, _job: Job, _answer: Answer) -> None:
        """Raise it."""
        raise self.fault


@pytest.mark.parametrize("fault", [TimeoutError(110, "Connection timed out"), ValueError("oops")])
def test_a_fault_at_one_host_is_that_hosts_result(fault: Exception) -> None:
    """A bug costs one row, keeps its cause, and the system's ETIMEDOUT is not taken for our deadline."""
    result = on_moved_clock(run_fleet(hosts("a"), JOB, transports=_Faulty(fault)))[0]
    assert result.status is HostStatus.UNREACHABLE
    assert "fault of skoopctl" in str(result.error)
    assert result.error is not None
    assert result.error.__cause__ is fault


def test_when_a_hosts_turn_came_is_told() -> None:
    """With one at a time, each begins when the one before has ended; all at once begin together."""
    fakes = FakeTransports({name: Script(stdout=b"said", run_s=3) for name in "abc"})
    one_by_one = on_moved_clock(run_fleet(hosts("a", "b", "c"), JOB, forks=1, transports=fakes))
    assert [result.began_s for result in one_by_one] == pytest.approx([0, 3, 6])
    together = on_moved_clock(run_fleet(hosts("a", "b", "c"), JOB, transports=fakes))
    assert [result.began_s for result in together] == pytest.approx([0, 0, 0])


@pytest.mark.parametrize(("forks", "expected"), [(1, 1), (3, 3), (None, 100), (1000, 120)])
def test_no_more_hosts_are_asked_at_a_time_than_forks_says(forks: int | None, expected: int) -> None:
    """The default is everybody, but at most 100."""
    names = [f"h{number}" for number in range(120)]
    fakes = FakeTransports({name: Script(run_s=1) for name in names})
    results = on_moved_clock(run_fleet(hosts(*names), JOB, forks=forks, transports=fakes))
    assert fakes.most_open == expected
    assert {r.status for r in results} == {HostStatus.OK}


@dataclass
class Recorder:
    """An observer that writes down what it hears."""

    heard: list[str] = field(default_factory=list)

    def run_started(self, hosts: Sequence[InventoryHost]) -> None:
        """Write down how many."""
        self.heard.append(f"run of {len(hosts)}")

    def host_started(self, host: InventoryHost) -> None:
        """Write down who."""
        self.heard.append(f"{host.name} starts")

    def host_finished(self, result: HostResult) -> None:
        """Write down who and how."""
        self.heard.append(f"{result.host} {result.status}")

    def run_finished(self, results: Sequence[HostResult]) -> None:
        """Write down how many."""
        self.heard.append(f"{len(results)} results")


def test_an_observer_hears_every_event_once() -> None:
    """Progress, logs and metrics are built on these events."""
    recorder = Recorder()
    fakes = FakeTransports({"a": Script(run_s=2), "b": Script(run_s=1)})
    on_moved_clock(run_fleet(hosts("a", "b"), JOB, observer=recorder, transports=fakes))
    assert recorder.heard == ["run of 2", "a starts", "b starts", "b ok", "a ok", "2 results"]


def test_cancelling_closes_every_host_before_it_goes_on() -> None:
    """No connection and no task outlives the fleet."""

    async def scenario() -> tuple[set[str], list[str], int]:
        fakes = FakeTransports(dict.fromkeys("abc", Script(run_s=1000)))
        fleet = asyncio.create_task(run_fleet(hosts("a", "b", "c"), JOB, transports=fakes))
        await asyncio.sleep(1)
        assert fakes.open == {"a", "b", "c"}
        fleet.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fleet
        return fakes.open, sorted(fakes.closed), len(asyncio.all_tasks())

    assert on_moved_clock(scenario()) == (set(), ["a", "b", "c"], 1)


class Hearing(Recorder):
    """Keeps what each host wrote."""

    def __init__(self) -> None:
        super().__init__()
        self.output: list[bytes] = []

    def host_finished(self, result: HostResult) -> None:
        """Keep it."""
        self.output.append(result.stdout)


def test_output_that_nobody_keeps_is_the_observers_alone() -> None:
    """Of many hosts, all answers at once are much: the results have none, and the observer had each."""
    fakes, hearing = FakeTransports({"a": Script(b"A"), "b": Script(b"B")}), Hearing()
    run = run_fleet(hosts("a", "b"), JOB, observer=hearing, transports=fakes, keep_output=False)
    results = on_moved_clock(run)
    assert sorted(hearing.output) == [b"A", b"B"]
    assert [result.stdout for result in results] == [b"", b""]
