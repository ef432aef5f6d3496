"""What a host's login is made of: the inventory's words, then ``~/.ssh/config``, then OpenSSH's defaults."""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from skoopctl.errors import UnreachableError
from skoopctl.inventory.host import InventoryHost
from skoopctl.transport import host_keys, identities, jump
from skoopctl.transport.apart import apart
from skoopctl.transport.credentials import Credentials, Trials
from skoopctl.transport.host_keys import KnownHosts, TrustedKeys
from skoopctl.transport.identities import Identities, IdentityFiles
from skoopctl.transport.jump import Hop
from skoopctl.transport.new_keys import NewKeys
from skoopctl.transport.ssh_config import misread

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
    hops: tuple[Hop, ...] = ()
    """The bastions on the way, the nearest to us first."""
    proxy_command: str | None = None
    """The ProxyCommand of ~/.ssh/config, with its %-tokens filled in, when there are no bastions."""
    trials: Trials | None = None
    """The password that may be given."""
    accept_key: Callable[[asyncssh.SSHKey], bool] | None = None
    """Asked about a host key that is not known, when new ones may be accepted."""

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
    """What the logins of one run share: files that are parsed once, passwords, and how many happen at a time."""

    def __init__(
        self,
        credentials: Credentials | None = None,
        *,
        accept_new: bool = False,
        say: Callable[[str], None] = lambda _line: None,
    ) -> None:
        """With ``accept_new``, all hosts' new keys are accepted, otherwise those of hosts that say so."""
        known = credentials or Credentials()
        self._known_hosts = KnownHosts()
        self._accept_new = accept_new
        self._new_keys = NewKeys(self._known_hosts, say)
        self._keys = IdentityFiles(known)
        self._trials = Trials(known.password) if known.password is not None else None
        self._slots: defaultdict[object, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(LOGINS_AT_A_TIME)
        )
        config = Path("~/.ssh/config").expanduser()
        self._config = [config] if os.access(config, os.R_OK) else []
        self._misread = misread(config)

    def slot(self, host: InventoryHost, login: Login) -> asyncio.Semaphore:
        """Return what limits the logins that one server sees at a time.

        Which server a ProxyCommand goes through cannot be known: all that have one count as one.
        """
        if login.proxy_command is not None:
            return self._slots["ProxyCommand"]
        return self._slots[host.netns, login.name, login.port]

    async def prepare(
        self, host: InventoryHost, *, bastion: bool = False, fallback_key: str | None = None
    ) -> Login:
        """Find out how to log in to ``host``; nothing is sent yet. A ``bastion`` gets no password.

        ``fallback_key`` is offered too where ``~/.ssh/config`` names no key.
        """
        options = await self._options(host)
        config = options.config
        trials = None if bastion else self._trials
        way = _way(host, options)
        alias = config.get("HostKeyAlias")
        files = _known_hosts_files(host, config)

        def trusted() -> TrustedKeys:
            name = str(alias) if alias else None
            return self._known_hosts.trusted(files, options.host, options.port, name)

        command = config.get("ProxyCommand") if not way and host.jump is None else None
        return Login(
            options,
            options.host,
            options.port,
            options.username,
            trusted(),
            self._offered(host, config, fallback_key),
            way,
            None if command is None or str(command).lower() == "none" else str(command),
            trials,
            self._acceptance(host, trusted),
        )

    async def names_key(self, host: InventoryHost) -> bool:
        """Return whether ``~/.ssh/config`` names a key for ``host``."""
        return bool((await self._options(host)).config.get("IdentityFile"))

    async def locked(self, hosts: Iterable[InventoryHost]) -> list[str]:
        """Return the key files of ``hosts`` for which no agent has the key, and whose passphrase may be needed.

        A key that only ``~/.ssh/config`` or a default names is needed when its host could be offered nothing else.
        """
        found: dict[str, None] = {}
        held: dict[str | None, set[bytes]] = {}
        for host in hosts:
            options = await self._options(host)
            agent = identities.agent_socket(options.config.get("IdentityAgent"))
            if agent not in held:
                held[agent] = await identities.held_by_agent(agent)
            for file in self._needed(host, options.config, held[agent]):
                if identities.public_data(file) not in held[agent]:
                    found[file] = None
        return list(found)

    def unlock(self, files: Iterable[str]) -> None:
        """Ask for the passphrases of the ``files`` that have one."""
        for file in files:
            self._keys.unlock(file)

    def _needed(
        self, host: InventoryHost, config: asyncssh.config.SSHClientConfig, held: set[bytes]
    ) -> Sequence[str]:
        if host.key_file is not None:
            return [host.key_file]
        usable = self._keys.usual(_identity_files(config), None, only_files=False).keys
        if usable or held or self._trials is not None:
            return []
        return [file for file in map(_expanded, _identity_files(config)) if Path(file).is_file()][:1]

    def _offered(
        self, host: InventoryHost, config: asyncssh.config.SSHClientConfig, fallback_key: str | None
    ) -> Identities:
        agent = identities.agent_socket(config.get("IdentityAgent"))
        if host.key_file is not None:
            return self._keys.named(host.name, host.key_file, agent)
        files = _identity_files(config)
        if fallback_key is not None and not config.get("IdentityFile"):
            files.insert(0, fallback_key)
        return self._keys.usual(files, agent, only_files=bool(config.get("IdentitiesOnly")))

    def _acceptance(
        self, host: InventoryHost, again: Callable[[], TrustedKeys]
    ) -> Callable[[asyncssh.SSHKey], bool] | None:
        if not (self._accept_new or host.accept_new):
            return None
        return lambda key: self._new_keys.accept(again, key)

    async def _options(self, host: InventoryHost) -> asyncssh.SSHClientConnectionOptions:
        """Read what ``~/.ssh/config`` says about the host. ``Match exec`` may take its time: in a thread."""
        if self._misread is not None:
            raise UnreachableError(
                host.name,
                f"{self._misread}: Match exec with %-tokens is not supported, and ignoring it may lead elsewhere",
                hint="write the test without %-tokens, or use Match host",
            )

        def construct() -> asyncssh.SSHClientConnectionOptions:
            return asyncssh.SSHClientConnectionOptions(
                host=host.address,
                tunnel=() if host.jump is None else None,
                port=host.port if host.port_given else (),
                username=host.user if host.user is not None else (),
                config=self._config or None,
                client_keys=None,
                known_hosts=([], [], []),
                gss_host=None,
                canonicalize_hostname=False,
            )

        try:
            return await apart(construct) if self._config else construct()
        except (ValueError, OSError) as error:
            hint = "Match exec may not hold an equals sign here: put the test into a script"
            hint = hint if "match condition" in str(error) else "correct that line"
            raise UnreachableError(host.name, f"~/.ssh/config cannot be used: {error}", hint=hint) from None


def _way(host: InventoryHost, options: asyncssh.SSHClientConnectionOptions) -> tuple[Hop, ...]:
    """Return the bastions that the inventory, or else ``~/.ssh/config``, names for a host.

    A bastion that ``~/.ssh/config`` sends through itself (``Host *`` with ProxyJump) is reached directly.
    """
    where = "jump" if host.jump is not None else "ProxyJump of ~/.ssh/config"
    try:
        found = jump.hops(host.jump if host.jump is not None else str(options.tunnel or ""))
    except ValueError as error:
        raise UnreachableError(host.name, f"{where}: {error}") from None
    own = {host.address, options.host}
    return () if host.jump is None and any(hop.host in own for hop in found) else found


def _identity_files(config: asyncssh.config.SSHClientConfig) -> list[str]:
    return _texts(config, "IdentityFile", identities.DEFAULT_FILES)


def _expanded(file: str) -> str:
    return os.path.expanduser(file)  # noqa: PTH111 - the text is the key under which it is remembered


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
