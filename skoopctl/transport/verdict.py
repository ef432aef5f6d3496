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
from skoopctl.transport.base import Answer, HostStatus

NO_PYTHON_STATUS = 97
NO_PYTHON_MARK = "skoopctl: no python"
"""What the bootstrap command says on stderr, with exit status 97, when it finds no interpreter."""

_SUDO_REFUSALS = (
    ("a password is required", "sudo asks for a password"),
    ("a terminal is required", "sudo asks for a password"),
    ("you must have a tty", "sudo wants a terminal (requiretty)"),
    ("not in the sudoers file", "the user is not in the sudoers file"),
    ("may not run sudo", "the user may not run sudo"),
    ("is not allowed to", "sudo does not allow the command"),
    ("unknown user", "sudo does not know the user to become"),
    ("authentication is required", "sudo asks for a password"),  # sudo-rs
    ("account is locked", "the user's account is locked or has expired"),
    ("account validation failure", "the user's account is locked or has expired"),
)
"""Parts of sudo's messages (sudo 1.9 and sudo-rs, locale C), and what each means."""

_STATUSES: tuple[tuple[type[SkoopError], HostStatus], ...] = (
    (DeadlineError, HostStatus.TIMEOUT),
    (HostKeyError, HostStatus.AUTH_FAILED),
    (AuthenticationError, HostStatus.AUTH_FAILED),
    (DeniedError, HostStatus.DENIED),
    (UnsupportedError, HostStatus.UNSUPPORTED),
)


def status_of(error: SkoopError | None, answer: Answer) -> HostStatus:
    """Return the status that an error, or none, gives a host."""
    if error is None:
        return HostStatus.OK
    for kind, status in _STATUSES:
        if isinstance(error, kind):
            return status
    return HostStatus.PARTIAL if answer.size else HostStatus.UNREACHABLE


def complaint(host: InventoryHost, answer: Answer) -> TransportError | None:
    """Return what is wrong with a program's end, or ``None`` when it ended well."""
    if answer.overflowed:
        return TransportError(
            host.name,
            f"the answer is larger than {answer.max_output} bytes and was cut off",
            hint="something there writes to stdout without end: look at the login shell's start-up files",
        )
    if answer.exit_status == 0:
        return None
    if answer.exit_status == NO_PYTHON_STATUS and NO_PYTHON_MARK in answer.stderr:
        return _no_python(host)
    if denied := _sudo_refusal(host, answer):
        return denied
    return _failure(host, answer)


def _no_python(host: InventoryHost) -> UnsupportedError:
    return UnsupportedError(
        host.name,
        "no Python 3.6 or newer was found on the host",
        hint="install python3 there, or name an interpreter with ansible_python_interpreter",
    )


def _sudo_refusal(host: InventoryHost, answer: Answer) -> DeniedError | None:
    if not host.become or answer.size:
        return None
    rule = f"{host.user or 'USER'} ALL=({host.become_user or 'root'}) NOPASSWD: ALL"
    for line in answer.stderr.splitlines():
        if re.search(r"\bsudo\b.*not found|\bsudo\W?: No such file", line):
            hint = "install sudo there, or log in as root without ansible_become"
            return DeniedError(host.name, "sudo is not installed on the host", hint=hint)
        for part, meaning in _SUDO_REFUSALS:
            if part in line and ("sudo" in line or "sorry" in line.lower()):
                hint = f"allow it in /etc/sudoers.d on the host: {rule}"
                return DeniedError(host.name, f"{meaning}: {line.strip()}", hint=hint)
    return None


def _failure(host: InventoryHost, answer: Answer) -> TransportError:
    lines = [line.strip() for line in answer.stderr.splitlines() if line.strip()]
    said = f": {lines[-1][:300]}" if lines else " and said nothing"
    if answer.exit_signal:
        ended = f"the program was killed by SIG{answer.exit_signal}"
    else:
        ended = f"the program ended with status {answer.exit_status}"
    if answer.size:
        return TransportError(host.name, f"{ended} after {answer.size} bytes{said}")
    return UnsupportedError(
        host.name, f"{ended} without an answer{said}", hint="try the login by hand with ssh"
    )
