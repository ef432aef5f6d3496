"""One SSH connection, to a host or to a bastion: its wire, its login with retries, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket

import asyncssh

from skoopctl.errors import UnreachableError
from skoopctl.inventory.host import InventoryHost
from skoopctl.transport import ssh_refusals
from skoopctl.transport.dial import dial
from skoopctl.transport.identities import KeyWithCertificate, open_agent
from skoopctl.transport.login import KEEPALIVE_S, KEEPALIVES_MISSED, Login
from skoopctl.transport.proxy import Proxy, open_proxy
from skoopctl.transport.watch import LoginWatch

# What asyncssh would log stands in each host's result; without a handler Python prints it to stderr.
logging.getLogger("asyncssh").addHandler(logging.NullHandler())

LAST_WAIT_S = 1.0
_RETRY_S = ((0.1, 0.5), (0.3, 1.0), (0.8, 2.0))
"""Bounds of the random times before a dropped login is tried again: not all shall come at once."""


class Connection:
    """One connection. ``through`` is the bastion's, when there is one."""

    def __init__(self, host: InventoryHost, login: Login, through: Connection | None = None) -> None:
        self.host = host
        self.login = login
        self.ssh: asyncssh.SSHClientConnection | None = None
        self._through = through
        self._watch = LoginWatch()
        self._agent: asyncssh.SSHAgentClient | None = None
        self._agent_keys: list[asyncssh.SSHKeyPair] = []
        self._proxy: Proxy | None = None
        self._dropped: ssh_refusals.DroppedError | None = None

    @property
    def waiting_for(self) -> str:
        """What has not come yet, until the login is done."""
        target = self.login.target
        if self._dropped is not None:
            return f"a login that is not dropped: {self._dropped.what}"
        if self._watch.connection is None:
            return f"a TCP connection to {target}: is the host up, is a firewall in the way?"
        if not self._watch.server_spoke:
            return f"an SSH greeting: {target} accepts connections and says nothing; is that port sshd's?"
        if not self._watch.authenticating:
            return f"the key exchange with {target}"
        return f"{target} to accept the login of {self.login.user}"

    @property
    def alive(self) -> bool:
        """Whether it is open, as far as is known."""
        return self.ssh is not None and not self.ssh.is_closed()

    async def open(self) -> None:
        """Log in; a server that hangs up before the login begins is tried again, a refused login never."""
        try:
            for bounds in _RETRY_S:
                try:
                    self.ssh = await self._attempt()
                except ssh_refusals.DroppedError as dropped:
                    self._dropped = dropped
                    await asyncio.sleep(random.uniform(*bounds))  # noqa: S311 - spreads load, guards nothing
                else:
                    return
            self.ssh = await self._attempt()
        finally:
            if self._agent is not None:
                self._agent.close()

    async def close(self, *, hard: bool) -> None:
        """Close it within a moment; ``hard`` waits for nothing that is still on its way."""
        if self.ssh is not None:
            if hard:
                self.ssh.abort()
            else:
                self.ssh.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_WAIT_S):
                    await self.ssh.wait_closed()
            self.ssh.abort()
        if self._proxy is not None:
            await self._proxy.close()

    async def _attempt(self) -> asyncssh.SSHClientConnection:
        """Open one connection and log in; raise one of our errors that says what is in the way."""
        login = self.login
        watch = self._watch = LoginWatch(login.trials, login.accept_key)
        keys = await self._keys()
        wire = await self._wire()
        try:
            return await asyncssh.connect(
                self.host.address,
                login.options.port,
                sock=wire,
                tunnel=self._tunnel(),
                options=login.options,
                client_factory=lambda: watch,
                known_hosts=login.trusted.for_asyncssh,
                server_host_key_algs=login.host_key_algorithms,
                x509_trusted_certs=None,
                x509_trusted_cert_paths=[],
                config=None,
                client_keys=keys or None,
                client_certs=[],
                agent_path=None,
                agent_forwarding=False,
                proxy_command=None,
                pkcs11_provider=None,
                preferred_auth=["publickey", "keyboard-interactive", "password"],
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
            if watch.connection is None and wire is not None:
                wire.close()
            said = await self._close_proxy(error)
            if isinstance(error, asyncssh.Error | OSError | ValueError):
                bastion = self._through.host.name if self._through is not None else ""
                raise ssh_refusals.no_login(
                    self.host, login, watch, error, proxy_said=said, bastion=bastion
                ) from None
            raise

    def _tunnel(self) -> asyncssh.SSHClientConnection | None:
        """Return the bastion's connection. ``None`` also keeps asyncssh from following ProxyJump by itself."""
        if self._through is None:
            return None
        if self._through.ssh is None or not self._through.alive:
            raise UnreachableError(self.host.name, f"{self._through.host.name} has hung up")
        return self._through.ssh

    async def _wire(self) -> socket.socket | None:
        """Return a connected socket to the server, or through a ProxyCommand; a bastion needs none of ours."""
        if self._through is not None:
            return None
        login = self.login
        if login.proxy_command is None:
            return await dial(self.host, login.name, login.port, login.options.family)
        self._proxy = await open_proxy(self.host, login.proxy_command)
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

    async def _keys(self) -> list[asyncssh.SSHKeyPair | KeyWithCertificate]:
        """Return what is offered, the agent's keys first, as OpenSSH does."""
        if self._agent is None:
            self._agent, self._agent_keys = await open_agent(self.login.identities)
        keys: list[asyncssh.SSHKeyPair | KeyWithCertificate] = [
            *self._agent_keys,
            *self.login.identities.keys,
        ]
        if not keys and self.login.trials is None:
            raise ssh_refusals.no_key(self.host, self.login)
        return keys
