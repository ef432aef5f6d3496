"""A host with pods in control groups, and a conversation of rounds with the node program on it."""

from __future__ import annotations

import os
import select
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, Self

from skoopctl.evidence.payload import sample_job
from skoopctl.evidence.request import SampleRequest
from skoopctl.evidence.rounds import HOST, Change, Round, RoundReader
from skoopctl.lab.cgroups import hierarchies
from tests.lab.node_host import wait_until

DEADLINE_S = 60.0
UID = "5f0d2c1a-7b3e-4d69-9c58-{:012d}"


@contextmanager
def pod_groups(number: int = 0) -> Iterator[Path]:
    """Make a folder for pods' control groups in a hierarchy of this machine; all below it is gone afterwards."""
    base = hierarchies()[number] / f"kubepods-test{os.getpid()}"
    base.mkdir()
    try:
        yield base
    finally:
        wait_until(lambda: _remove(base), DEADLINE_S)


def _remove(base: Path) -> bool:
    """Remove a tree of groups, deepest first; a group with processes stays."""
    for folder, _, _ in os.walk(base, topdown=False):
        try:
            Path(folder).rmdir()
        except OSError:
            return False
    return True


def pod_scope(base: Path, number: int, container: str = "app") -> Path:
    """Return the group of a container as kubelet's systemd driver and containerd name it, made if need be."""
    uid = UID.format(number).replace("-", "_")
    scope = base / f"kubepods-burstable-pod{uid}.slice" / f"cri-containerd-{container}.scope"
    scope.mkdir(parents=True, exist_ok=True)
    return scope


class Inside(Protocol):
    """A host that can be entered."""

    def inside(self, *argv: str) -> list[str]:
        """Return a command line that runs in the host."""
        ...


class Conversation:
    """One run of the node program; ``state`` is what is known of the host after the rounds so far.

    ``pipe_bytes`` is the size of its pipes, if one is given.
    """

    def __init__(
        self, host: Inside, request: SampleRequest, wrap: Sequence[str] = (), pipe_bytes: int = -1
    ) -> None:
        asked = sample_job(request)
        self.program = subprocess.Popen(
            host.inside(*wrap, *shlex.split(asked.command)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            pipesize=pipe_bytes,
        )
        self.reader = RoundReader("skt")
        self.state: dict[tuple[int, str], Change] = {}
        self.rounds: list[Round] = []
        self.heard = bytearray()
        """All that came."""
        self._waiting: list[Round] = []
        assert self.program.stdin is not None
        self.program.stdin.write(asked.stdin)
        self.program.stdin.flush()

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the program by its stdin and wait for it."""
        for stream in (self.program.stdin, self.program.stdout, self.program.stderr):
            assert stream is not None
            stream.close()
        self.program.wait(DEADLINE_S)

    def beat(self) -> None:
        """Say something, so that the lease goes on."""
        assert self.program.stdin is not None
        self.program.stdin.write(b".")
        self.program.stdin.flush()

    def next(self, within_s: float = DEADLINE_S) -> Round:
        """Return the next round and bring the state up to date; TimeoutError when none comes, EOFError at the end."""
        assert self.program.stdout is not None
        deadline = time.monotonic() + within_s
        while not self._waiting:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.program.stdout], [], [], left)[0]:
                raise TimeoutError
            data = os.read(self.program.stdout.fileno(), 1 << 20)
            if not data:
                raise EOFError(self.complaint())
            self.heard += data
            self._waiting += self.reader.feed(data)
        found = self._waiting.pop(0)
        for key in [key for key in self.state if key[0] in found.gone]:
            del self.state[key]
        self.state |= {(change.netns, change.item): change for change in found.changes}
        self.rounds.append(found)
        return found

    def until(self, condition: Callable[[], object], within_s: float = DEADLINE_S) -> Round:
        """Take rounds until a condition holds, and return the last one."""
        deadline = time.monotonic() + within_s
        while True:
            found = self.next()
            if condition():
                return found
            assert time.monotonic() < deadline, "the condition did not come to hold"

    def rest(self) -> list[Round]:
        """Return all rounds until the program ends."""
        found = []
        while True:
            try:
                found.append(self.next())
            except EOFError:
                return found

    def text(self, item: str, netns: int = HOST) -> str:
        """Return an item as it is now."""
        return self.state[netns, item].payload.decode()

    def rows(self, item: str, netns: int = HOST) -> dict[str, list[str]]:
        """Return the lines of an item that has tabs, by their first word."""
        words = [line.split("\t") for line in self.text(item, netns).splitlines()]
        return {row[0]: row[1:] for row in words}

    def pid(self) -> int:
        """Return the program's process id as the test sees it: nsenter is its parent."""
        children = Path(f"/proc/{self.program.pid}/task/{self.program.pid}/children")
        assert wait_until(lambda: children.read_text().split(), DEADLINE_S)
        return int(children.read_text().split()[0])

    def complaint(self) -> str:
        """Return what the program said on its stderr; only once it has ended."""
        assert self.program.stderr is not None
        return self.program.stderr.read().decode()
