"""Network namespaces for one worker: made, entered, filled and taken away. Needs the worker's private /run."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.kernel.plan import PREFIX

_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000


def path_of(place: str) -> str:
    """Return the file that stands for a place's namespace."""
    return f"/run/netns/{PREFIX}{place}"


def inode_of(place: str) -> int:
    """Return the inode by which the evidence knows a place."""
    return Path(path_of(place)).stat().st_ino


@contextmanager
def inside(place: str) -> Iterator[None]:
    """Be in a place's namespace: sockets that are made there stay there."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(path_of(place), os.O_RDONLY)
    try:
        _setns(there)
        yield
    finally:
        _setns(home)
        os.close(home)
        os.close(there)


def _setns(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET):
        code = ctypes.get_errno()
        raise OSError(code, f"setns: {os.strerror(code)}")


def run(place: str, argv: list[str], stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run a program in a place; whether it succeeded is the caller's business."""
    full = ["nsenter", f"--net={path_of(place)}", *argv]
    return subprocess.run(full, input=stdin, capture_output=True, text=True, check=False, timeout=60)


def write_sysctls(place: str, settings: list[str]) -> list[str]:
    """Write ``net/…=value`` lines; return those that the kernel refused."""
    refused = []
    with inside(place):
        for setting in settings:
            path, _, value = setting.partition("=")
            try:
                Path("/proc/sys", path).write_text(value, encoding="ascii")
            except OSError:
                refused.append(setting)
    return refused


def set_neighbours(place: str, settings: dict[str, str]) -> None:
    """Write the same neighbour settings for every device of a place, in both families."""
    with inside(place):
        for family in ("ipv4", "ipv6"):
            for device in Path("/proc/sys/net", family, "neigh").iterdir():
                for key, value in settings.items():
                    (device / key).write_text(value, encoding="ascii")
