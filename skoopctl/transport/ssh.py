"""One SSH connection and one exec a host, with asyncssh. Host keys are always checked."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Self

import asyncssh

from skoopctl.errors import TransportError, UnreachableError
from skoopctl.inventory.host import InventoryHost
from skoopctl.transport import ssh_refusals
from skoopctl.transport.base import Job, Receiver
from skoopctl.transport.bastion import Bastion, Bastions
from skoopctl.transport.become import SudoTalk
from skoopctl.transport.command import command_line
from skoopctl.transport.connection import Connection
from skoopctl.transport.credentials import Trials
from skoopctl.transport.deadline import deadline
from skoopctl.transport.heartbeat import heartbeat
from skoopctl.transport.login import Login, Logins


class _Exec(asyncssh.SSHClientSession[bytes]):
    """Gives a receiver what a remote program says."""

    def __init__(self, receiver: Receiver, talk: SudoTalk | None) -> None:
        self._receiver = receiver
        self._talk = talk
        self.ended: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes, datatype: int | None) -> None:
        """Keep what came."""
        if datatype == asyncssh.EXTENDED_DATA_STDERR:
            hear = self._receiver.add_stderr if self._talk is None else self._talk.hear
            hear(data)
        elif not self._receiver.add_stdout(data):
            self._end(None)

    def eof_received(self) -> bool:
        """Keep stdin open although stdout has ended: the exit status is still to come."""
        return True

    def exit_status_received(self, status: int) -> None:
        """Keep the exit status."""
        self._receiver.exit_status = status

    def exit_signal_received(self, signal: str, core_dumped: bool, msg: str, lang: str) -> None:
        """Keep the signal that killed the program."""
        del core_dumped, msg, lang
        self._receiver.exit_signal = signal

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that nothing more will come."""
        self._end(exc)

    def _end(self, error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(error)
        if self._talk is not None:
            self._talk.end()


class SshTransport:
    """One host over SSH, straight or behind bastions; with a password for sudo, ``become`` has it."""

    def __init__(
        self, host: InventoryHost, logins: Logins, bastions: Bastions, become: Trials | None = None
    ) -> None:
        self._host = host
        self._logins = logins
        self._bastions = bastions
        self._become = become if host.become and host.become_method == "sudo" else None
        self._login: Login | None = None
        self._bastion: Bastion | None = None
        self._connection: Connection | None = None
        self._talk: SudoTalk | None = None

    @property
    def waiting_for(self) -> str:
        """What has not come yet."""
        if self._connection is None:
            return "what ~/.ssh/config says about the host (Match exec)"
        if self._connection.ssh is None:
            return self._connection.waiting_for
        talking = self._talk.waiting_for if self._talk is not None else ""
        return talking or "the program on the host to end"

    @asynccontextmanager
    async def turn(self, connect_s: float) -> AsyncIterator[None]:
        """Wait for the bastions, and then for one of the places in which logins happen."""
        async with deadline(
            self._host.name, "connect", connect_s, hint=lambda: f"waited for {self.waiting_for}"
        ):
            login = self._login = await self._logins.prepare(self._host)
        async with AsyncExitStack() as stack:
            through: Connection | None = None
            if login.hops:
                self._bastion = await self._bastions.reach(self._host, login.hops, connect_s)
                through = self._bastion.connection
                await stack.enter_async_context(self._bastion.turn())
            else:
                await stack.enter_async_context(self._logins.slot(self._host, login))
            self._connection = Connection(self._host, login, through)
            yield

    async def __aenter__(self) -> Self:
        if self._connection is None:
            raise RuntimeError("connecting out of turn")
        await self._connection.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._connection is not None:
            await self._connection.close(hard=kind is not None)

    async def run(self, job: Job, receiver: Receiver) -> None:
        """Run the job's command and wait for its end."""
        if self._connection is None or self._connection.ssh is None:
            raise RuntimeError("run() outside of the connection's context")
        talk = self._talk = SudoTalk(self._host, self._become, receiver) if self._become is not None else None
        session = _Exec(receiver, talk)
        try:
            channel, _ = await self._connection.ssh.create_session(
                lambda: session,
                command_line(self._host, job.command, talk),
                encoding=None,
                request_pty=False,
                env=None,
                send_env=None,
            )
        except (asyncssh.Error, OSError) as error:
            raise ssh_refusals.no_exec(self._host, error) from None

        def write(data: bytes) -> None:
            with contextlib.suppress(OSError):  # the channel may be closed already: `ended` says why
                channel.write(data)

        try:
            if talk is None:
                write(job.stdin)
            else:
                await talk.hold(write, job.stdin)
            receiver.opened(write)
            with heartbeat(write, job.heartbeat_s):
                broken = await session.ended
        except BaseException:
            channel.abort()  # the program's stdin ends; the connection may run another
            raise
        if receiver.stopped:
            channel.abort()
        elif receiver.exit_status is None and receiver.exit_signal is None:
            raise self._cut(receiver, broken)

    def _cut(self, receiver: Receiver, error: Exception | None) -> TransportError:
        if self._bastion is not None and not self._bastion.connection.alive:
            return UnreachableError(
                self._host.name,
                f"{self._bastion.connection.host.name} hung up after {receiver.size} bytes of the answer",
                hint="run again; if it stays so, look at sshd's log on the bastion",
            )
        said = f": {error}" if error is not None and str(error) else ""
        return UnreachableError(
            self._host.name,
            f"the connection broke after {receiver.size} bytes of the answer{said}",
            hint="run again; if it stays so, look at sshd's log on the host",
        )
