"""The node program on its way: one ``sh`` command, and one compressed source on stdin.

The command finds a Python and gives it a stub; the stub reads a length and that many bytes and runs them.
Stdin stays open afterwards: its end is what ends the program. The files of ``remote/`` share one namespace
and are joined in the order of ``PROGRAM_FILES``.
"""

from __future__ import annotations

import zlib
from functools import cache
from pathlib import Path

import skoopctl
from skoopctl.errors import EvidenceError
from skoopctl.evidence.request import Request
from skoopctl.transport.base import Job

PROGRAM_FILES = (
    "outcome.py",
    "frames.py",
    "lifetime.py",
    "modules.py",
    "netlink.py",
    "namespaces.py",
    "files.py",
    "sysctls.py",
    "sockets.py",
    "programs.py",
    "netfilter.py",
    "main.py",
)

UNSUPPORTED_EXIT = 97
"""The exit status of the command when no Python was found."""

STUB_ALARM_S = 60
"""The stub ends itself when the program does not arrive within this time."""


def job(request: Request) -> Job:
    """Return the command and the bytes for its stdin."""
    program = zlib.compress(program_source(request).encode(), 9)
    return Job(command=bootstrap_command(), stdin=b"%08x" % len(program) + program)


@cache
def bootstrap_command() -> str:
    """Return the command. One line and one pair of single quotes: csh and fish read it like sh does."""
    stub = _remote("stub.py").strip().replace("@ALARM@", str(STUB_ALARM_S))
    script = " ".join(line.strip() for line in _remote("bootstrap.sh").splitlines())
    return f"sh -c '{script.replace('@STUB@', stub)}'"


def program_source(request: Request) -> str:
    """Return the whole program, with the call that answers ``request``."""
    return f"{_joined()}\nmain({request.literal()})\n"


@cache
def _joined() -> str:
    return "\n".join(_remote(name) for name in PROGRAM_FILES)


def _remote(name: str) -> str:
    """Read a file of ``remote/``: in the wheel it is package data, in a checkout it is beside the package."""
    package = Path(skoopctl.__file__).parent
    for folder in (package / "_data" / "remote", package.parent / "remote"):
        if (folder / name).is_file():
            return (folder / name).read_text(encoding="utf-8")
    raise EvidenceError(
        f"the node program's file {name} is not in this installation", hint="install skoopctl again"
    )
