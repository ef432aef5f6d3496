"""The node program on its way: one ``sh`` command, and the program, compressed, on stdin.

The command finds a Python and gives it a stub; the stub reads the program and runs it. Stdin stays open
afterwards: its end is what ends the program. The files of ``remote/`` share one namespace and are joined in the
order of ``PROGRAM_FILES``.

The program travels twice: as source, which every Python from 3.6 on reads, and as the bytecode of
the Python that runs here. Compiling the source is a third of what the program costs a node (9 of 29 ms); a node
whose Python has our bytecode's magic number need not. Neither has what only people read, a third of the source.
"""

from __future__ import annotations

import marshal
import sys
import zlib
from functools import cache
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from types import CodeType

import skoopctl
from skoopctl.errors import EvidenceError
from skoopctl.evidence.frames import MAGIC
from skoopctl.evidence.request import DOCTOR_ITEMS, Request, SampleRequest
from skoopctl.transport.base import Job

PROGRAM_FILES = (
    "paths.py",
    "outcome.py",
    "frames.py",
    "lifetime.py",
    "modules.py",
    "netlink.py",
    "namespaces.py",
    "identity.py",
    "files.py",
    "sysctls.py",
    "sockets.py",
    "bpf.py",
    "wireguard.py",
    "programs.py",
    "netfilter.py",
    "ipvs.py",
    "conntrack.py",
    "main.py",
)
DOCTOR_FILES = ("doctor.py",)
"""What is sent behind them when one of `DOCTOR_ITEMS` is asked for."""
SAMPLE_FILES = (
    "paths.py",
    "outcome.py",
    "frames.py",
    "lifetime.py",
    "modules.py",
    "netlink.py",
    "namespaces.py",
    "identity.py",
    "lease.py",
    "rounds.py",
    "processes.py",
    "tcp_states.py",
    "conntrack_stats.py",
    "rdma.py",
    "links.py",
    "sampling.py",
)
"""The program that sends rounds."""

UNSUPPORTED_EXIT = 97
"""The exit status of the command when no Python was found."""

LEVEL = 6
"""2 % more bytes than with 9, in a sixth of the time: with few nodes, 25 ms are a part of each one's share."""

STUB_ALARM_S = 60
"""The stub ends itself when the program does not arrive within this time."""


def job(request: Request) -> Job:
    """Return the command and the bytes for its stdin."""
    return job_of(program_source(request))


def job_of(source: str) -> Job:
    """Return the command and the bytes for its stdin, for any program that is made of files of ``remote/``."""
    return Job(command=bootstrap_command(), stdin=_on_stdin(source), begins=MAGIC)


def sample_job(request: SampleRequest) -> Job:
    """Return what makes a node send rounds; it wants to hear something four times a lease.

    How much a whole conversation brings has no limit: its receiver bounds what it holds.
    """
    return Job(
        command=bootstrap_command(),
        stdin=_on_stdin(sample_source(request)),
        max_output=sys.maxsize,
        begins=MAGIC,
        heartbeat_s=request.lease_s / 4,
    )


def _on_stdin(source: str) -> bytes:
    """Return a program as it is sent: a head with the bytecode's magic number and two lengths, then it twice."""
    code, text = (zlib.compress(data, LEVEL) for data in (bytecode(source), source.encode()))
    head = f"{MAGIC_NUMBER.hex()}{len(code):08x}{len(text):08x}"
    return head.encode() + code + text


@cache
def bootstrap_command() -> str:
    """Return the command. One line and one pair of single quotes: csh and fish read it like sh does."""
    stub = _remote("stub.py").strip().replace("@ALARM@", str(STUB_ALARM_S))
    script = " ".join(line.strip() for line in _remote("bootstrap.sh").splitlines())
    return f"sh -c '{script.replace('@STUB@', stub)}'"


def program_source(request: Request) -> str:
    """Return the whole program, with the call that answers ``request``."""
    more = DOCTOR_FILES if set(request.items or ()) & set(DOCTOR_ITEMS) else ()
    return f"{joined(PROGRAM_FILES + more)}\nmain({request.literal()})\n"


def sample_source(request: SampleRequest) -> str:
    """Return the whole program that sends rounds, with the call that answers ``request``."""
    return f"{joined(SAMPLE_FILES)}\nsample({request.literal()})\n"


def bytecode(source: str) -> bytes:
    """Return the program as this Python's bytecode, without line numbers, which are a third of its bytes.

    A traceback names the functions; the same program from source has the lines.
    """
    return marshal.dumps(_bare(compile(source, "skoopctl", "exec", dont_inherit=True, optimize=2)))


def _bare(code: CodeType) -> CodeType:
    """Return code without its table of line numbers and the names of what is around it, at every depth."""
    constants = tuple(_bare(each) if isinstance(each, CodeType) else each for each in code.co_consts)
    return code.replace(co_consts=constants, co_linetable=b"", co_firstlineno=1, co_qualname=code.co_name)


@cache
def joined(files: tuple[str, ...]) -> str:
    """Return files of ``remote/`` as one source."""
    return "\n".join(without_words(_remote(name)) for name in files)


def without_words(source: str) -> str:
    """Return a file of ``remote/`` without its docstrings and comments, each line in its place.

    It knows no more of Python than these files need: there, both stand on lines of their own. Parsing them would
    take a tenth of a second.
    """
    kept: list[str] = []
    inside = False
    for line in source.split("\n"):
        words = line.strip()
        begins = not inside and words.startswith('"""')
        told = inside or begins or words.startswith("#")
        kept.append("" if told else line)
        if inside or begins:
            inside = not (words.endswith('"""') and (inside or len(words) > 3))
    return "\n".join(kept)


def _remote(name: str) -> str:
    """Read a file of ``remote/``: in the wheel it is package data, in a checkout it is beside the package."""
    package = Path(skoopctl.__file__).parent
    for folder in (package / "_data" / "remote", package.parent / "remote"):
        if (folder / name).is_file():
            return (folder / name).read_text(encoding="utf-8")
    raise EvidenceError(
        f"the node program's file {name} is not in this installation", hint="install skoopctl again"
    )
