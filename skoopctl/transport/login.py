"""What a host's login is made of: the inventory's words, then ``~/.ssh/config``, then OpenSSH's defaults."""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from skoopctl.errors import UnreachableError
from skoopctl.inventory.host import InventoryHost
from skoopctl.transport import host_keys, identities
from skoopctl.transport.dial import in_thread
from skoopctl.transport.host_keys import KnownHosts, TrustedKeys
from skoopctl.transport.identities import Identities, IdentityFiles

CIPHERS_FIRST = "^aes128-gcm@openssh.com"
"""AES-GCM is one call of OpenSSL a packet in asyncssh. Its first choice, ChaCha20, is four: twice the time."""

KEEPALIVE_S = 5
KEEPALIVES_MISSED = 3
LOGINS_AT_A_TIME = 8
"""A stock sshd begins to drop logins at ten unauthenticated connections (MaxStartups 10:30:100)."""


@dataclass(frozen=True, slots=True)
class Login:
    """Everything that is needed to log in to one host."""

    options: asyncssh.SSHClientConnectionOptions
    name: str
    port: int
    user: str
    trusted: TrustedKeys
    identities: Identities

    @property
    def proxy_command(self) -> str | None:
        """The ProxyCommand of ~/.ssh/config, with its %-tokens filled in."""
        command = self.options.config.get("ProxyCommand")
        return str(command) if command else None

    @property
    def host_key_algorithms(self) -> list[str] | tuple[()]:
        """The kinds of host keys to ask for; empty leaves it to ~/.ssh/config (HostKeyAlgorithms)."""
        return () if self.options.config.get("HostKeyAlgorithms") else self.trusted.algorithms

    @property
    def ciphers(self) -> str | tuple[()]:
        """The ciphers to ask for; empty leaves it to ~/.ssh/config (Ciphers)."""
        return () if self.options.config.get("Ciphers") else CIPHERS_FIRST

    @property
    def target(self) -> str:
        """The server, as people write it."""
        return f"[{self.name}]:{self.port}" if ":" in self.name else f"{self.name}:{self.port}"


class Logins:
    """What the logins of one run share: files that are parsed once, and how many may happen at a time."""

    def __init__(self) -> None:
        self._known_hosts = KnownHosts()
        self._keys = IdentityFiles()
        self._slots: defaultdict[object, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(LOGINS_AT_A_TIME)
        )
        config = Path("~/.ssh/config").expanduser()
        self._config = [config] if os.access(config, os.R_OK) else []

    def slot(self, host: InventoryHost, login: Login) -> asyncio.Semaphore:
        """Return what limits the logins that one server sees at a time."""
        return self._slots[host.netns, login.name, login.port]

    async def prepare(self, host: InventoryHost) -> Login:
        """Find out how to log in to ``host``; nothing is sent yet."""
        options = await self._options(host)
        config = options.config
        if options.tunnel:
            raise UnreachableError(
                host.name,
                f"~/.ssh/config has ProxyJump {options.tunnel} for {options.host}, which is not supported",
                hint="write ProxyCommand `ssh -W %h:%p JUMPHOST` there instead",
            )
        agent = identities.agent_socket(config.get("IdentityAgent"))
        if host.key_file is not None:
            offered = self._keys.named(host.name, host.key_file, agent)
        else:
            files = _texts(config, "IdentityFile", identities.DEFAULT_FILES)
            offered = self._keys.usual(files, agent, only_files=bool(config.get("IdentitiesOnly")))
        alias = config.get("HostKeyAlias")
        trusted = self._known_hosts.trusted(
            _known_hosts_files(host, config), options.host, options.port, str(alias) if alias else None
        )
        return Login(options, options.host, options.port, options.username, trusted, offered)

    async def _options(self, host: InventoryHost) -> asyncssh.SSHClientConnectionOptions:
        """Read what ``~/.ssh/config`` says about the host. ``Match exec`` may take its time: in a thread."""

        def construct() -> asyncssh.SSHClientConnectionOptions:
            return asyncssh.SSHClientConnectionOptions(
                host=host.address,
                port=host.port if host.port_given else (),
                username=host.user if host.user is not None else (),
                config=self._config or None,
                client_keys=None,
                known_hosts=([], [], []),
                gss_host=None,
                canonicalize_hostname=False,
            )

        try:
            return await in_thread(construct) if self._config else construct()
        except (ValueError, OSError) as error:
            raise UnreachableError(host.name, f"~/.ssh/config cannot be used: {error}") from None


def _known_hosts_files(host: InventoryHost, config: asyncssh.config.SSHClientConfig) -> list[str]:
    """Return the known_hosts files that count for a host; after ``none`` in ssh_config, nobody is trusted."""
    if host.known_hosts is not None:
        return [host.known_hosts]
    files = _texts(config, "UserKnownHostsFile", host_keys.USER_FILES)
    files += _texts(config, "GlobalKnownHostsFile", host_keys.GLOBAL_FILES)
    home = str(Path.home())
    return [str(Path(file.replace("%d", home)).expanduser()) for file in files]


def _texts(config: asyncssh.config.SSHClientConfig, option: str, otherwise: Sequence[str]) -> list[str]:
    """Return an option of ssh_config that is a list; ``none`` there is an empty one."""
    found = config.get(option)
    return [str(item) for item in found] if isinstance(found, list | tuple) else list(otherwise)
