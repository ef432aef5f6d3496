"""A login that may run commands that change a node, with Fabric: strict host keys, and a deadline for everything.

Fabric trusts any key that it has not seen (AutoAddPolicy) and reads configuration of its own. Here it gets neither:
the name, the port, the user and the trusted keys are those of every other command (`skoopctl.transport.login`).
"""

from __future__ import annotations

import logging
import shlex
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skoopctl.errors import (
    AuthenticationError,
    DeadlineError,
    DeniedError,
    HostKeyError,
    TransportError,
    UnreachableError,
    UnsupportedError,
)
from skoopctl.inventory import InventoryHost
from skoopctl.prepare.wire import wire

# What paramiko would log stands in each node's row; without a handler Python prints it to stderr.
logging.getLogger("paramiko").addHandler(logging.NullHandler())

if TYPE_CHECKING:
    from fabric import Connection

    from skoopctl.transport.login import Login

CONNECT_S = 10.0
ASK_S = 60.0
"""For what only looks; a package manager's simulation reads all its lists."""
CHANGE_S = 900.0
"""For installing and removing."""


@dataclass(frozen=True, slots=True)
class Output:
    """What a command on the node said, and its exit status."""

    status: int
    stdout: str
    stderr: str

    @property
    def complaint(self) -> str:
        """The line that says what went wrong, if any does."""
        lines = [line.strip() for line in f"{self.stdout}\n{self.stderr}".splitlines() if line.strip()]
        told = [line for line in lines if line.startswith(("E:", "Error", "ERROR", "sudo:", "doas:"))]
        return (told or lines or ["it said nothing"])[-1][:300]


class Session:
    """One open login."""

    def __init__(self, host: InventoryHost, connection: Connection) -> None:
        self._host = host
        self._connection = connection

    def run(self, words: tuple[str, ...], timeout_s: float = ASK_S) -> Output:
        """Run a command, whatever its exit status; words are quoted here and nowhere else."""
        from invoke.exceptions import CommandTimedOut  # noqa: PLC0415 - Fabric is loaded when it is used

        try:
            done = self._connection.run(
                shlex.join(words),
                hide=True,
                warn=True,
                pty=False,
                in_stream=False,
                encoding="utf-8",
                timeout=timeout_s,
            )
        except CommandTimedOut:
            hint = f"it may still run on the node: {words[-1]}"
            raise DeadlineError(self._host.name, "program", timeout_s, hint=hint) from None
        except Exception as error:  # noqa: BLE001 - Fabric raises what its threads met: broken connections, mostly
            raise UnreachableError(self._host.name, f"the connection broke: {error}") from None
        return Output(done.return_code, done.stdout, done.stderr)

    def as_root(self, words: tuple[str, ...]) -> tuple[str, ...]:
        """Return the command as it must be run to be root's. Nobody is ever asked for a password."""
        if not self._host.become:
            return words
        user = ("-u", self._host.become_user) if self._host.become_user else ()
        end = ("--",) if self._host.become_method == "sudo" else ()
        return (self._host.become_method, "-n", *user, *end, *words)

    def check_root(self) -> None:
        """Raise a :class:`DeniedError` unless commands run as root."""
        said = self.run(self.as_root(("id", "-u")))
        if said.status == 0 and said.stdout.strip() == "0":
            return
        method = self._host.become_method if self._host.become else ""
        what = f"{method} did not make us root: {said.complaint}" if method else "the login is not root"
        hint = (
            "set ansible_become: true and allow it without a password"
            if not method
            else "allow it with NOPASSWD"
        )
        raise DeniedError(self._host.name, what, hint=hint)


@contextmanager
def session(host: InventoryHost) -> Iterator[Session]:
    """Log in; yield the session; close it. Raises a :class:`~skoopctl.errors.TransportError`."""
    if host.connection != "ssh":
        hint = "use the package manager here"
        raise UnsupportedError(host.name, "node prepare does not support this machine itself", hint=hint)
    with wire(host, CONNECT_S) as (login, sock):
        connection = _strict(host, login, sock)
        try:
            with _named(host):
                connection.open()
            yield Session(host, connection)
        finally:
            connection.client.close()  # also when the login did not come to its end


