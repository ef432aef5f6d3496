"""What an ended program, or an error, means for a host."""

from __future__ import annotations

import re

from skoopctl.errors import (
    AuthenticationError,
    DeadlineError,
    DeniedError,
    HostKeyError,
    SkoopError,
    TransportError,
    UnsupportedError,
)
from skoopctl.inventory.host import InventoryHost
from skoopctl.transport.base import MOST_NOISE, HostStatus, Receiver

NO_PYTHON_STATUS = 97
NO_PYTHON_MARK = "skoopctl: no python"
"""What the bootstrap command says on stderr, with exit status 97, when it finds no interpreter."""

_TRIED_IN_VAIN = "incorrect password attempt"
_REFUSALS = {
    "sudo": (
        (_TRIED_IN_VAIN, "sudo refused the password, which was tried once"),
        ("a password is required", "sudo asks for a password"),
        ("a terminal is required", "sudo asks for a password"),
        ("no password was provided", "sudo asks for a password"),
        ("you must have a tty", "sudo wants a terminal (requiretty)"),
        ("not in the sudoers file", "the user is not in the sudoers file"),
        ("may not run sudo", "the user may not run sudo"),
        ("is not allowed to", "sudo does not allow the command"),
        ("unknown user", "sudo does not know the user to become"),
        ("authentication is required", "sudo asks for a password"),  # sudo-rs
        ("account is locked", "the user's account is locked or has expired"),
        ("account validation failure", "the user's account is locked or has expired"),
    ),
    "doas": (
        ("Authorization required", "doas asks for a password, which it takes from a terminal only"),
        ("Authentication required", "doas asks for a password, which it takes from a terminal only"),
        ("a tty is required", "doas asks for a password, which it takes from a terminal only"),
        ("Operation not permitted", "doas does not allow it"),
        ("doas is not enabled", "doas has no configuration"),
        ("unknown user", "doas does not know the user to become"),
    ),
}
"""Parts of the messages of sudo 1.9, sudo-rs and doas 6.8 (locale C), and what each means."""

_STATUSES: tuple[tuple[type[SkoopError], HostStatus], ...] = (
    (DeadlineError, HostStatus.TIMEOUT),
    (HostKeyError, HostStatus.AUTH_FAILED),
    (AuthenticationError, HostStatus.AUTH_FAILED),
    (DeniedError, HostStatus.DENIED),
    (UnsupportedError, HostStatus.UNSUPPORTED),
)


def status_of(error: SkoopError | None, answer: Receiver) -> HostStatus:
    """Return the status that an error, or none, gives a host."""
    if error is None:
        return HostStatus.OK
    for kind, status in _STATUSES:
        if isinstance(error, kind):
            return status
    return HostStatus.PARTIAL if answer.begun else HostStatus.UNREACHABLE


def complaint(host: InventoryHost, answer: Receiver) -> TransportError | None:
    """Return what is wrong with a program's end, or ``None`` when it ended well."""
    if answer.overflowed:
        return TransportError(
            host.name,
            f"the answer is larger than {answer.max_output} bytes and was cut off",
            hint="something there writes to stdout without end: look at the login shell's start-up files",
        )
    if answer.noisy:
        return UnsupportedError(
            host.name,
            f"the login printed more than {MOST_NOISE} bytes before the program's answer",
            hint="look at the login shell's start-up files, and for a ForceCommand in sshd_config",
        )
    if answer.exit_status == 0 and not answer.begins:
        return None
    if answer.exit_status == NO_PYTHON_STATUS and NO_PYTHON_MARK in answer.stderr:
        return _no_python(host)
    if denied := _become_refusal(host, answer):
        return denied
    return _failure(host, answer)


def unforeseen(host: InventoryHost, fault: Exception) -> TransportError:
    """Return our error for a fault of our own that one host brought about."""
    error = TransportError(
        host.name,
        f"{type(fault).__name__}: {fault}",
        hint="this should not happen and is a fault of skoopctl; please report it",
    )
    error.__cause__ = fault
    return error


def _no_python(host: InventoryHost) -> UnsupportedError:
    return UnsupportedError(
        host.name,
        "no Python 3.6 or newer was found on the host",
        hint="install python3 there, or name an interpreter with ansible_python_interpreter",
    )


def _become_refusal(host: InventoryHost, answer: Receiver) -> DeniedError | None:
    """Return what sudo or doas has said against it. Whatever a login shell prints to stdout is no answer."""
    if not host.become or answer.begun:
        return None
    method = host.become_method
    for line in answer.stderr.splitlines():
        if re.search(rf"\b{method}\b.*not found|\b{method}\W?: No such file|Unknown command.*{method}", line):
            hint = f"install {method} there, or log in as root without ansible_become"
            return DeniedError(host.name, f"{method} is not installed on the host", hint=hint)
        for part, meaning in _REFUSALS[method]:
            if part in line and (method in line or "sorry" in line.lower() or "sudoers" in line):
                return DeniedError(
                    host.name,
                    f"{meaning}: {line.strip()}",
                    hint=_allow(host),
                    final=part == _TRIED_IN_VAIN,
                )
    return None


def _allow(host: InventoryHost) -> str:
    user, become = host.user or "USER", host.become_user or "root"
    if host.become_method == "doas":
        return f"allow it in /etc/doas.conf on the host: permit nopass {user} as {become}"
    return f"allow it in /etc/sudoers.d on the host: {user} ALL=({become}) NOPASSWD: ALL; or give --ask-become-pass"


def _failure(host: InventoryHost, answer: Receiver) -> TransportError:
    printed = "" if answer.begun else answer.stdout[-1000:].decode("utf-8", "replace")
    lines = [line.strip() for line in (answer.stderr or printed).splitlines() if line.strip()]
    said = f": {lines[-1][:300]}" if lines else " and said nothing"
    if answer.exit_signal:
        ended = f"the program was killed by SIG{answer.exit_signal}"
    else:
        ended = f"the program ended with status {answer.exit_status}"
    if answer.begun:
        return TransportError(host.name, f"{ended} after {answer.size} bytes{said}")
    return UnsupportedError(
        host.name,
        f"{ended} without an answer{said}",
        hint="does the account run something else (ForceCommand, command= in authorized_keys)? try ssh by hand",
    )
