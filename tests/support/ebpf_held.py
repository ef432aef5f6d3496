"""Whose an eBPF program is: the kernel's list is of the whole machine, where other tests load and drop their own."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterable
from pathlib import Path

KINDS = ("prog", "map")
Held = dict[str, set[int]]
"""Numbers of programs (``prog``) and of maps (``map``)."""


def held_by(*pids: int) -> Held:
    """Return the programs and maps that some processes have descriptors of."""
    found: Held = {kind: set() for kind in KINDS}
    for pid in pids:
        for file in Path(f"/proc/{pid}/fdinfo").glob("*"):
            with contextlib.suppress(OSError):
                for line in file.read_text().splitlines():
                    word, _, value = line.partition(":")
                    kind = word.removesuffix("_id")
                    if word.endswith("_id") and kind in found:
                        found[kind].add(int(value))
    return found


def in_kernel() -> Held:
    """Return all programs and maps of the machine, whosever they are."""
    return {kind: _listed(kind) for kind in KINDS}


def are_gone(held: Held) -> bool:
    """Return whether the kernel has none of those programs and maps any more."""
    now = in_kernel()
    return not any(held[kind] & now[kind] for kind in KINDS)


class Abandoned:
    """Programs and maps that came after it was made, and that no process holds: pinned or leaked ones.

    What another test lets go of is listed for a moment longer, so what was held by nobody at every look counts.
    """

    def __init__(self) -> None:
        self.before = in_kernel()
        self.suspects: Held | None = None

    def none(self) -> bool:
        """Look once more; return whether nothing is left that nobody ever held."""
        now = in_kernel()
        held = held_by(*_processes())
        alone = {kind: now[kind] - self.before[kind] - held[kind] for kind in KINDS}
        if self.suspects is None:
            self.suspects = alone
        self.suspects = {kind: self.suspects[kind] & alone[kind] for kind in KINDS}
        return not any(self.suspects.values())


def _listed(kind: str) -> set[int]:
    shown = subprocess.run(["bpftool", "-j", kind, "show"], capture_output=True, check=True).stdout
    return {row["id"] for row in json.loads(shown or b"[]")}


def _processes() -> Iterable[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
