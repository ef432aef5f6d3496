"""Why the kernel freed packets while this process sent some, and how many the whole machine lost meanwhile.

A perf event of our own on the tracepoint ``skb:kfree_skb`` needs no trace instance, sees what happens in this
process's context (which delivery over veth mostly does) or on one CPU, and is gone with its descriptor
(perf_event_open(2)).
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import platform
import re
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TRACEFS = Path("/run/tracing")
_EVENT = TRACEFS / "events/skb/kfree_skb"
_SYSCALL = {"x86_64": 298, "aarch64": 241}
_TRACEPOINT, _SAMPLE_RAW, _RECORD_SAMPLE, _CLOEXEC = 2, 1 << 10, 9, 8
_ATTRIBUTE_SIZE = 64
_PAGES = 64
_DATA_HEAD = 1024
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class _Format:
    number: int
    offset: int
    names: dict[int, str]


@cache
def _format() -> _Format | None:
    """Return where the reason stands in a record and what the numbers mean, or None without tracefs."""
    try:
        text = (_EVENT / "format").read_text(encoding="ascii")
        number = int((_EVENT / "id").read_text(encoding="ascii"))
    except OSError:
        return None
    offset = re.search(r"field:enum skb_drop_reason reason;\s*offset:(\d+)", text)
    if offset is None or platform.machine() not in _SYSCALL:
        return None
    names = {int(n): name for n, name in re.findall(r"\{ (\d+), \"(\w+)\" \}", text)}
    return _Format(number, int(offset[1]), names)


def _opened(number: int, *, sample_period: int, process: int, cpu: int) -> int:
    # struct perf_event_attr: type, size, config, sample_period, sample_type, read_format, flags, …
    attribute = struct.pack(
        "=IIQQQQQIIQ", _TRACEPOINT, _ATTRIBUTE_SIZE, number, sample_period, _SAMPLE_RAW, 0, 0, 0, 0, 0
    )
    buffer = ctypes.create_string_buffer(attribute, _ATTRIBUTE_SIZE)
    return int(_libc.syscall(_SYSCALL[platform.machine()], buffer, process, cpu, -1, _CLOEXEC))


def _online() -> Iterator[int]:
    text = Path("/sys/devices/system/cpu/online").read_text(encoding="ascii")
    for first, _, last in (part.partition("-") for part in text.strip().split(",")):
        yield from range(int(first), int(last or first) + 1)


@contextlib.contextmanager
def counted(number: int) -> Iterator[Callable[[], int]]:
    """Count how often the whole machine comes by a tracepoint, from here to each call of what is given.

    ``number`` is what tracefs has in the tracepoint's file ``id``.
    """
    with contextlib.ExitStack() as ends:
        descriptors = []
        for cpu in _online():
            descriptor = _opened(number, sample_period=0, process=-1, cpu=cpu)
            assert descriptor >= 0, f"perf_event_open: errno {ctypes.get_errno()}"
            ends.callback(os.close, descriptor)
            descriptors.append(descriptor)
        yield lambda: sum(int.from_bytes(os.read(each, 8), sys.byteorder) for each in descriptors)


class Drops:
    """Records from its construction on; ``reasons`` stops and tells. Without tracefs it tells nothing."""

    def __init__(self) -> None:
        self._fd = -1
        self._ring: mmap.mmap | None = None
        kind = _format()
        if kind is None:
            return
        self._fd = _opened(kind.number, sample_period=1, process=0, cpu=-1)
        if self._fd >= 0:
            self._ring = mmap.mmap(self._fd, (1 + _PAGES) * mmap.PAGESIZE)

    def reasons(self) -> list[str]:
        """Return the reasons so far, each once, in the order in which they came."""
        kind = _format()
        if self._ring is None or kind is None:
            return []
        size = _PAGES * mmap.PAGESIZE
        (head,) = struct.unpack_from("=Q", self._ring, _DATA_HEAD)
        data = self._ring[mmap.PAGESIZE : mmap.PAGESIZE + size]
        found: dict[str, None] = {}
        at = 0
        while at + 8 <= min(head, size):
            record, _, length = struct.unpack_from("=IHH", data, at)
            if length < 8:
                break
            if record == _RECORD_SAMPLE and at + 12 + kind.offset + 4 <= size:
                (reason,) = struct.unpack_from("=I", data, at + 12 + kind.offset)
                found[kind.names.get(reason, str(reason))] = None
            at += length
        self._ring.close()
        os.close(self._fd)
        return list(found)
