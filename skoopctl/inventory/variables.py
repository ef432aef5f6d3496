"""The variables that decide where and how we log in: what each means, and which are refused.

A variable that would change the machine we reach, and that we do not honour, is an error: ignoring it
would mean looking at the wrong machine. Everything else is kept and left alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from skoopctl.inventory import ssh_arguments, values
from skoopctl.inventory.values import NAMESPACES_DIRECTORY, VariableError, Vaulted

__all__ = ["HONOURED", "NAMESPACES_DIRECTORY", "REFUSED", "Variable", "VariableError", "read"]


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable that is honoured: what reads its value (value, folder of the inventory), and what it means."""

    read: Callable[[object, Path], object]
    means: str


_OLDER = "an older name of `{}`, which wins over it"
_SSH_OPTIONS = "options of ssh; see below for those that are honoured"

HONOURED: dict[str, Variable] = {
    "ansible_host": Variable(values.address, "the name or address to connect to; default: the host's name"),
    "ansible_ssh_host": Variable(values.address, _OLDER.format("ansible_host")),
    "ansible_port": Variable(values.port, "the port of its SSH server; default: `~/.ssh/config`, then 22"),
    "ansible_ssh_port": Variable(values.port, _OLDER.format("ansible_port")),
    "ansible_user": Variable(values.word, "who logs in; default: `~/.ssh/config`, then your own name"),
    "ansible_ssh_user": Variable(values.word, _OLDER.format("ansible_user")),
    "ansible_ssh_private_key_file": Variable(values.file, "the key; default: your agent and default keys"),
    "ansible_private_key_file": Variable(values.file, _OLDER.format("ansible_ssh_private_key_file")),
    "ansible_connection": Variable(values.connection, "`ssh`, or `local` for this machine without SSH"),
    "ansible_ssh_args": Variable(ssh_arguments.read, _SSH_OPTIONS),
    "ansible_ssh_common_args": Variable(ssh_arguments.read, _SSH_OPTIONS),
    "ansible_ssh_extra_args": Variable(ssh_arguments.read, _SSH_OPTIONS),
    "ansible_host_key_checking": Variable(
        values.checked_host_keys, "only `true`: host keys are always checked"
    ),
    "ansible_ssh_host_key_checking": Variable(values.checked_host_keys, "the same"),
    "ansible_become": Variable(values.boolean, "whether the login user becomes another one"),
    "ansible_become_user": Variable(values.word, "the user to become; default: root"),
    "ansible_become_method": Variable(values.become_method, "`sudo` or `doas`; default: sudo"),
    "ansible_python_interpreter": Variable(
        values.interpreter, "the Python on the node; default: one is looked for"
    ),
    "ansible_group_priority": Variable(
        values.priority, "which of two groups of one depth wins; not in `group_vars`"
    ),
    "skoop_known_hosts": Variable(values.file, "the file of host keys; default: ssh's own files"),
    "skoop_netns": Variable(
        values.namespace, "the network namespace here from which the connection is opened"
    ),
}
"""Variables that are read. Relative paths start at the folder of the inventory."""

_IN_SSH_CONFIG = "put the setting into ~/.ssh/config, which is honoured"
_NO_PASSWORDS = "log in with a key or an SSH agent, or give the password with --ask-pass or --password-fd"
_NO_SUDO_PASSWORDS = (
    "allow it without a password (NOPASSWD), or give the password with -K (--ask-become-pass)"
)
_OWN_COMMAND = "sudo and doas are called by their names, without further flags; remove it"

REFUSED: dict[str, str] = {
    "ansible_password": _NO_PASSWORDS,
    "ansible_ssh_pass": _NO_PASSWORDS,
    "ansible_ssh_password": _NO_PASSWORDS,
    "ansible_ssh_private_key": "write the key to a file and name it with ansible_ssh_private_key_file",
    "ansible_ssh_private_key_passphrase": "add the key to an SSH agent (ssh-add)",
    "ansible_private_key_passphrase": "add the key to an SSH agent (ssh-add)",
    "ansible_ssh_pkcs11_provider": _IN_SSH_CONFIG,
    "ansible_ssh_executable": "skoopctl has its own SSH client; remove it",
    "ansible_ssh_verbosity": "remove it",
    "ansible_become_pass": _NO_SUDO_PASSWORDS,
    "ansible_become_password": _NO_SUDO_PASSWORDS,
    "ansible_sudo_pass": _NO_SUDO_PASSWORDS,
    "ansible_doas_pass": _NO_SUDO_PASSWORDS,
    "ansible_become_exe": _OWN_COMMAND,
    "ansible_become_flags": _OWN_COMMAND,
    "ansible_sudo_exe": _OWN_COMMAND,
    "ansible_sudo_flags": _OWN_COMMAND,
    "ansible_doas_exe": _OWN_COMMAND,
    "ansible_doas_flags": _OWN_COMMAND,
    "ansible_sudo": "use ansible_become",
    "ansible_sudo_user": "use ansible_become_user",
    "ansible_doas_user": "use ansible_become_user with ansible_become_method: doas",
    "ansible_su": "use ansible_become with sudo",
    "ansible_su_user": "use ansible_become_user with sudo",
    "ansible_shell_executable": "commands run in the login shell; remove it",
}
"""Variables that Ansible would obey when it logs in and that we do not; each with what to do instead."""

WITHOUT_EFFECT = frozenset({"ansible_scp_extra_args", "ansible_sftp_extra_args"})
"""Ansible's own variables that are nearly called like ours and decide nothing here: no file is copied."""

_CLOSE = 0.86


def read(name: str, value: object, folder: Path) -> object:
    """Return the checked value of one variable; raise :class:`VariableError` when it cannot be honoured."""
    if name in REFUSED:
        raise VariableError(f"{name} is not honoured", REFUSED[name])
    if name in HONOURED:
        _only_plain(name, value)
        try:
            return HONOURED[name].read(value, folder)
        except VariableError as error:
            raise VariableError(f"{name}: {error}", error.hint) from None
    if name.startswith(("ansible_", "skoop_")) and name not in WITHOUT_EFFECT:
        _only_known(name)
    return value


def _only_known(name: str) -> None:
    """Refuse a name that is nearly one of ours, and every unknown ``skoop_`` one."""
    import difflib  # noqa: PLC0415 - only a mistake needs it

    near = difflib.get_close_matches(name, [*HONOURED, *REFUSED], n=1, cutoff=_CLOSE)
    if near and not (near[0] in REFUSED and name.startswith("ansible_")):
        raise VariableError(f"unknown variable {name}", f"did you mean {near[0]}?")
    if name.startswith("skoop_"):
        known = ", ".join(sorted(key for key in HONOURED if key.startswith("skoop_")))
        raise VariableError(f"unknown variable {name}", f"there are: {known}")


def _only_plain(name: str, value: object) -> None:
    if isinstance(value, Vaulted):
        raise VariableError(
            f"{name} is encrypted with {value.tag}", "write the plain value: it is not a secret"
        )
    if isinstance(value, str) and re.search(r"\{\{|\{%", value):
        raise VariableError(
            f"{name} holds a Jinja expression, which is not evaluated", "write the plain value"
        )
