"""Who loses packets or makes pods by the hundred, and who counts what the whole machine has: never both at once.

eBPF programs of a node without namespaces of its own, as the lab's are, see the drops of every test on the machine;
a host that is this machine has the pods of every lab.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def flooding() -> Iterator[None]:
    """Wait until nobody counts, and let nobody count or flood until the end of the block, or of what it decorates."""
    with _turn(fcntl.LOCK_EX):
        yield


@contextmanager
def counting() -> Iterator[None]:
    """Wait until nobody floods, and let nobody flood until the end of the block; others may count too."""
    with _turn(fcntl.LOCK_SH):
        yield


@contextmanager
def _turn(kind: int) -> Iterator[None]:
    # This file itself is what all processes of a test run have in common.
    with Path(__file__).open("rb") as file:
        fcntl.flock(file, kind)
        yield
