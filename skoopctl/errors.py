"""The one tree of errors. Each names a host, a file with its line, or a flag, and says what to do.

::

    SkoopError                     exit 70 unless a subclass says otherwise
    ├── UsageError                 exit 2: the command line, or a file that a person wrote
    │   ├── InventoryError         an inventory: file and line
    │   ├── PlanError              a plan: file and line
    │   ├── ConfigurationError     a configuration of push: file and line
    │   ├── TemplateError          a report's template: file and line
    │   └── TargetError            a source or destination that cannot be found
    ├── TransportError             one host could not be asked; never aborts the others
    │   ├── UnreachableError       no TCP connection, or it broke
    │   ├── HostKeyError           the host's key is unknown or has changed
    │   ├── AuthenticationError    the login was refused
    │   ├── DeniedError            logged in, but not allowed to read the kernel's state (sudo)
    │   ├── DeadlineError          one of the four deadlines passed
    │   └── UnsupportedError       nothing on the host can run the node program
    ├── EvidenceError              exit 2: an answer or a bundle that cannot be read
    ├── BpfObjectError             an object of eBPF that cannot be built or used
    ├── PushError                  metrics could not be pushed; a warning, never a run's failure
    └── LabError                   exit 2: the built-in lab cannot be built or is not there
"""

from __future__ import annotations


class SkoopError(Exception):
    """Something failed in a way that is worth one clear line.

    ``message`` says what was expected and what was found; ``hint`` says what to do.
    """

    exit_code = 70

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class UsageError(SkoopError):
    """The command line, or a file that a person wrote, asks for something that cannot be."""

    exit_code = 2


class InventoryError(UsageError):
    """An inventory file is wrong at ``path``:``line`` (1-based; 0 when no line is known)."""

    def __init__(self, message: str, *, path: str, line: int = 0, hint: str = "") -> None:
        where = f"{path}:{line}" if line else path
        super().__init__(f"{where}: {message}", hint=hint)
        self.path = path
        self.line = line


class PlanError(UsageError):
    """A plan is wrong at ``path``:``line`` (1-based; 0 when no line is known)."""

    def __init__(self, message: str, *, path: str, line: int = 0, hint: str = "") -> None:
        where = f"{path}:{line}" if line else path
        super().__init__(f"{where}: {message}", hint=hint)
        self.path = path
        self.line = line


class ConfigurationError(UsageError):
    """A configuration of push is wrong at ``path``:``line`` (1-based; 0 when no line is known)."""

    def __init__(self, message: str, *, path: str, line: int = 0, hint: str = "") -> None:
        where = f"{path}:{line}" if line else path
        super().__init__(f"{where}: {message}", hint=hint)
        self.path = path
        self.line = line


class TemplateError(UsageError):
    """A report's template is wrong at ``path``:``line`` (1-based; 0 when no line is known)."""

    def __init__(self, message: str, *, path: str, line: int = 0, hint: str = "") -> None:
        where = f"{path}:{line}" if line else path
        super().__init__(f"{where}: {message}", hint=hint)
        self.path = path
        self.line = line


class TargetError(UsageError):
    """A source or destination names something that is not in the evidence."""


class TransportError(SkoopError):
    """One host could not be asked. ``host`` is its inventory name.

    ``final`` says that trying again would do harm: a password was refused, and failures lock accounts.
    """

    def __init__(self, host: str, message: str, *, hint: str = "", final: bool = False) -> None:
        super().__init__(f"{host}: {message}", hint=hint)
        self.host = host
        self.final = final


class UnreachableError(TransportError):
    """No TCP connection to the host, or the connection broke."""


class HostKeyError(TransportError):
    """The host's key is not known, or is not the one that is known."""


class AuthenticationError(TransportError):
    """The host refused the login."""


class DeniedError(TransportError):
    """The login works, but the kernel's state may not be read (no root, no sudo)."""


class DeadlineError(TransportError):
    """A deadline passed. ``stage`` is ``connect``, ``program``, ``host``, ``run``, or ``round`` of a watched node."""

    def __init__(self, host: str, stage: str, seconds: float, *, hint: str = "") -> None:
        super().__init__(host, f"no answer within the {stage} deadline of {seconds:g} s", hint=hint)
        self.stage = stage
        self.seconds = seconds


class UnsupportedError(TransportError):
    """Nothing on the host can run the node program."""


class EvidenceError(SkoopError):
    """An answer of a node, or a bundle on disk, cannot be read."""

    exit_code = 2


class BpfObjectError(SkoopError):
    """An object of eBPF, or what was made of it, is not what it should be."""


class PushError(SkoopError):
    """A gateway did not take what was pushed."""


class LabError(SkoopError):
    """The built-in lab cannot be built, is not there, or is in the way."""

    exit_code = 2
