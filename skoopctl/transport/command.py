"""The command line that a host's login shell gets: with ``sudo`` or ``doas`` and the chosen interpreter around it.

The login shell may be bash, dash, busybox, csh or fish; only bare words and single quotes mean the same in
all of them, so a command made of those goes through as it is, and any other is wrapped in ``sh -c``.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from skoopctl.inventory.host import InventoryHost

if TYPE_CHECKING:
    from skoopctl.transport.become import SudoTalk

PYTHON_VARIABLE = "SKOOPCTL_PYTHON"
"""The environment variable in which the bootstrap command finds ``ansible_python_interpreter``."""

_WORD = r"""(?:[\w@%+=:,./-]|'[^']*'|"'")+"""
_PLAIN = re.compile(rf"(?!\w+=){_WORD}(?: +{_WORD})*")


def command_line(host: InventoryHost, command: str, talk: SudoTalk | None = None) -> str:
    """Return ``command`` as it must be sent to ``host``; with ``talk``, sudo may ask for a password."""
    words = _become(host, talk)
    if host.python:
        words += ["env", shlex.quote(f"{PYTHON_VARIABLE}={host.python}")]
    if not words:
        return command
    words.append(command if _PLAIN.fullmatch(command) else f"sh -c {shlex.quote(command)}")
    return " ".join(words)


def _become(host: InventoryHost, talk: SudoTalk | None) -> list[str]:
    """Return the words that turn into another user. Messages are read, so they must be English."""
    if not host.become:
        return []
    user = ["-u", shlex.quote(host.become_user)] if host.become_user else []
    words = ["env", "LC_ALL=C", host.become_method]
    if talk is None:  # -n: never ask, never wait for a terminal
        return [*words, "-n", *user, "--"]
    # -k: sudo keeps no time stamp of this login on the host, and asks although there may be one.
    start = f"'echo {talk.ready} >&2; exec \"$@\"'"
    return [*words, "-k", "-S", "-p", talk.prompt, *user, "--", "sh", "-c", start, "sh"]
