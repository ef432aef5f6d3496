"""The command line that a host's login shell gets: with ``sudo`` and the chosen interpreter around the job's.

The login shell may be bash, dash, busybox, csh or fish; only bare words and single quotes mean the same in
all of them, so a command made of those goes through as it is, and any other is wrapped in ``sh -c``.
"""

from __future__ import annotations

import re
import shlex

from skoopctl.inventory.host import InventoryHost

PYTHON_VARIABLE = "SKOOPCTL_PYTHON"
"""The environment variable in which the bootstrap command finds ``ansible_python_interpreter``."""

_WORD = r"""(?:[\w@%+=:,./-]|'[^']*'|"'")+"""
_PLAIN = re.compile(rf"(?!\w+=){_WORD}(?: +{_WORD})*")


def command_line(host: InventoryHost, command: str) -> str:
    """Return ``command`` as it must be sent to ``host``."""
    words: list[str] = []
    if host.become:
        # The messages of sudo are read, so they must be English. -n: never ask, never wait for a terminal.
        words += ["env", "LC_ALL=C", "sudo", "-n"]
        if host.become_user:
            words += ["-u", shlex.quote(host.become_user)]
        words.append("--")
    if host.python:
        words += ["env", shlex.quote(f"{PYTHON_VARIABLE}={host.python}")]
    if not words:
        return command
    words.append(command if _PLAIN.fullmatch(command) else f"sh -c {shlex.quote(command)}")
    return " ".join(words)
