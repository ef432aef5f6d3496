"""The variables that decide where and how we log in: what each must look like, and which are refused.

A variable that would change the machine we reach, and that we do not honour, is an error: ignoring it
would mean looking at the wrong machine. Everything else is kept and left alone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

NAMESPACES_DIRECTORY = "/run/netns"


class VariableError(ValueError):
    """A variable's value cannot be used. The text says why; ``hint`` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Vaulted:
    """A value that only ``ansible-vault`` can read."""

    tag: str


type_names = {dict: "a mapping", list: "a list", bool: "a boolean", int: "a number", float: "a number"}


def _found(value: object) -> str:
    return "nothing" if value is None else f"{type_names.get(type(value), 'text')}: {value!r}"


def _text(value: object, _folder: Path) -> str:
    if not isinstance(value, str | int) or isinstance(value, bool) or not str(value).strip():
        raise VariableError(f"expected text, found {_found(value)}")
    text = str(value)
    if text.startswith("-") or re.search(r"[\s\x00-\x1f\x7f]", text):
        raise VariableError(f"expected one word that does not begin with '-', found {value!r}")
    return text


def _address(value: object, folder: Path) -> str:
    text = _text(value, folder)
    return text[1:-1] if text.startswith("[") and text.endswith("]") else text


def port(value: object, _folder: Path) -> int:
    """Return a TCP port from a number or its text."""
    number = value
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
        number = int(value)
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= 65535:
        raise VariableError(f"expected a port from 1 to 65535, found {_found(value)}")
    return number


def _boolean(value: object, _folder: Path) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in {"yes", "true", "on", "1", "y", "t"}:
        return True
    if word in {"no", "false", "off", "0", "n", "f"}:
        return False
    raise VariableError(f"expected yes or no, found {_found(value)}")


def _file(value: object, folder: Path) -> str:
    if not isinstance(value, str) or not value.strip() or "\x00" in value:
        raise VariableError(f"expected a path, found {_found(value)}")
    return os.path.normpath(folder / Path(value).expanduser())


def _connection(value: object, folder: Path) -> str:
    text = _text(value, folder).removeprefix("ansible.builtin.")
    if text in {"ssh", "smart"}:
        return "ssh"
    if text == "local":
        return "local"
    raise VariableError(f"the connection {text!r} is not supported", "use ssh or local")


def _become_method(value: object, folder: Path) -> str:
    text = _text(value, folder).removeprefix("ansible.builtin.")
    if text != "sudo":
        raise VariableError(f"becoming another user by {text!r} is not supported", "use sudo")
    return text


def _namespace(value: object, folder: Path) -> str:
    text = _text(value, folder)
    if "/" in text or text in {".", ".."}:
        raise VariableError(f"expected a name under {NAMESPACES_DIRECTORY}, found {text!r}")
    return text


def _interpreter(value: object, folder: Path) -> str | None:
    text = _text(value, folder)
    return None if text.startswith("auto") else text


def _priority(value: object, _folder: Path) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str) or not re.fullmatch(r"-?\d+", str(value)):
        raise VariableError(f"expected a number, found {_found(value)}")
    return int(value)


HONOURED: dict[str, Callable[[object, Path], object]] = {
    "ansible_host": _address,
    "ansible_ssh_host": _address,
    "ansible_port": port,
    "ansible_ssh_port": port,
    "ansible_user": _text,
    "ansible_ssh_user": _text,
    "ansible_ssh_private_key_file": _file,
    "ansible_private_key_file": _file,
    "ansible_connection": _connection,
    "ansible_become": _boolean,
    "ansible_become_user": _text,
    "ansible_become_method": _become_method,
    "ansible_python_interpreter": _interpreter,
    "ansible_group_priority": _priority,
    "skoop_known_hosts": _file,
    "skoop_netns": _namespace,
}
"""Variables that are read, each with the function that reads it (value, folder of the inventory)."""

_IN_SSH_CONFIG = "put the setting into ~/.ssh/config, which is honoured"
_NO_PASSWORDS = "log in with a key or an SSH agent"
_NO_SUDO_PASSWORDS = "allow sudo without a password (NOPASSWD) for this user"
_ALWAYS_CHECKED = "host keys are always checked; name a file with skoop_known_hosts"

REFUSED: dict[str, str] = {
    "ansible_password": _NO_PASSWORDS,
    "ansible_ssh_pass": _NO_PASSWORDS,
    "ansible_ssh_password": _NO_PASSWORDS,
    "ansible_ssh_private_key": "write the key to a file and name it with ansible_ssh_private_key_file",
    "ansible_ssh_private_key_passphrase": "add the key to an SSH agent (ssh-add)",
    "ansible_private_key_passphrase": "add the key to an SSH agent (ssh-add)",
    "ansible_ssh_pkcs11_provider": _IN_SSH_CONFIG,
    "ansible_ssh_args": _IN_SSH_CONFIG,
    "ansible_ssh_common_args": _IN_SSH_CONFIG,
    "ansible_ssh_extra_args": _IN_SSH_CONFIG,
    "ansible_ssh_executable": "skoopctl has its own SSH client",
    "ansible_ssh_verbosity": "remove it",
    "ansible_host_key_checking": _ALWAYS_CHECKED,
    "ansible_ssh_host_key_checking": _ALWAYS_CHECKED,
    "ansible_become_pass": _NO_SUDO_PASSWORDS,
    "ansible_become_password": _NO_SUDO_PASSWORDS,
    "ansible_sudo_pass": _NO_SUDO_PASSWORDS,
    "ansible_become_exe": "sudo is called by its name",
    "ansible_become_flags": "sudo is called as `sudo -n`",
    "ansible_sudo": "use ansible_become",
    "ansible_sudo_user": "use ansible_become_user",
    "ansible_su": "use ansible_become with sudo",
    "ansible_su_user": "use ansible_become_user with sudo",
    "ansible_shell_executable": "commands run in the login shell",
}
"""Variables that Ansible would obey when it logs in and that we do not; each with what to do instead."""

_CLOSE = 0.86


def read(name: str, value: object, folder: Path) -> object:
    """Return the checked value of one variable; raise :class:`VariableError` when it cannot be honoured."""
    if name in REFUSED:
        raise VariableError(f"{name} is not honoured", REFUSED[name])
    if name in HONOURED:
        _only_plain(name, value)
        try:
            return HONOURED[name](value, folder)
        except VariableError as error:
            raise VariableError(f"{name}: {error}", error.hint) from None
    if name.startswith(("ansible_", "skoop_")):
        import difflib  # noqa: PLC0415 - only a mistake needs it

        near = difflib.get_close_matches(name, [*HONOURED, *REFUSED], n=1, cutoff=_CLOSE)
        if near or name.startswith("skoop_"):
            known = ", ".join(sorted(key for key in HONOURED if key.startswith("skoop_")))
            raise VariableError(
                f"unknown variable {name}",
                f"did you mean {near[0]}?" if near else f"there are: {known}",
            )
    return value


def _only_plain(name: str, value: object) -> None:
    if isinstance(value, Vaulted):
        raise VariableError(
            f"{name} is encrypted with {value.tag}", "write the plain value: it is not a secret"
        )
    if isinstance(value, str) and re.search(r"\{\{|\{%", value):
        raise VariableError(
            f"{name} holds a Jinja expression, which is not evaluated", "write the plain value"
        )
