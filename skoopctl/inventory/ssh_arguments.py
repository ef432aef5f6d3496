"""``ansible_ssh_args``, ``ansible_ssh_common_args`` and ``ansible_ssh_extra_args``: what of them is honoured.

Ansible hands these to its ``ssh``. We have an SSH client of our own, so each option is read here: it gets into
a field, or it has no effect for us and cannot do harm, or it is an error. None is passed over in silence.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from skoopctl.inventory import values
from skoopctl.inventory.values import VariableError


@dataclass(frozen=True, slots=True)
class SshArguments:
    """What options of ``ssh`` say, by the field of :class:`InventoryHost` that they decide."""

    fields: Mapping[str, object] = field(default_factory=dict)


def _strict(value: object, folder: Path) -> bool:
    """Return whether unknown keys are accepted once: ``accept-new`` is true, ``yes`` is false."""
    text = values.word(value, folder).lower()
    if text not in {"yes", "accept-new"}:
        raise VariableError(
            f"StrictHostKeyChecking={value} is not honoured: host keys are always checked",
            "write yes or accept-new",
        )
    return text == "accept-new"


def _known_hosts(value: object, folder: Path) -> str:
    name = _one_file("UserKnownHostsFile", value, folder)
    if name == "/dev/null":
        raise VariableError(
            "UserKnownHostsFile=/dev/null would forget every host key", values.CHECK_HOST_KEYS
        )
    return name


def _identity(value: object, folder: Path) -> str:
    return _one_file("IdentityFile", value, folder)


def _one_file(option: str, value: object, folder: Path) -> str:
    if len(str(value).split()) != 1 or "%" in str(value):
        raise VariableError(f"{option}={value}: expected one file, without % signs")
    return values.file(value, folder)


Reader = Callable[[object, Path], object]

FIELDS: dict[str, tuple[str, Reader]] = {
    "ProxyJump": ("jump", values.jump),
    "StrictHostKeyChecking": ("accept_new", _strict),
    "UserKnownHostsFile": ("known_hosts", _known_hosts),
    "IdentityFile": ("key_file", _identity),
    "User": ("user", values.word),
    "Port": ("port", values.port),
}
"""Options that decide a field: the field, and what reads the option's value."""

NO_EFFECT = {
    "ConnectTimeout": "skoopctl has deadlines of its own",
    "ConnectionAttempts": "skoopctl has retries of its own",
    "ControlMaster": "there is one connection a host in any case",
    "ControlPath": "there is one connection a host in any case",
    "ControlPersist": "nothing stays open after a run",
    "Compression": "answers are compressed on the node",
    "ServerAliveInterval": "deadlines bound every wait",
    "ServerAliveCountMax": "deadlines bound every wait",
    "TCPKeepAlive": "deadlines bound every wait",
    "LogLevel": "skoopctl says itself what happens",
}
"""Options that are accepted and do nothing, each with the reason."""

LETTERS = {"J": "ProxyJump", "i": "IdentityFile", "l": "User", "p": "Port"}
"""Flags of ssh(1) with a value, and the option that they stand for."""
_BARE = frozenset({"-C"})
"""Flags without a value that do nothing for us."""

INSTEAD = {
    "proxycommand": "for `ssh -W %h:%p BASTION` write -o ProxyJump=BASTION; any other one into ~/.ssh/config",
    "globalknownhostsfile": "name one file with UserKnownHostsFile or skoop_known_hosts",
}
"""Options that are often found and not honoured, in lower case, with what to write instead."""
_WRITE_INSTEAD = f"honoured are {', '.join(FIELDS)}; ~/.ssh/config is read too"
_KNOWN = {name.lower(): name for name in (*FIELDS, *NO_EFFECT)}


def read(value: object, folder: Path) -> SshArguments:
    """Return what the options decide; the first of two equal ones counts, as for ssh itself."""
    if value is None or value == "":
        return SshArguments()
    if not isinstance(value, str):
        raise VariableError(f"expected text, found {values.found(value)}")
    fields: dict[str, object] = {}
    for option, text in _options(_words(value)):
        name = _KNOWN.get(option.lower())
        if name is None:
            raise VariableError(
                f"the option {option} is not honoured", INSTEAD.get(option.lower(), _WRITE_INSTEAD)
            )
        if name in FIELDS:
            target, reader = FIELDS[name]
            fields.setdefault(target, reader(text, folder))
    return SshArguments(fields)


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise VariableError(f"cannot be split into words: {error}", "check the quotation marks") from None


def _options(words: list[str]) -> Iterator[tuple[str, str]]:
    """Yield (option, value) for every flag."""
    left = iter(words)
    for flag in left:
        if flag in _BARE:
            continue
        letter, attached = flag[1:2], flag[2:]
        if not flag.startswith("-") or letter not in {"o", *LETTERS}:
            raise VariableError(f"{flag!r} is not honoured", _WRITE_INSTEAD)
        value = attached or next(left, "")
        if not value:
            raise VariableError(f"{flag} lacks its value", "write it after the flag")
        yield _option(value) if letter == "o" else (LETTERS[letter], value)


def _option(text: str) -> tuple[str, str]:
    """Split ``Name=value`` or ``Name value``, as ssh does."""
    name, separator, value = text.partition("=")
    if not separator or " " in name.strip():
        name, _, value = text.strip().partition(" ")
    value = value.strip()
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = value[1:-1]
    return name.strip(), value
