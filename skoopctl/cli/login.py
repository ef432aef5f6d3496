"""The flags that say how to log in to nodes, the same for every command that asks nodes; and secrets, read safely.

A secret comes from a prompt on the terminal or from a file descriptor, one line each. It is never a flag's value:
arguments are seen by every user of the machine, and environments by every child process.
"""

from __future__ import annotations

import functools
import os
import select
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from skoopctl.cli.options import with_options
from skoopctl.errors import UsageError

if TYPE_CHECKING:
    from skoopctl.inventory import InventoryHost
    from skoopctl.transport.choice import RealTransports
    from skoopctl.transport.credentials import Secret

F = TypeVar("F", bound=Callable[..., Any])

MOST_SECRET = 4096
FD_WAIT_S = 10.0
"""How long a file descriptor may stay silent."""


@dataclass(frozen=True, slots=True)
class LoginFlags:
    """What the flags say; ``None`` and ``False`` leave it to the inventory."""

    user: str | None = None
    private_key: str | None = None
    become: bool = False
    accept_new: bool = False
    ask_pass: bool = False
    ask_become_pass: bool = False
    password_fd: int | None = None
    become_password_fd: int | None = None
    passphrase_fd: int | None = None

    def given(self) -> list[str]:
        """Return the flags that were given, as they are written."""
        names = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return [
            f"--{name.replace('_', '-')}"
            for name, value in names.items()
            if value is not None and value is not False
        ]

    def applied(self, hosts: Iterable[InventoryHost]) -> tuple[InventoryHost, ...]:
        """Return the hosts as the flags change them: flags win over the inventory."""
        changes: dict[str, Any] = {}
        if self.user is not None:
            changes["user"] = self.user
        if self.private_key is not None:
            changes["key_file"] = str(_key_file(self.private_key))
        if self.become:
            changes["become"] = True
        return tuple(replace(host, **changes) for host in hosts) if changes else tuple(hosts)

    def transports(self, hosts: Iterable[InventoryHost]) -> RealTransports:
        """Ask for what must be asked, and return the transports of a run over ``hosts``.

        Call it before the event loop runs: a prompt must be free to end with Ctrl-C.
        """
        from skoopctl.transport.choice import RealTransports
        from skoopctl.transport.credentials import Credentials

        password = _secret("--ask-pass", self.ask_pass, "--password-fd", self.password_fd, "SSH password: ")
        become = _secret(
            "--ask-become-pass",
            self.ask_become_pass,
            "--become-password-fd",
            self.become_password_fd,
            "sudo password (empty: the SSH password): " if password else "sudo password: ",
            otherwise=password,
        )
        passphrase = _from_descriptor("--passphrase-fd", self.passphrase_fd)
        ask = None if passphrase is not None or not on_terminal() else _ask_passphrase
        made = RealTransports(
            Credentials(password, become, passphrase, ask), accept_new=self.accept_new, say=_say
        )
        made.unlock(hosts)
        return made


def login_options(*, short_become: bool = True, secrets: bool = True) -> Callable[[F], F]:
    """Give a command the login flags; it gets them as ``login``, a :class:`LoginFlags`.

    ``short_become`` is off where ``-b`` means something else, ``secrets`` where nobody is asked for any.
    """
    become = ["-b", "--become"] if short_become else ["--become"]
    options = [
        click.option(
            "-u", "--user", metavar="NAME", help="Log in as this user, whatever the inventory says."
        ),
        click.option(
            "--private-key", metavar="FILE", help="Log in with this key, whatever the inventory says."
        ),
        click.option(
            *become, is_flag=True, help="Become root by sudo on every host (or as the inventory says)."
        ),
    ]
    more = [
        click.option("-k", "--ask-pass", is_flag=True, help="Ask for a password for SSH logins."),
        click.option("-K", "--ask-become-pass", is_flag=True, help="Ask for a password for sudo."),
        _descriptor("--password-fd", "the SSH password"),
        _descriptor("--become-password-fd", "the sudo password"),
        _descriptor("--passphrase-fd", "the passphrase of the private keys"),
        click.option(
            "--accept-new",
            is_flag=True,
            help="Keep the keys of hosts that are new. A changed key stays an error.",
        ),
    ]

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def with_login(**words: Any) -> Any:
            flags = {name: words.pop(name) for name in LoginFlags.__dataclass_fields__ if name in words}
            return function(login=LoginFlags(**flags), **words)

        return with_options(with_login, options + more if secrets else options)  # type: ignore[no-any-return]

    return decorate


