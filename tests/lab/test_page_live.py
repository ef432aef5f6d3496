"""The page over the running lab: opened by diagnose, collected again from it, and ended while it collects."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode

import pytest

from skoopctl.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]
COMMAND = (sys.executable, "-c", "from skoopctl.cli import main; main()")
ROOT = Path(__file__).parents[2]
PAIR = ("-s", "10.244.3.70", "-d", "10.244.2.201", "-p", "8080")
DEADLINE_S = 120.0


class _Staying(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """Go nowhere."""


@dataclass
class Live:
    """A page that was opened over live hosts."""

    process: subprocess.Popen[str]
    url: str

    def get(self, path: str = "") -> str:
        """Read a page."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(self.url + path, timeout=DEADLINE_S) as answer:
            return str(answer.read().decode())

    def press(self) -> None:
        """Press the button that collects again; the page that it leads to is not asked for, which takes a while."""
        [token] = re.findall(r'name="csrf" value="([^"]+)"', self.get())
        form = {"csrf": token, "s": PAIR[1], "d": PAIR[3], "p": PAIR[5]}
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Staying())
        with pytest.raises(HTTPError, match="303"):
            opener.open(f"{self.url}collect", urlencode(form).encode(), timeout=DEADLINE_S)

    def progress(self) -> dict[str, object]:
        """Return how far it is."""
        return dict(json.loads(self.get("progress")))

    def wait(self) -> dict[str, object]:
        """Return the progress as soon as nothing is collected any more."""
        end = time.monotonic() + DEADLINE_S
        while (found := self.progress())["running"]:
            assert time.monotonic() < end, found
        return found

    def collecting(self) -> None:
        """Press the button until it is seen collecting: it may be over before one looks."""
        end = time.monotonic() + DEADLINE_S
        while not self.progress()["running"]:
            assert time.monotonic() < end
            self.press()


@pytest.fixture
def live(lab: Lab) -> Iterator[Live]:
    """Diagnose the manual's pair in the healthy lab, and keep its page open."""
    process = subprocess.Popen(
        [*COMMAND, "diagnose", "-i", str(lab.inventory), *PAIR, "--http", "--http-address", "127.0.0.1:0"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    watchdog = threading.Timer(DEADLINE_S, process.kill)
    watchdog.start()
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if match := re.search(r"http://\S+", line):
            break
    else:
        raise AssertionError("".join(said))
    watchdog.cancel()
    yield Live(process, match[0])
    process.kill()
    process.communicate()


def test_a_fault_is_seen_after_collecting_again(lab: Lab, live: Live) -> None:
    """The page says PASS until the path is broken and the button pressed, and PASS again once it is mended."""
    assert "<title>PASS" in live.get()
    lab.apply_fault("input-drop")
    try:
        assert "<title>PASS" in live.get(), "nothing is collected by looking"
        live.press()
        found = live.wait()
        assert (found["number"], found["problem"]) == (2, "")
        assert found["done"] == found["total"]
        broken = live.get()
    finally:
        lab.undo_fault("input-drop")
    assert "<title>FAIL" in broken
    assert "drops VXLAN packets from 192.168.3.87" in broken
    live.press()
    assert live.wait()["number"] == 3
    assert "<title>PASS" in live.get()


def test_ctrl_c_while_it_collects_leaves_nothing(lab: Lab, live: Live) -> None:
    """The end comes at once, and no program of ours is left on a host."""
    assert lab.options.nodes == 3
    live.collecting()
    live.process.send_signal(signal.SIGINT)
    begun = time.monotonic()
    _, err = live.process.communicate(timeout=DEADLINE_S)
    assert live.process.returncode == 0
    assert time.monotonic() - begun < DEADLINE_S / 4
    assert "Traceback" not in err
