"""One SSH connection and one exec a host, with asyncssh. Host keys are always checked."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
from types import TracebackType
from typing import Self

import asyncssh

from skoopctl.errors import TransportError, UnreachableError
from skoopctl.inventory.host import InventoryHost
from skoopctl.transport import ssh_refusals
from skoopctl.transport.base import Answer, Job
from skoopctl.transport.command import command_line
from skoopctl.transport.dial import dial
from skoopctl.transport.identities import KeyWithCertificate, open_agent
from skoopctl.transport.login import KEEPALIVE_S, KEEPALIVES_MISSED, Login, Logins
from skoopctl.transport.proxy import Proxy, open_proxy

# What asyncssh would log stands in each host's result; without a handler Python prints it to stderr.
logging.getLogger("asyncssh").addHandler(logging.NullHandler())

_LAST_WAIT_S = 1.0
_RETRY_S = (0.1, 0.5)
"""Bounds of the random time before the one retry of a dropped login: not all shall come at once."""


class LoginWatch(asyncssh.SSHClient):
    """Follows one login, to be able to say how far it came."""

    def __init__(self) -> None:
        self.connection: asyncssh.SSHClientConnection | None = None
        self.refused_key: asyncssh.SSHKey | None = None
        self.authenticating = False

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        """Remember the connection: its properties tell what the server has said."""
        self.connection = conn

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """Remember a host key that is not trusted, and refuse it."""
        del host, addr, port
        self.refused_key = key
        return False

    def begin_auth(self, username: str) -> None:
        """Note that the server is the right one and that its login begins."""
        del username
        self.authenticating = True

    def debug_msg_received(self, msg: str, lang: str, always_display: bool) -> None:
        """Acknowledge at once, which saves 40 ms a host.

        sshd sends debug messages after the login, and holds back its answer to the exec until they are
        acknowledged (it uses Nagle's algorithm until a session is open); Linux delays acknowledgements
        unless it is told (tcp(7): TCP_QUICKACK, not permanent).
        """
        del msg, lang, always_display
        sock = self.connection.get_extra_info("socket") if self.connection is not None else None
        if sock is not None and sock.family in {socket.AF_INET, socket.AF_INET6}:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    @property
    def server_spoke(self) -> bool:
        """Whether the server has sent its SSH version."""
        return self.connection is not None and bool(self.connection.get_extra_info("server_version"))


class _Exec(asyncssh.SSHClientSession[bytes]):
    """Fills an answer with what a remote program says."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.ended: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes, datatype: int | None) -> None:
        """Keep what came."""
        if datatype == asyncssh.EXTENDED_DATA_STDERR:
            self._answer.add_stderr(data)
        elif not self._answer.add_stdout(data):
            self._end(None)

    def eof_received(self) -> bool:
        """Keep stdin open although stdout has ended: the exit status is still to come."""
        return True

    def exit_status_received(self, status: int) -> None:
        """Keep the exit status."""
        self._answer.exit_status = status

    def exit_signal_received(self, signal: str, core_dumped: bool, msg: str, lang: str) -> None:
        """Keep the signal that killed the program."""
        del core_dumped, msg, lang
        self._answer.exit_signal = signal

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that nothing more will come."""
        self._end(exc)

    def _end(self, error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(error)


class SshTransport:
    """One host over SSH."""

    def __init__(self, host: InventoryHost, logins: Logins) -> None:
        self._host = host
        self._logins = logins
        self._login: Login | None = None
        self._watch = LoginWatch()
        self._agent: asyncssh.SSHAgentClient | None = None
        self._agent_keys: list[asyncssh.SSHKeyPair] = []
        self._connection: asyncssh.SSHClientConnection | None = None
        self._proxy: Proxy | None = None

    @property
    def waiting_for(self) -> str:
        """What has not come yet."""
        if self._login is None:
            return "the answer of the resolver and ~/.ssh/config"
        target = self._login.target
        if self._connection is not None:
            return "the program on the host to end"
        if self._watch.connection is None:
            return f"a TCP connection to {target}: is the host up, is a firewall in the way?"
        if not self._watch.server_spoke:
            return f"an SSH greeting: {target} accepts connections and says nothing; is that port sshd's?"
        if not self._watch.authenticating:
            return f"the key exchange with {target}"
        return f"{target} to accept the login of {self._login.user}"

    async def __aenter__(self) -> Self:
        login = self._login = await self._logins.prepare(self._host)
        try:
            async with self._logins.slot(self._host, login):
                self._connection = await self._connect_twice(login)
        finally:
            if self._agent is not None:
                self._agent.close()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._connection is not None:
            if kind is None:
                self._connection.close()
            else:
                self._connection.abort()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WAIT_S):
                    await self._connection.wait_closed()
            self._connection.abort()
        if self._proxy is not None:
            await self._proxy.close()

    async def run(self, job: Job, answer: Answer) -> None:
        """Run the job's command and wait for its end."""
        if self._connection is None:
            raise RuntimeError("run() outside of the connection's context")
        session = _Exec(answer)
        try:
            channel, _ = await self._connection.create_session(
                lambda: session,
                command_line(self._host, job.command),
                encoding=None,
                request_pty=False,
                env=None,
                send_env=None,
            )
        except (asyncssh.Error, OSError) as error:
            raise ssh_refusals.no_exec(self._host, error) from None
        with contextlib.suppress(OSError):  # the channel may be closed already: `ended` says why
            channel.write(job.stdin)
        broken = await session.ended
        if answer.overflowed:
            channel.abort()
        elif answer.exit_status is None and answer.exit_signal is None:
            raise self._cut(answer, broken)

    def _cut(self, answer: Answer, error: Exception | None) -> TransportError:
        said = f": {error}" if error is not None and str(error) else ""
        return UnreachableError(
            self._host.name,
            f"the connection broke after {answer.size} bytes of the answer{said}",
            hint="run again; if it stays so, look at sshd's log on the host",
        )

    async def _connect_twice(self, login: Login) -> asyncssh.SSHClientConnection:
        """Connect; when the server hangs up before the login begins, once more a little later."""
        try:
            return await self._connect(login)
        except ssh_refusals.DroppedError:
            await asyncio.sleep(random.uniform(*_RETRY_S))  # noqa: S311 - spreads load, guards nothing
            return await self._connect(login)

    async def _connect(self, login: Login) -> asyncssh.SSHClientConnection:
        """Open one connection and log in; raise one of our errors that says what is in the way."""
        watch = self._watch = LoginWatch()
        keys = await self._keys(login)
        wire = await self._wire(login)
        try:
            return await asyncssh.connect(
                self._host.address,
                login.options.port,
                sock=wire,
                options=login.options,
                client_factory=lambda: watch,
                known_hosts=login.trusted.for_asyncssh,
                server_host_key_algs=login.host_key_algorithms,
                x509_trusted_certs=None,
                x509_trusted_cert_paths=[],
                config=None,
                client_keys=keys,
                client_certs=[],
                agent_path=None,
                agent_forwarding=False,
                proxy_command=None,
                pkcs11_provider=None,
                preferred_auth=["publickey"],
                client_host_keysign=None,
                gss_host=None,
                compression_algs=["none"],
                encryption_algs=login.ciphers,
                connect_timeout=None,
                login_timeout=0,
                keepalive_interval=KEEPALIVE_S,
                keepalive_count_max=KEEPALIVES_MISSED,
            )
        except BaseException as error:
            if watch.connection is None:
                wire.close()
            said = await self._close_proxy(error)
            if isinstance(error, asyncssh.Error | OSError | ValueError):
                raise ssh_refusals.no_login(self._host, login, watch, error, said) from None
            raise

    async def _wire(self, login: Login) -> socket.socket:
        """Return a connected socket to the server: straight, or through the ProxyCommand of ~/.ssh/config."""
        if login.proxy_command is None:
            return await dial(self._host, login.name, login.port, login.options.family)
        self._proxy = await open_proxy(self._host, login.proxy_command)
        return self._proxy.wire

    async def _close_proxy(self, error: BaseException) -> str:
        """End the proxy of a failed login; return its last words when it was the one that hung up."""
        if self._proxy is None:
            return ""
        proxy, self._proxy = self._proxy, None
        if isinstance(error, asyncssh.ConnectionLost | OSError):
            await proxy.settle()
        await proxy.close()
        return proxy.said

    async def _keys(self, login: Login) -> list[asyncssh.SSHKeyPair | KeyWithCertificate]:
        """Return what is offered, the agent's keys first, as OpenSSH does."""
        if self._agent is None:
            self._agent, self._agent_keys = await open_agent(login.identities)
        keys: list[asyncssh.SSHKeyPair | KeyWithCertificate] = [*self._agent_keys, *login.identities.keys]
        if not keys:
            raise ssh_refusals.no_key(self._host, login)
        return keys