def _strict(host: InventoryHost, login: Login, sock: socket.socket) -> Connection:
    """Return Fabric's connection without its own configuration, and with keys that were already known."""
    from fabric import Config, Connection  # noqa: PLC0415 - half a second
    from paramiko import RejectPolicy, SSHConfig  # noqa: PLC0415

    connection = Connection(
        login.name,
        user=login.user,
        port=login.port,
        config=Config(lazy=True, ssh_config=SSHConfig()),
        gateway=False,
        forward_agent=False,
        connect_timeout=int(CONNECT_S),
        connect_kwargs={
            "sock": sock,
            "banner_timeout": CONNECT_S,
            "auth_timeout": CONNECT_S,
            **_keys(host, login),
        },
    )
    connection.client.set_missing_host_key_policy(RejectPolicy())
    _trust(connection, login)
    return connection


def _keys(host: InventoryHost, login: Login) -> dict[str, Any]:
    """Return which keys are offered: the inventory's alone, or those of ~/.ssh/config, the agent and the home."""
    if host.key_file is not None:
        return {"key_filename": [host.key_file], "allow_agent": False, "look_for_keys": False}
    config = login.options.config
    named = config.get("IdentityFile")
    files = [Path(str(file)).expanduser() for file in named] if isinstance(named, list | tuple) else []
    return {
        "key_filename": [str(file) for file in files if file.is_file()],
        "allow_agent": login.identities.agent is not None and not config.get("IdentitiesOnly"),
        "look_for_keys": not files,
    }


def _trust(connection: Connection, login: Login) -> None:
    """Put the keys that known_hosts trusts for this host, and no others, where paramiko looks for them."""
    from paramiko import PKey, SSHException  # noqa: PLC0415
    from paramiko.pkey import UnknownKeyType  # noqa: PLC0415

    name = login.name if login.port == 22 else f"[{login.name}]:{login.port}"
    revoked = {key.public_data for key in login.trusted.revoked}
    for key in login.trusted.keys:
        if key.public_data in revoked:
            continue
        kind = key.get_algorithm()
        try:
            known = PKey.from_type_string(kind, key.public_data)
        except (UnknownKeyType, SSHException):
            continue  # a kind that paramiko cannot verify is not trusted
        connection.client.get_host_keys().add(name, kind, known)


@contextmanager
def _named(host: InventoryHost) -> Iterator[None]:
    """Turn what paramiko raises during a login into our errors, with what to do."""
    import paramiko  # noqa: PLC0415

    try:
        yield
    except paramiko.BadHostKeyException as error:
        hint = "somebody may be in between; compare its fingerprint on the node's console"
        raise HostKeyError(host.name, f"the host key HAS CHANGED: {error}", hint=hint) from None
    except paramiko.AuthenticationException as error:
        hint = "a key with a passphrase must be in an SSH agent, and not be named in the inventory"
        raise AuthenticationError(host.name, f"the login was refused: {error}", hint=hint) from None
    except paramiko.SSHException as error:
        raise _ssh_error(host, str(error)) from None
    except TimeoutError:
        raise DeadlineError(host.name, "connect", CONNECT_S) from None
    except (OSError, EOFError) as error:
        raise UnreachableError(host.name, f"the connection broke during the login: {error}") from None


def _ssh_error(host: InventoryHost, text: str) -> TransportError:
    if "not found in known_hosts" in text:
        hint = (
            "compare the key with `ssh-keygen -lf` on the node, then add it; certificates do not count here"
        )
        return HostKeyError(host.name, f"the host key is not known: {text}", hint=hint)
    if "No authentication methods" in text or "passphrase" in text.lower() or "encrypted" in text:
        hint = "name one with ansible_ssh_private_key_file, or start an agent and ssh-add the key"
        return AuthenticationError(host.name, f"there is no usable key: {text}", hint=hint)
    return UnreachableError(host.name, f"no SSH login: {text}", hint="is that port sshd's?")
