"""The seam between the fleet and a host: bytes go in on stdin, bytes come out on stdout, once.

A transport is an asynchronous context (entering it connects and logs in, leaving it closes hard) with one
method, :meth:`Transport.run`. What arrives is given to a :class:`Receiver`: an :class:`Answer` that the fleet owns, so
that whatever came before a failure is kept, or a :class:`~skoopctl.transport.handing.HandingOn` that keeps nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import Protocol, Self

from skoopctl.errors import SkoopError
from skoopctl.inventory.host import InventoryHost

MIB = 1024 * 1024
MOST_NOISE = MIB
"""Bytes that may come before the beginning of the answer."""
MOST_STDERR = 64 * 1024
"""Bytes of stderr that are kept: enough for a traceback, whatever a host pours out."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """The four deadlines, in seconds. All are on."""

    connect_s: float = 10.0
    """From resolving the name to being logged in. Waiting for a bastion, or for one's turn there, is not counted."""
    program_s: float = 30.0
    """From the exec to its end."""
    host_s: float = 60.0
    """Everything about one host, once its turn has come."""
    run_s: float = 300.0
    """All hosts together."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to run. ``stdin`` is sent at once and then kept open until the program ends."""

    command: str
    stdin: bytes = b""
    max_output: int = 256 * MIB
    begins: bytes = b""
    """How the answer begins. What a login shell prints before it is noise: up to :data:`MOST_NOISE` bytes."""
    heartbeat_s: float = 0.0
    """How often a byte is written to stdin while the program runs; 0 is never. A program that runs for months ends
    when it hears nothing: the connection may have died without its end of stdin having been told."""


class HostStatus(StrEnum):
    """How asking one host went."""

    OK = "ok"
    PARTIAL = "partial"
    UNREACHABLE = "unreachable"
    AUTH_FAILED = "auth-failed"
    DENIED = "denied"
    TIMEOUT = "timeout"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True)
class HostResult:
    """What one host answered, and how it went. ``stdout`` holds what came, also after a failure."""

    host: str
    status: HostStatus
    stdout: bytes
    stderr: str
    exit_status: int | None
    error: SkoopError | None
    elapsed_s: float
    began_s: float | None = None
    """When its turn came, in seconds after the first host's; None where it never came."""


Write = Callable[[bytes], None]
"""Writes to a program's stdin."""


class Receiver(Protocol):
    """What a transport gives to: what a program writes, and how it ended."""

    begins: bytes
    """How the answer begins, until it has."""
    exit_status: int | None
    exit_signal: str | None
    overflowed: bool
    noisy: bool

    @property
    def max_output(self) -> int:
        """The most bytes of stdout that may come."""
        ...

    @property
    def size(self) -> int:
        """How many bytes of stdout have come."""
        ...

    @property
    def stopped(self) -> bool:
        """Whether nothing more of stdout is taken: the program is to be ended."""
        ...

    @property
    def begun(self) -> bool:
        """Whether something of the answer has come, and not only what a login shell prints."""
        ...

    @property
    def stdout(self) -> bytes:
        """What is kept of stdout."""
        ...

    @property
    def stderr(self) -> str:
        """The beginning of stderr, as text."""
        ...

    def add_stdout(self, data: bytes) -> bool:
        """Take ``data``; return whether more may come."""
        ...

    def add_stderr(self, data: bytes) -> None:
        """Take a piece of stderr."""
        ...

    def opened(self, write: Write) -> None:
        """Hear that the job's stdin is sent, and how more is written. To a program that has ended nothing is."""
        ...


@dataclass(slots=True)
class Answer:
    """What has arrived from one host so far."""

    max_output: int
    begins: bytes = b""
    exit_status: int | None = None
    exit_signal: str | None = None
    overflowed: bool = False
    noisy: bool = False
    """Whether it was cut off because its beginning did not come."""
    _stdout: list[bytes] = field(default_factory=list)
    _stderr: bytearray = field(default_factory=bytearray)
    _room: int = field(init=False)

    def __post_init__(self) -> None:
        self._room = self.max_output

    def add_stdout(self, data: bytes) -> bool:
        """Keep ``data``; return whether more may come. What is over the limit is cut off."""
        if len(data) > self._room:
            self.overflowed = True
            data = data[: self._room]
        self._room -= len(data)
        if data:
            self._stdout.append(data)
        self.noisy = not self._begun()
        return not self.stopped

    @property
    def stopped(self) -> bool:
        """Whether it was cut off."""
        return self.overflowed or self.noisy

    def _begun(self) -> bool:
        """Return whether the beginning is here or may still come."""
        if self.begins and self.begins in b"".join(self._stdout):
            self.begins = b""
        return not self.begins or self.size <= MOST_NOISE

    def add_stderr(self, data: bytes) -> None:
        """Keep the beginning of stderr."""
        self._stderr += data[: MOST_STDERR - len(self._stderr)]

    def opened(self, write: Write) -> None:
        """Say nothing more."""

    @property
    def begun(self) -> bool:
        """Whether something of the answer is here, and not only what a login shell prints."""
        return self.size > 0 and not self.begins

    @property
    def size(self) -> int:
        """How many bytes of stdout are here."""
        return self.max_output - self._room

    @property
    def stdout(self) -> bytes:
        """All of stdout so far."""
        return b"".join(self._stdout)

    @property
    def stderr(self) -> str:
        """The beginning of stderr, as text."""
        return self._stderr.decode("utf-8", "replace")


class Transport(Protocol):
    """One way to one host. Entering connects; leaving closes at once and never hangs."""

    @property
    def waiting_for(self) -> str:
        """What has not come yet, in words: said when a deadline passes."""
        ...

    def turn(self, connect_s: float) -> AbstractAsyncContextManager[None]:
        """Return what is held from before connecting until the login is over.

        Entering it waits until this host may log in, however long others take; only what this host itself
        costs is bounded, by ``connect_s`` seconds.
        """
        ...

    async def __aenter__(self) -> Self:
        """Connect and log in, or raise a :class:`~skoopctl.errors.TransportError`."""
        ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close hard, so that the program's stdin ends."""
        ...

    async def run(self, job: Job, receiver: Receiver) -> None:
        """Run the job to its end and give ``receiver`` what comes on the way.

        A program that ends with a failure is not an error here; a connection that breaks is. When it is cancelled,
        the program is ended, and another job may be run.
        """
        ...


class TransportFactory(Protocol):
    """Chooses the transport for a host; what the hosts of one run share lives here."""

    def __call__(self, host: InventoryHost) -> Transport:
        """Return a transport that is not connected yet."""
        ...

    def lasting(self) -> None:
        """Be told that hosts will be connected again and again: a bastion that failed is opened again too."""
        ...

    async def close(self) -> None:
        """Close what the hosts shared, at once: bastions. Called at the end of the run, whatever happened."""
        ...


class FleetObserver(Protocol):
    """Listens to a run: progress bars, logs and metrics are observers."""

    def run_started(self, hosts: Sequence[InventoryHost]) -> None:
        """Hear of all hosts, before the first is asked."""
        ...

    def host_started(self, host: InventoryHost) -> None:
        """Hear that a host's turn has come."""
        ...

    def host_finished(self, result: HostResult) -> None:
        """Hear that a host is done, one way or another."""
        ...

    def run_finished(self, results: Sequence[HostResult]) -> None:
        """Hear all results, in the order of the hosts. A cancelled run has none."""
        ...