def on_terminal() -> bool:
    """Return whether somebody can be asked: there is a terminal, and this process has it."""
    try:
        descriptor = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(descriptor) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _descriptor(flag: str, what: str) -> Callable[[F], F]:
    help_ = f"Read {what} from this file descriptor: one line, such as with 3<FILE."
    return click.option(flag, type=click.IntRange(min=0), metavar="N", help=help_)


def _secret(
    flag: str,
    ask: bool,
    fd_flag: str,
    descriptor: int | None,
    prompt: str,
    *,
    otherwise: Secret | None = None,
) -> Secret | None:
    if not ask:
        return _from_descriptor(fd_flag, descriptor)
    if descriptor is not None:
        raise UsageError(f"{flag} and {fd_flag} contradict each other", hint="give one of them")
    if not on_terminal():
        raise UsageError(
            f"{flag}: there is no terminal to ask on", hint=f"give {fd_flag} N, such as {fd_flag} 3 3<FILE"
        )
    return _prompt(prompt) or otherwise or _nothing(flag)


def _nothing(flag: str) -> Secret:
    raise UsageError(f"{flag}: nothing was entered", hint="leave the flag out if there is no password")


def _prompt(text: str) -> Secret | None:
    import getpass

    from skoopctl.transport.credentials import Secret

    try:
        typed = getpass.getpass(text)
    except EOFError:
        raise click.Abort from None
    return Secret(typed) if typed else None


def _ask_passphrase(file: str) -> Secret | None:
    return _prompt(f"passphrase of {file} (empty: do without): ")


def _from_descriptor(flag: str, descriptor: int | None) -> Secret | None:
    """Read one line; another flag may read the next one from the same descriptor."""
    from skoopctl.transport.credentials import Secret

    if descriptor is None:
        return None
    if descriptor in {1, 2}:
        raise UsageError(f"{flag} {descriptor}: that is the output", hint=f"use {flag} 3 3<FILE")
    line = bytearray()
    try:
        while not line.endswith(b"\n") and len(line) <= MOST_SECRET:
            if not select.select([descriptor], [], [], FD_WAIT_S)[0]:
                raise UsageError(f"{flag} {descriptor}: nothing came within {FD_WAIT_S:g} s")
            byte = os.read(descriptor, 1)  # not one byte more than the line
            if not byte:
                break
            line += byte
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{flag} {descriptor}: {said}", hint=f"open it, such as {flag} 3 3<FILE") from None
    return Secret(_checked(flag, descriptor, bytes(line)))


def _checked(flag: str, descriptor: int, line: bytes) -> str:
    try:
        text = line.rstrip(b"\r\n").decode()
    except UnicodeDecodeError:
        raise UsageError(f"{flag} {descriptor}: expected a line of UTF-8") from None
    if not text or len(line) > MOST_SECRET or "\x00" in text:
        raise UsageError(
            f"{flag} {descriptor}: expected one line of 1 to {MOST_SECRET} bytes",
            hint="the secret stands alone on its line",
        )
    return text


def _key_file(name: str) -> Path:
    path = Path(name).expanduser().absolute()
    if not path.is_file():
        raise UsageError(f"--private-key {name}: there is no such file")
    return path


def _say(line: str) -> None:
    click.echo(f"skoopctl: {line}", err=True)
    sys.stderr.flush()
