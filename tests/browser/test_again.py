"""Collecting again from the page, in a real browser, over this machine itself."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import Open, Serve

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(os.geteuid() != 0, reason="reading this machine's kernel takes root"),
]
INVENTORY = "all: {hosts: {here: {ansible_connection: local}}}\n"


def verdict(page: Any) -> str:
    """Return the verdict that is shown."""
    return str(page.locator("h1 .verdict").inner_text())


@pytest.mark.parametrize("scripts", [True, False])
def test_the_button_shows_what_is_so_now(serve: Serve, tab: Open, tmp_path: Path, scripts: bool) -> None:
    """A port that nobody listens on is refused; once somebody does and the button is pressed, the flow passes."""
    inventory = tmp_path / "inventory.yaml"
    inventory.write_text(INVENTORY, encoding="utf-8")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = str(listener.getsockname()[1])
        url = serve(
            *("diagnose", "-i", str(inventory), "-s", "node/here", "-d", "127.0.0.1", "-p", port, "--http")
        )
        page = tab(url, java_script_enabled=scripts).page
        assert verdict(page) == "FAIL"
        listener.listen()
        page.get_by_role("button", name="Collect again").click()
        page.locator("h1 .verdict.PASS").wait_for()
        page.get_by_role("button", name="Collect again").wait_for()
        assert re.search(f"p={port}", page.url), "the question is the same"
