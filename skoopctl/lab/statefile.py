"""The lab's state directory: what was asked for, how far it got, which processes stand for what.

``state.json`` is written before anything is created, and again after each step, so that ``down`` knows what
to look for after a crash at any point. There is at most one lab on a machine; making the directory is the
lock.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from skoopctl.errors import LabError
from skoopctl.lab.topology import Backend, IptablesFlavour, LabOptions, ProxyMode

STATE_DIR = Path("/run/skoopctl-lab")
SCHEMA = 1


@dataclass(slots=True)
class LabState:
    """What ``state.json`` holds. ``pids`` are of this machine's PID namespace, by host name or pod key."""

    options: LabOptions
    phase: str = "building"
    pids: dict[str, int] = field(default_factory=dict)
    api_port: int = 0
    identity: str = "cgroup"
    faults: list[str] = field(default_factory=list)

    def save(self) -> None:
        """Write the file so that a reader sees the old or the new state, never half of one."""
        target = STATE_DIR / "state.json"
        temporary = STATE_DIR / f".state.{os.getpid()}"
        temporary.write_text(
            json.dumps({"schema": SCHEMA, **asdict(self)}, indent=2) + "\n", encoding="utf-8"
        )
        temporary.replace(target)


def state_exists() -> bool:
    """Return whether a lab was started and not taken down."""
    return STATE_DIR.exists()


def load_state() -> LabState:
    """Read the state of the running lab; LabError if there is none or it cannot be read."""
    path = STATE_DIR / "state.json"
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return _decode(raw)
    except FileNotFoundError:
        raise LabError("no lab is running", hint="start one with: skoopctl lab up") from None
    except PermissionError:
        raise LabError(f"{path} may be read by root only", hint="run it with sudo") from None
    except (ValueError, KeyError, TypeError) as error:
        raise LabError(f"{path} cannot be read: {error}", hint="skoopctl lab down cleans up") from None


@contextmanager
def state_held() -> Iterator[None]:
    """Keep the state from everybody else, and let it be known that somebody works on the lab."""
    with (STATE_DIR / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def is_held() -> bool:
    """Return whether some process builds the lab, breaks it or mends it now."""
    try:
        with (STATE_DIR / "lock").open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


@contextmanager
def locked_state() -> Iterator[LabState]:
    """Give the state to one process at a time, and save it at the end, also after an error."""
    if not state_exists():
        load_state()
    with state_held():
        state = load_state()
        try:
            yield state
        finally:
            state.save()


def _decode(raw: dict[str, Any]) -> LabState:
    """Turn the file's JSON into a state."""
    if raw["schema"] != SCHEMA:
        raise ValueError(f"schema {raw['schema']}, expected {SCHEMA}")
    options = raw["options"]
    return LabState(
        options=LabOptions(
            nodes=int(options["nodes"]),
            proxy=ProxyMode(options["proxy"]),
            backend=Backend(options["backend"]),
            iptables=IptablesFlavour(options["iptables"]),
        ),
        phase=str(raw["phase"]),
        pids={str(name): int(pid) for name, pid in raw["pids"].items()},
        api_port=int(raw["api_port"]),
        identity=str(raw["identity"]),
        faults=[str(name) for name in raw["faults"]],
    )
