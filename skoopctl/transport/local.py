"""The machine that skoopctl runs on: the same job as a child process, without SSH."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from subprocess import PIPE
from types import TracebackType
from typing import Self, cast

from skoopctl.errors import UnreachableError
from skoopctl.inventory.host import InventoryHost
from skoopctl.transport.base import Job, Receiver
from skoopctl.transport.become import SudoTalk
from skoopctl.transport.command import command_line
from skoopctl.transport.credentials import Trials
from skoopctl.transport.heartbeat import heartbeat

_LAST_WAIT_S = 1.0
"""How long a process may take to be gone. One of another user cannot be killed and ends by its stdin."""


class LocalTransport:
    """Runs the job in a session of its own, which is killed as a whole in the end."""

    def __init__(self, host: InventoryHost, become: Trials | None = None) -> None:
        self._host = host
        self._become = become if host.become and host.become_method == "sudo" else None
        self._children: dict[_Child, asyncio.SubprocessTransport] = {}

    @property
    def waiting_for(self) -> str:
        """What has not come yet."""
        return "the program on this machine to end"

    @asynccontextmanager
    async def turn(self, connect_s: float) -> AsyncIterator[None]:
        """Nothing to wait for."""
        del connect_s
        yield

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for protocol in list(self._children):
            await self._end(protocol)

    async def _end(self, protocol: _Child) -> None:
        child = self._children.pop(protocol, None)
        if child is None:
            return
        # A process of another user (sudo) cannot be killed, but its stdin can be closed.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.get_pid(), signal.SIGKILL)
        with contextlib.suppress(PermissionError):
            child.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WAIT_S):
                await asyncio.shield(protocol.exited)

    async def run(self, job: Job, receiver: Receiver) -> None:
        """Run the job's command with ``/bin/sh``; several may run at once."""
        talk = SudoTalk(self._host, self._become, receiver) if self._become is not None else None
        command = command_line(self._host, job.command, talk)
        protocol = _Child(receiver, asyncio.get_running_loop(), talk)
        try:
            child = await self._start(command, protocol)
            stdin = cast("asyncio.WriteTransport", child.get_pipe_transport(0))
            if talk is None:
                stdin.write(job.stdin)
            else:
                await talk.hold(stdin.write, job.stdin)
            receiver.opened(stdin.write)
            with heartbeat(stdin.write, job.heartbeat_s):
                await protocol.ended
        except BaseException:
            await self._end(protocol)
            raise
        status = child.get_returncode()
        if status is not None and status < 0:
            receiver.exit_signal = signal.Signals(-status).name.removeprefix("SIG")
        else:
            receiver.exit_status = status

    async def _start(self, command: str, protocol: _Child) -> asyncio.SubprocessTransport:
        """Start the process. One that is starting when a deadline passes is waited for, so that it can be ended.

        asyncio leaves the pipes of a start that is broken off half-way open.
        """
        loop = asyncio.get_running_loop()
        starting = asyncio.ensure_future(
            loop.subprocess_shell(
                lambda: protocol, command, stdin=PIPE, stdout=PIPE, stderr=PIPE, start_new_session=True
            )
        )
        try:
            await asyncio.wait([starting])
        finally:
            if not starting.done():
                await asyncio.wait([starting])
            if not starting.cancelled() and starting.exception() is None:
                self._children[protocol] = starting.result()[0]
        try:
            return starting.result()[0]
        except OSError as error:
            raise UnreachableError(self._host.name, f"cannot start a process: {error.strerror}") from None


class _Child(asyncio.SubprocessProtocol):
    """Gives a receiver what a child process says."""

    def __init__(self, receiver: Receiver, loop: asyncio.AbstractEventLoop, talk: SudoTalk | None) -> None:
        self._receiver = receiver
        self._talk = talk
        self.exited: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        """Exited and both pipes read to their ends, or more output than is allowed."""

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Keep what came on stdout (1) or stderr (2)."""
        if fd != 1:
            hear = self._receiver.add_stderr if self._talk is None else self._talk.hear
            hear(data)
        elif not self._receiver.add_stdout(data):
            self._end()

    def process_exited(self) -> None:
        """Note that the process is gone; its output may still be on the way."""
        if not self.exited.done():
            self.exited.set_result(None)

    def connection_lost(self, _error: Exception | None) -> None:
        """Note that the process is gone and all of its output is here."""
        self._end()

    def _end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)
        if self._talk is not None:
            self._talk.end()
