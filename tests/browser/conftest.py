"""A real browser and a real page: Debian's Chromium, and ``skoopctl serve`` in a process of its own.

Screenshots go to ``out/browser/``, or where SKOOPCTL_TEST_ARTEFACTS says.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).parents[2]
ARTEFACTS = Path(os.environ.get("SKOOPCTL_TEST_ARTEFACTS") or ROOT / "out" / "browser")
DEADLINE_S = 60.0
WIDE = {"width": 1600, "height": 1000}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Start the browser; without it, or without what drives it, these tests are skipped and say so.

    One a file, and no file here has asynchronous tests: while playwright is open, its event loop counts as running.
    """
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make venv")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("there is no chromium: .ci/packages --tests")
    with api.sync_playwright() as playwright:
        # Root has no sandbox of Chromium's; the pages are our own.
        flags = ["--no-sandbox", "--disable-gpu", "--force-color-profile=srgb"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=program, args=flags)
        yield browser
        browser.close()


LISTEN = """word => {
  window.wasSaid = false;
  const look = () => {
    window.wasSaid ||= [...document.querySelectorAll('button')].some(each => each.textContent === word);
  };
  new MutationObserver(look).observe(document.body, { subtree: true, childList: true, characterData: true });
}"""
"""Keeps in mind whether a button has had a word on it: it may have it for two seconds, and we look late."""

Serve = Callable[..., str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start ``skoopctl`` with arguments, and return the address that it prints; ended after the test."""
    with ExitStack() as stack:

        def start(*arguments: str, address: str = "127.0.0.1:0") -> str:
            process = subprocess.Popen(
                [sys.executable, "-m", "skoopctl", *arguments, "--http-address", address],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                cwd=ROOT,
            )
            stack.callback(_ended, process)
            watchdog = threading.Timer(DEADLINE_S, process.kill)
            watchdog.start()
            said = []
            assert process.stderr is not None
            for line in process.stderr:
                said.append(line)
                if match := re.search(r"http://\S+", line):
                    watchdog.cancel()
                    return match[0]
            raise AssertionError("".join(said))

        yield start


def _ended(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.communicate(timeout=DEADLINE_S)
    finally:
        process.kill()


@dataclass
class Tab:
    """One page in the browser, with all that it did: what it wrote to the console, and whom it asked."""

    page: Any
    console: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(DEADLINE_S * 1000)
        self.page.on("console", lambda message: self.console.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.console.append(f"error: {error}"))
        self.page.on("request", lambda request: self.asked.append(request.url))

    @property
    def hosts(self) -> set[str]:
        """The hosts that were asked for anything."""
        return {str(urlsplit(url).hostname) for url in self.asked}

    def shot(self, name: str) -> Path:
        """Keep a picture of the whole page."""
        ARTEFACTS.mkdir(parents=True, exist_ok=True)
        file = ARTEFACTS / f"{name}.png"
        self.page.screenshot(path=file, full_page=True)
        return file

    def violations(self) -> list[str]:
        """Return what axe-core finds that is serious or critical, with the elements."""
        from axe_playwright_python.sync_playwright import Axe

        # axe is put into the page through the debugger, past the page's policy.
        found = Axe().run(self.page).response["violations"]
        return [
            f"{rule['id']}: {node['html'][:160]} {node['failureSummary'][:300]}"
            for rule in found
            if rule["impact"] in {"serious", "critical"}
            for node in rule["nodes"]
        ]


Open = Callable[..., Tab]


@pytest.fixture
def tab(chromium: Any) -> Iterator[Open]:
    """Open an address in a fresh browser: no cookies, no history. The console must stay empty."""
    with ExitStack() as stack:
        opened: list[Tab] = []

        def open_(url: str, *, quiet: bool = True, **options: Any) -> Tab:
            context = chromium.new_context(**{"viewport": WIDE, **options})
            stack.callback(context.close)
            made = Tab(context.new_page())
            if quiet:
                opened.append(made)
            made.page.goto(url)
            return made

        yield open_
        for each in opened:
            assert each.console == []
            assert each.hosts <= {"127.0.0.1", "localhost"}
