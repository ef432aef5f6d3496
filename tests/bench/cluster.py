"""The lab of a benchmark: built for it, and gone after it, whatever happens."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

from skoopctl.lab import Lab, LabOptions, down, up
from tests.bench.setting import Setting

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def lab_of(setting: Setting, nodes: int) -> Iterator[Lab]:
    """Build a lab. Raises LabError when it takes root, or when a lab is up already: that one is not ours."""
    setting.say(f"building a lab of {nodes} nodes")
    started = time.monotonic()
    lab = up(LabOptions(nodes=nodes))
    try:
        setting.say(f"the lab is up after {time.monotonic() - started:.1f} s")
        yield lab
    finally:
        _take_down()
        setting.say("the lab is down")


def _take_down() -> None:
    """Take the lab down without being interrupted in it."""
    handlers = {number: signal.signal(number, signal.SIG_IGN) for number in SIGNALS}
    try:
        down()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
