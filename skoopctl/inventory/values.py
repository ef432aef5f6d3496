"""What the value of a variable must look like: one small reader for each kind of value.

A reader gets the value as it is written and the folder at which relative paths start. It returns the checked
value, or raises :class:`VariableError`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

NAMESPACES_DIRECTORY = "/run/netns"
JUMP = r"(?:ssh://)?(?:[^\s@,/]+@)?(?:\[[0-9A-Fa-f:.%\w]+\]|[^\s@,:/\[\]-][^\s@,:/\[\]]*)(?::\d{1,5})?"
"""One bastion of ``ProxyJump`` (ssh_config(5))."""


class VariableError(ValueError):
    """A variable's value cannot be used. The text says why; ``hint`` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Vaulted:
    """A value that only ``ansible-vault`` can read."""

    tag: str


_TYPE_NAMES = {dict: "a mapping", list: "a list", bool: "a boolean", int: "a number", float: "a number"}
_YES = frozenset({"yes", "true", "on", "1", "y", "t"})
_NO = frozenset({"no", "false", "off", "0", "n", "f"})


def found(value: object) -> str:
    """Say what was found, for an error."""
    return "nothing" if value is None else f"{_TYPE_NAMES.get(type(value), 'text')}: {value!r}"


def word(value: object, _folder: Path) -> str:
    """Return one word that no program could take for an option."""
    if not isinstance(value, str | int) or isinstance(value, bool) or not str(value).strip():
        raise VariableError(f"expected text, found {found(value)}")
    text = str(value)
    if text.startswith("-") or re.search(r"[\s\x00-\x1f\x7f]", text):
        raise VariableError(f"expected one word that does not begin with '-', found {value!r}")
    return text


def address(value: object, folder: Path) -> str:
    """Return a name or address to connect to; an IPv6 address may stand in brackets."""
    text = word(value, folder)
    return text[1:-1] if text.startswith("[") and text.endswith("]") else text


def port(value: object, _folder: Path) -> int:
    """Return a TCP port from a number or its text."""
    number = value
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
        number = int(value)
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= 65535:
        raise VariableError(f"expected a port from 1 to 65535, found {found(value)}")
    return number


def boolean(value: object, _folder: Path) -> bool:
    """Return yes or no, in the words that Ansible takes for them."""
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in _YES:
        return True
    if text in _NO:
        return False
    raise VariableError(f"expected yes or no, found {found(value)}")


def file(value: object, folder: Path) -> str:
    """Return the absolute path of a file; ``~`` is the home directory."""
    if not isinstance(value, str) or not value.strip() or "\x00" in value:
        raise VariableError(f"expected a path, found {found(value)}")
    try:
        return os.path.normpath(folder / Path(value).expanduser())
    except RuntimeError:
        raise VariableError(f"there is no user whose home {value!r} names") from None


def jump(value: object, folder: Path) -> str:
    """Return the bastions of ``ProxyJump``: ``[user@]host[:port]``, several joined by commas, or ``none``."""
    text = word(value, folder)
    if not re.fullmatch(f"{JUMP}(?:,{JUMP})*", text):
        raise VariableError(f"expected bastions as [user@]host[:port], joined by commas, found {value!r}")
    return text


def connection(value: object, folder: Path) -> str:
    """Return ``ssh`` or ``local``."""
    text = word(value, folder).removeprefix("ansible.builtin.")
    if text in {"ssh", "smart"}:
        return "ssh"
    if text == "local":
        return "local"
    raise VariableError(f"the connection {text!r} is not supported", "use ssh or local")


def become_method(value: object, folder: Path) -> str:
    """Return ``sudo`` or ``doas``."""
    text = word(value, folder)
    name = text.removeprefix("ansible.builtin.").removeprefix("community.general.")
    if name not in {"sudo", "doas"}:
        raise VariableError(f"becoming another user by {text!r} is not supported", "use sudo or doas")
    return name


def checked_host_keys(value: object, folder: Path) -> bool:
    """Return true; host keys cannot be left unchecked."""
    if not boolean(value, folder):
        raise VariableError("host keys are always checked", CHECK_HOST_KEYS)
    return True


CHECK_HOST_KEYS = "remove it, and put the host's key into known_hosts or a file that skoop_known_hosts names"


def namespace(value: object, folder: Path) -> str:
    """Return the name of a network namespace under ``/run/netns``."""
    text = word(value, folder)
    if "/" in text or text in {".", ".."}:
        raise VariableError(f"expected a name under {NAMESPACES_DIRECTORY}, found {text!r}")
    return text


def interpreter(value: object, folder: Path) -> str | None:
    """Return the Python to use on the node; none where Ansible would look for one, as we do too."""
    text = word(value, folder)
    return None if text.startswith("auto") else text


def priority(value: object, _folder: Path) -> int:
    """Return a group's priority."""
    if isinstance(value, bool) or not isinstance(value, int | str) or not re.fullmatch(r"-?\d+", str(value)):
        raise VariableError(f"expected a number, found {found(value)}")
    return int(value)
