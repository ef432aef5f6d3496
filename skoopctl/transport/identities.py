"""The keys that we log in with, each read once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from skoopctl.errors import AuthenticationError
from skoopctl.transport.credentials import Credentials, Secret

DEFAULT_FILES = (
    "~/.ssh/id_ed25519",
    "~/.ssh/id_ecdsa",
    "~/.ssh/id_rsa",
    "~/.ssh/id_ed25519_sk",
    "~/.ssh/id_ecdsa_sk",
)

_TRIES = 3

KeyWithCertificate = tuple[asyncssh.SSHKey, asyncssh.SSHCertificate | None]


@dataclass(frozen=True, slots=True)
class Identities:
    """What is offered to a host: keys that are in memory, and keys that an agent holds."""

    keys: tuple[KeyWithCertificate, ...]
    agent: str | None
    """Path of the agent's socket, when it may be asked."""
    agent_only: tuple[bytes, ...] | None
    """The only public keys of the agent that are offered; ``None`` is all of them."""
    described: tuple[str, ...]
    """What is offered, in words."""


class IdentityFiles:
    """Private keys of one run by path, each read, and decrypted, once."""

    def __init__(self, credentials: Credentials) -> None:
        self._read: dict[str, KeyWithCertificate | None] = {}
        self._wrong: set[str] = set()
        self._credentials = credentials

    def unlock(self, file: str) -> None:
        """Ask a person for the passphrase of a key file, when it has one and none is known; decrypt it now.

        A wrong one may be given three times, as with ssh(1); a key that cannot be read is left to its hosts.
        """
        ask = self._credentials.ask_passphrase
        try:
            if ask is None or self._load(file) is not None:
                return
        except (OSError, asyncssh.KeyImportError, asyncssh.KeyEncryptionError):
            return
        for _ in range(_TRIES):
            passphrase = ask(file)
            if passphrase is None:
                return
            self._read[file] = self._decrypt(file, passphrase)
            if self._read[file] is not None:
                self._wrong.discard(file)
                return

    def named(self, host: str, file: str, agent: str | None) -> Identities:
        """Return the one key that the inventory names; one that stays encrypted must be in the agent."""
        try:
            found = self._load(file)
        except FileNotFoundError:
            hint = "correct ansible_ssh_private_key_file"
            raise AuthenticationError(host, f"there is no private key {file}", hint=hint) from None
        except OSError as error:
            raise AuthenticationError(
                host, f"the private key {file} cannot be read: {error.strerror}"
            ) from None
        except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
            raise AuthenticationError(host, f"{file} is not a private key: {error}") from None
        if found is not None:
            return Identities((found,), None, None, (f"{file} ({fingerprint(found[0])})",))
        return self._in_agent(host, file, agent)

    def usual(self, files: Sequence[str], agent: str | None, *, only_files: bool) -> Identities:
        """Return the keys of ``files`` that can be used as they are, and those of the agent.

        Files that are not there are skipped. ``only_files`` is ssh_config's IdentitiesOnly: of the agent's
        keys, those whose ``.pub`` file stands among ``files``.
        """
        keys = []
        described = []
        for file in files:
            try:
                found = self._load(os.path.expanduser(file))  # noqa: PTH111 - the text is the cache's key
            except (OSError, asyncssh.KeyImportError, asyncssh.KeyEncryptionError):
                continue
            if found is not None:
                keys.append(found)
                described.append(f"{file} ({fingerprint(found[0])})")
        allowed: tuple[bytes, ...] | None = None
        if only_files:
            publics = [_public(os.path.expanduser(file)) for file in files]  # noqa: PTH111
            allowed = tuple(public.public_data for public in publics if public is not None)
        if agent and allowed != ():
            described.append("the keys of the SSH agent")
        return Identities(tuple(keys), agent, allowed, tuple(described))

    def _in_agent(self, host: str, file: str, agent: str | None) -> Identities:
        """Offer a key with a passphrase through the agent, which holds it in the clear."""
        public = _public(file)
        if agent is None or public is None:
            problem = (
                "the passphrase given is not its own"
                if file in self._wrong
                else "there is nobody to ask for it"
            )
            raise AuthenticationError(
                host,
                f"the private key {file} has a passphrase, and {problem}",
                hint=f"ssh-add {file} (its .pub file must stand beside it), or give --passphrase-fd N",
            )
        return Identities(
            (), agent, (public.public_data,), (f"{file} through the SSH agent ({fingerprint(public)})",)
        )

    def _load(self, file: str) -> KeyWithCertificate | None:
        """Return a key, or ``None`` when it is encrypted with a passphrase that we have not got."""
        if file not in self._read:
            try:
                self._read[file] = (asyncssh.read_private_key(file), _certificate(file))
            except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
                if not _encrypted(error):
                    raise
                given = self._credentials.passphrase
                self._read[file] = None if given is None else self._decrypt(file, given)
        return self._read[file]

    def _decrypt(self, file: str, passphrase: Secret) -> KeyWithCertificate | None:
        try:
            return asyncssh.read_private_key(file, passphrase.reveal()), _certificate(file)
        except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
            if not _encrypted(error):
                raise
            self._wrong.add(file)
            return None


def _encrypted(error: ValueError) -> bool:
    """Return whether a key cannot be read for want of its passphrase."""
    return isinstance(error, asyncssh.KeyEncryptionError) or "passphrase" in str(error).lower()


def agent_socket(configured: object) -> str | None:
    """Return the agent's socket: ssh_config's IdentityAgent, or the environment's."""
    if configured is None or configured == "SSH_AUTH_SOCK":
        return os.environ.get("SSH_AUTH_SOCK") or None
    text = str(configured)
    if text.lower() == "none":
        return None
    if text.startswith("$"):
        return os.environ.get(text[1:].strip("{}")) or None
    return str(Path(text).expanduser())


def fingerprint(key: asyncssh.SSHKey) -> str:
    """Return a key's kind and fingerprint as OpenSSH prints them."""
    kind = key.get_algorithm().removeprefix("ssh-").removeprefix("ecdsa-sha2-").upper()
    return f"{kind} {key.get_fingerprint()}"


async def open_agent(offered: Identities) -> tuple[asyncssh.SSHAgentClient | None, list[asyncssh.SSHKeyPair]]:
    """Connect to the agent and return its keys that may be offered; without an agent there are none.

    Each host has a connection of its own: a host that is cancelled in the middle of a signature would leave
    a shared one out of step.
    """
    if offered.agent is None or offered.agent_only == ():
        return None, []
    try:
        agent = await asyncssh.connect_agent(offered.agent)
    except (OSError, asyncssh.Error):
        return None, []
    try:
        return agent, list(await agent.get_keys(offered.agent_only))
    except ValueError:
        return agent, []


async def held_by_agent(agent: str | None) -> set[bytes]:
    """Return the public keys that an agent holds; without one there are none."""
    client, keys = await open_agent(Identities((), agent, None, ()))
    if client is not None:
        client.close()
    return {key.public_data for key in keys}


def public_data(file: str) -> bytes | None:
    """Return the public key that stands beside a private one."""
    public = _public(file)
    return None if public is None else public.public_data


def _public(file: str) -> asyncssh.SSHKey | None:
    try:
        return asyncssh.read_public_key(f"{file}.pub")
    except (OSError, asyncssh.KeyImportError):
        return None


def _certificate(file: str) -> asyncssh.SSHCertificate | None:
    try:
        return asyncssh.read_certificate(f"{file}-cert.pub")
    except (OSError, asyncssh.KeyImportError, ValueError):
        return None
