"""Long conversations with the real node program over real OpenSSH servers, broken in every way."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from sshd_host import SERVER, SshdHost, in_time, new_host, run, wait_for

from skoopctl.errors import DeadlineError, SkoopError, UnreachableError
from skoopctl.evidence.rounds import Round
from skoopctl.inventory import InventoryHost
from skoopctl.transport import Deadlines
from skoopctl.transport.backoff import Backoff
from skoopctl.transport.choice import RealTransports
from skoopctl.watching.fleet_watch import Asked, FleetWatch

pytestmark = pytest.mark.lab

NODE, BASTION, ONE, FALSE = 3301, 3302, 3303, 3304
INTERVAL_S = 0.3
ASKED = Asked(("tcp", "udp"), INTERVAL_S)


@pytest.fixture(scope="module")
def sshd() -> Iterator[SshdHost]:
    """Start a node, and a bastion that reaches it."""
    with new_host() as host:
        host.start(NODE)
        host.start(BASTION)
        public = " ".join((host.folder / "host_key.pub").read_text().split()[:2])
        host.known_hosts.write_text(f"* {public}\n")
        yield host


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever runs the tests has no say: neither an SSH configuration nor an agent."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@pytest.fixture(autouse=True)
def _nothing_runs(sshd: SshdHost) -> None:
    """What the test before has let go of takes a moment to end."""
    wait_for(lambda: not programs(sshd), "the end of earlier node programs")


@dataclass
class Heard:
    """A listener that counts, and lets a test wait for what is to come."""

    rounds: list[Round] = field(default_factory=list)
    errors: list[SkoopError] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def connecting(self, host: InventoryHost) -> None:
        """Note it."""
        self._note(f"{host.name} connecting")

    def connected(self, host: InventoryHost) -> None:
        """Note it."""
        self._note(f"{host.name} connected")

    def round_came(self, _host: InventoryHost, round_: Round) -> None:
        """Keep it."""
        self.rounds.append(round_)
        self.news.set()

    def broken(self, host: InventoryHost, error: SkoopError, _again_in_s: float | None) -> None:
        """Keep why."""
        self.errors.append(error)
        self._note(f"{host.name} broken")

    def ended(self, host: InventoryHost) -> None:
        """Note it."""
        self._note(f"{host.name} ended")

    def _note(self, word: str) -> None:
        self.words.append(word)
        self.news.set()

    async def until(self, condition: Callable[[], object], what: str, seconds: float = 20) -> None:
        """Wait for a condition that something which is heard brings about."""
        try:
            async with asyncio.timeout(in_time(seconds)):
                while not condition():
                    self.news.clear()
                    await self.news.wait()
        except TimeoutError:
            pytest.fail(f"waited for {what}; heard {self.words} {self.errors} and {len(self.rounds)} rounds")


@asynccontextmanager
async def watching(
    host: InventoryHost, asked: Asked = ASKED, connect_s: float = 10
) -> AsyncIterator[tuple[FleetWatch, Heard]]:
    """Watch a host while the body runs."""
    heard = Heard()
    watch = FleetWatch(
        asked,
        heard,
        transports=RealTransports(),
        deadlines=Deadlines(connect_s=connect_s),
        backoff=Backoff(first_s=0.1, most_s=0.5),
        spread_s=0,
    )
    running = asyncio.create_task(watch.run([host]))
    try:
        yield watch, heard
    finally:
        running.cancel()
        await asyncio.wait([running])
        if not running.cancelled():
            running.result()


def programs(sshd: SshdHost, port: int = NODE) -> list[int]:
    """Return the node programs of a server, by their process ids there."""
    rows = sshd.inside(port, "ps", "-e", "-ww", "-o", "pid=,stat=,args=").splitlines()
    found = [row.split(maxsplit=2) for row in rows]
    return [int(pid) for pid, stat, args in found if "_frozen_importlib" in args and stat[0] != "Z"]


async def no_programs(sshd: SshdHost, seconds: float) -> None:
    """Wait until no node program is left."""
    end = time.monotonic() + in_time(seconds)
    while left := programs(sshd):
        assert time.monotonic() < end, f"still there after {seconds} s: {left}"
        await asyncio.sleep(0.02)


async def test_all_rounds_come_and_nothing_is_left(sshd: SshdHost) -> None:
    """The node ends by itself, and so does the watch."""
    heard = Heard()
    watch = FleetWatch(
        Asked(("tcp",), INTERVAL_S, rounds=4),
        heard,
        transports=RealTransports(),
        deadlines=Deadlines(),
        spread_s=0,
    )
    async with asyncio.timeout(in_time(20)):
        await watch.run([sshd.target(port=NODE)])
    assert heard.words == ["node1 connecting", "node1 connected", "node1 ended"]
    assert [each.number for each in heard.rounds] == [1, 2, 3, 4]
    assert "Tcp:" in next(c for c in heard.rounds[0].changes if c.item == "snmp").payload.decode()
    await no_programs(sshd, 1)


async def test_a_watch_that_ends_leaves_nothing_within_a_second(sshd: SshdHost) -> None:
    """Closing the connection is enough."""
    async with watching(sshd.target(port=NODE)) as (_, heard):
        await heard.until(lambda: len(heard.rounds) >= 2, "two rounds")
        assert len(programs(sshd)) > 0
    await no_programs(sshd, 1)


async def test_a_node_program_that_is_killed_is_started_again(sshd: SshdHost) -> None:
    """The break says what happened, and rounds begin with number 1 again."""
    async with watching(sshd.target(port=NODE)) as (_, heard):
        await heard.until(lambda: len(heard.rounds) >= 2, "two rounds")
        sshd.inside(NODE, "kill", "-9", *map(str, programs(sshd)))
        await heard.until(lambda: heard.errors, "the break")
        before = len(heard.rounds)
        await heard.until(lambda: len(heard.rounds) >= before + 2, "rounds after the break")
        assert "SIGKILL" in str(heard.errors[0]) or "status 137" in str(heard.errors[0])
        assert heard.rounds[before].number == 1


async def test_an_sshd_that_is_restarted_costs_some_rounds(sshd: SshdHost) -> None:
    """The watch goes on when the server is there again."""
    async with watching(sshd.target(port=NODE)) as (_, heard):
        await heard.until(lambda: len(heard.rounds) >= 2, "two rounds")
        sshd.kill(NODE)
        await heard.until(lambda: heard.errors, "the break")
        await asyncio.to_thread(sshd.start, NODE)
        before = len(heard.rounds)
        await heard.until(lambda: len(heard.rounds) >= before + 2, "rounds after the restart")
        assert isinstance(heard.errors[0], UnreachableError)


async def test_a_node_program_that_is_stopped_is_silence(sshd: SshdHost) -> None:
    """Nobody hangs with it: two intervals and ten seconds, and a new login."""
    async with watching(sshd.target(port=NODE)) as (_, heard):
        await heard.until(lambda: len(heard.rounds) >= 2, "two rounds")
        stopped = programs(sshd)
        sshd.inside(NODE, "kill", "-STOP", *map(str, stopped))
        await heard.until(lambda: heard.errors, "the silence", 30)
        assert isinstance(heard.errors[0], DeadlineError)
        assert "round deadline of 10.6 s" in str(heard.errors[0])
        before = len(heard.rounds)
        await heard.until(lambda: len(heard.rounds) > before, "rounds after the silence")
        sshd.inside(NODE, "kill", "-CONT", *map(str, stopped))
    await no_programs(sshd, 2)


async def test_a_node_that_is_cut_off_ends_the_program_within_its_lease(sshd: SshdHost) -> None:
    """No packet gets through any more, so nothing tells the node: it hears no heartbeat, and ends."""
    lease_s = 5
    asked = Asked(("tcp",), INTERVAL_S, lease_s=lease_s)
    cut = ["INPUT", "-p", "tcp", "-j", "DROP"]
    inside = ["ip", "netns", "exec", sshd.server, "iptables"]
    async with watching(sshd.target(port=NODE), asked) as (_, heard):
        # Longer than the lease: the heartbeat keeps it up.
        enough = 1.8 * lease_s / INTERVAL_S
        await heard.until(lambda: len(heard.rounds) >= enough, "rounds for longer than the lease")
        assert not heard.errors
        run(*inside, "-I", *cut)
        try:
            await no_programs(sshd, lease_s + 1)
        finally:
            run(*inside, "-D", *cut)


async def test_other_probes_are_another_exec_on_the_same_connection(sshd: SshdHost) -> None:
    """One login, and never two programs for long."""
    logins = sshd.log(NODE).count("Accepted publickey")
    async with watching(sshd.target(port=NODE)) as (watch, heard):
        await heard.until(lambda: len(heard.rounds) >= 2, "two rounds")
        watch.set_asked(Asked(("softnet",), INTERVAL_S))
        before = len(heard.rounds)

        def others() -> list[Round]:
            """Return the rounds from the first of the other program on; one or two of the one before may come yet."""
            return list(itertools.dropwhile(lambda each: each.number != 1, heard.rounds[before:]))

        await heard.until(lambda: len(others()) >= 3, "rounds of the other probe")
        assert "softnet" in {c.item for c in others()[0].changes}
        assert [each.number for each in others()[:3]] == [1, 2, 3]
        assert sshd.log(NODE).count("Accepted publickey") == logins + 1
        assert not heard.errors
        assert len(programs(sshd)) <= 2


async def test_a_bastion_that_breaks_is_opened_again_once_for_all_behind_it(sshd: SshdHost) -> None:
    """Each host reconnects, over one new login to the bastion."""
    hosts = [
        sshd.target(
            name=f"n{number}", address=f"127.1.0.{number}", port=NODE, jump=f"root@{SERVER}:{BASTION}"
        )
        for number in range(1, 5)
    ]
    heard = Heard()
    logins = sshd.log(BASTION).count("Accepted publickey")
    watch = FleetWatch(
        ASKED,
        heard,
        transports=RealTransports(),
        deadlines=Deadlines(),
        backoff=Backoff(first_s=0.2, most_s=1),
        spread_s=0,
    )
    running = asyncio.create_task(watch.run(hosts))
    try:
        await heard.until(lambda: len(heard.rounds) >= 8, "rounds of all")
        assert sshd.log(BASTION).count("Accepted publickey") == logins + 1
        sshd.kill(BASTION)
        await heard.until(lambda: len({str(e).partition(":")[0] for e in heard.errors}) == 4, "the breaks")
        await asyncio.to_thread(sshd.start, BASTION)
        before = len(heard.rounds)
        await heard.until(lambda: len(heard.rounds) >= before + 12, "rounds after the break", 30)
        assert sshd.log(BASTION).count("Accepted publickey") == 1
        assert all("bastion" in str(error) for error in heard.errors)
    finally:
        running.cancel()
        await asyncio.wait([running])
    await no_programs(sshd, 2)


async def test_a_server_that_allows_one_session_only_is_asked_for_other_probes_too(sshd: SshdHost) -> None:
    """If it takes no second exec yet, a new login is made soon, and not after minutes."""
    sshd.start(ONE, "MaxSessions=1")
    async with watching(sshd.target(port=ONE)) as (watch, heard):
        await heard.until(lambda: len(heard.rounds) >= 2, "two rounds")
        watch.set_asked(Asked(("softnet",), INTERVAL_S))
        before = len(heard.rounds)
        await heard.until(
            lambda: "softnet" in {c.item for each in heard.rounds[before:] for c in each.changes},
            "rounds of the other probe",
        )


async def test_a_bastion_that_is_down_is_not_stormed(sshd: SshdHost) -> None:
    """Twenty hosts behind it ask again and again; it is dialled as often as for one."""
    dialled = 0

    def count() -> None:
        nonlocal dialled
        with contextlib.suppress(OSError):
            while True:
                accepted, _ = listener.accept()
                dialled += 1
                accepted.close()

    listener = sshd.listener(FALSE)
    counting = threading.Thread(target=count)
    counting.start()
    heard = Heard()
    watch = FleetWatch(
        ASKED,
        heard,
        transports=RealTransports(),
        deadlines=Deadlines(),
        backoff=Backoff(first_s=0.2, most_s=0.4),
        spread_s=0,
    )
    hosts = [
        sshd.target(name=f"n{number}", address=f"127.1.0.{number}", port=NODE, jump=f"root@{SERVER}:{FALSE}")
        for number in range(20)
    ]
    running = asyncio.create_task(watch.run(hosts))
    try:
        await heard.until(lambda: len(heard.errors) >= 200, "many attempts", 30)
    finally:
        running.cancel()
        await asyncio.wait([running])
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        await asyncio.to_thread(counting.join, 5)
    # Each time that it is opened it is dialled four times, for a login that is dropped may be MaxStartups.
    assert 4 <= dialled <= 24, f"{dialled} for {len(heard.errors)} attempts"
    assert all("bastion" in str(error) for error in heard.errors)


async def test_a_host_that_leaves_is_closed_at_once(sshd: SshdHost) -> None:
    """Nothing of it is left on the node, and the watch goes on without it."""
    async with watching(sshd.target(port=NODE)) as (watch, heard):
        await heard.until(lambda: len(heard.rounds) >= 2, "two rounds")
        watch.set_hosts([])
        await heard.until(lambda: "node1 ended" in heard.words, "its end", 3)
        await no_programs(sshd, 1)
