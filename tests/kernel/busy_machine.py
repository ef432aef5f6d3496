"""What keeps a machine busy: programs that want one CPU, and requests to its disk."""

from __future__ import annotations

import contextlib
import mmap
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.bpf_pair import Side

BLOCK = 4096


def disk_under(path: Path) -> str:
    """Return the disk that a file is on, as major:minor; skips where requests to it are not seen as such."""
    number = path.stat().st_dev
    entry = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    if not entry.exists():
        pytest.skip("the temporary folder is on no block device")
    if any((entry / "slaves").glob("*")):
        pytest.skip("the temporary folder is on a device that hands its requests on")
    whole = entry.resolve().parent if (entry / "partition").exists() else entry
    return (whole / "dev").read_text(encoding="ascii").strip()


def write_and_read(path: Path, times: int = 1) -> None:
    """Write and read blocks of a file past the page cache."""
    buffer = mmap.mmap(-1, BLOCK)  # O_DIRECT wants it aligned
    buffer.write(b"x" * BLOCK)
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_DIRECT)
    try:
        for _ in range(times):
            assert os.pwritev(file, [buffer], 0) == BLOCK
            os.fsync(file)
            assert os.preadv(file, [buffer], 0) == BLOCK
    finally:
        os.close(file)


BUSY = "import os\nos.sched_setaffinity(0, {0})\nprint(os.getpid(), flush=True)\nwhile True: pass"


@contextlib.contextmanager
def busy(side: Side, times: int) -> Iterator[list[int]]:
    """Keep one CPU busy by some programs in a namespace; yields their numbers."""
    command = ["nsenter", f"--net={side.path}", sys.executable, "-ISBc", BUSY]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(times)]
    try:
        yield [int(each.stdout.readline()) for each in running if each.stdout]
    finally:
        for each in running:
            each.kill()
            each.wait()
            if each.stdout:
                each.stdout.close()
