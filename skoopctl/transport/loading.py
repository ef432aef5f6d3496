"""asyncssh, loaded without starting programs.

While it is imported it asks for liboqs and nettle, which it can do without, by ``ctypes.util.find_library``: that
starts ldconfig, and a compiler for what ldconfig does not know, 12 ms of CPU each time. The linker's cache says
the same (ld.so(8)), and is read once.
"""

from __future__ import annotations

import ctypes.util
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

CACHE = Path("/etc/ld.so.cache")


def load_asyncssh() -> None:
    """Import asyncssh, if nobody has done so yet."""
    if "asyncssh" in sys.modules:
        return
    usual = ctypes.util.find_library
    ctypes.util.find_library = _finder(usual)  # type: ignore[assignment]
    try:
        import asyncssh  # noqa: F401, PLC0415 - that it is loaded is all that is wanted
    finally:
        ctypes.util.find_library = usual


def _finder(usual: Callable[[str], str | None]) -> Callable[[str], str | None]:
    """Return what finds a library in the cache; where there is none, or other folders count, the usual one."""
    try:
        cache = CACHE.read_bytes()
    except OSError:
        return usual
    if os.environ.get("LD_LIBRARY_PATH"):
        return usual

    def find(name: str) -> str | None:
        names = re.findall(rb"[\0/](lib%s\.so[.\w-]*)\0" % re.escape(name.encode()), cache)
        return max(names, key=_version).decode("ascii") if names else None

    return find


def _version(name: bytes) -> list[int]:
    """Order names by their versions: ``libz.so``, which is for the linker, comes before ``libz.so.1``."""
    return [int(number) for number in re.findall(rb"\d+", name.partition(b".so")[2])]
