"""Finding and ending the lab's processes, without trusting a list of process ids that may be old.

A process is the lab's if its environment carries the lab's marker, or if it stands in one of the lab's
network namespaces and in a PID namespace other than ours: an administrator's own shell in ``ip netns exec``
is left alone.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from skoopctl.errors import LabError
from skoopctl.lab.commands import MARKER, NETNS_DIR
from skoopctl.lab.topology import ADMIN_NETNS

KILL_DEADLINE_S = 15.0
_MARK = f"{MARKER}=1".encode()


def lab_netns_names() -> list[str]:
    """Return the named network namespaces that belong to a lab, whole or half built."""
    if not NETNS_DIR.is_dir():
        return []
    names = (path.name for path in NETNS_DIR.iterdir())
    return sorted(name for name in names if name == ADMIN_NETNS or name.startswith(f"{ADMIN_NETNS}-"))


def lab_processes() -> Iterator[int]:
    """Yield the ids of the lab's living processes as this PID namespace shows them."""
    namespaces = set()
    for name in lab_netns_names():
        try:
            namespaces.add((NETNS_DIR / name).stat().st_ino)
        except OSError:
            continue
    ours = os.stat("/proc/self/ns/pid").st_ino  # noqa: PTH116 - a plain inode number
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid() and _is_lab(entry, namespaces, ours):
            yield int(entry.name)


def _is_lab(process: Path, namespaces: set[int], ours: int) -> bool:
    """Return whether a process of /proc belongs to a lab; a zombie belongs to nobody."""
    try:
        if _MARK in (process / "environ").read_bytes().split(b"\0"):
            return True
        inside = (process / "ns/net").stat().st_ino in namespaces
        return inside and (process / "ns/pid").stat().st_ino != ours
    except OSError:
        return False


def kill_processes() -> None:
    """Kill every process of a lab and wait until none is left; again for those that were just being born."""
    deadline = time.monotonic() + KILL_DEADLINE_S
    while pids := list(lab_processes()):
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if time.monotonic() > deadline:
            raise LabError(
                f"processes {', '.join(map(str, pids))} of the lab do not end",
                hint="see ps -fp for what they wait",
            )
        time.sleep(0.01)
