"""Lines by cgroup: ``PATH processes …``, tabs between; ``-`` is all processes that are in no pod."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from skoopctl.kernel.host_facts import pod_uid
from skoopctl.probes.decode.rows import Compile, Decode, Key, Rows, whole

IO_FIELDS = ("readsyscall", "writesyscall", "readbytes", "writebytes")
FD_FIELDS = ("openfd", "opensocket")

NO_POD = ""


_LONGEST_PATH = 4096


def uid_of(path: str) -> str:
    """Return the UID of the pod that a cgroup belongs to, or ""."""
    return _known_uid(path) if len(path) <= _LONGEST_PATH else NO_POD


@lru_cache(maxsize=16384)
def _known_uid(path: str) -> str:
    return pod_uid(path)


def compile_cgroups(columns: tuple[str, ...]) -> Compile:
    """Return what makes decoders of these columns, which follow the path and the number of processes."""

    def compiled(fields: Sequence[str]) -> Decode:
        places = [columns.index(field) for field in fields]

        def decode(_netns: int, _host: bool, items: Sequence[bytes | None]) -> Rows:
            sums: dict[Key, list[int]] = {}
            for line in (items[0] or b"").decode("utf-8", "replace").split("\n"):
                if line:
                    _add(sums, line, len(columns))
            return [(key, tuple(found[place] for place in places)) for key, found in sums.items()]

        return decode

    return compiled


def _add(sums: dict[Key, list[int]], line: str, columns: int) -> None:
    """Add one line to its pod's sums; containers of one pod come together. Raises ValueError."""
    path, *words = line.split("\t")
    if len(words) != columns + 1:
        raise ValueError(f"{len(words) + 1} columns, not {columns + 2}, in {line[:60]!r}")
    key = NO_POD if path == "-" else uid_of(path)
    if key or path == "-":
        found = sums.setdefault(key, [0] * columns)
        for place, word in enumerate(words[1:]):
            found[place] += whole(word)
