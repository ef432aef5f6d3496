"""What people do on the page of the manual's example, in whatever language it is."""

from __future__ import annotations

import re
from typing import Any

from skoopctl.recorded import recorded_bundle
from tests.browser.conftest import LISTEN

BROKEN = str(recorded_bundle("broken"))
MANUAL = ("serve", BROKEN, "-s", "10.244.3.70", "-d", "10.244.2.201", "-p", "8080")
FIX = "iptables -t filter -D INPUT -s 192.168.3.87/32 -j DROP"


def wait_for_hop(page: Any, name: str) -> None:
    """Wait until the panel shows a hop."""
    page.wait_for_function("name => document.querySelector('#hop-title').innerText.includes(name)", arg=name)


def search(page: Any, words: str, hit: str, hop: str) -> None:
    """Search for words by the keyboard, and go to the first hit of a text: it must lead to a hop."""
    page.keyboard.press("/")
    page.keyboard.insert_text(words)
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("q="))
    page.locator("#hits a", has_text=hit).first.click()
    page.wait_for_url(re.compile(r"hop=\d+"))
    wait_for_hop(page, hop)


def copy_the_fix(page: Any, button: str, said: str) -> str:
    """Copy the first fix; return what is in the clipboard when the button has said so and is itself again."""
    page.evaluate(LISTEN, said)
    page.get_by_role("button", name=button, exact=True).first.click()
    page.wait_for_function("() => window.wasSaid")
    copied = str(page.evaluate("() => navigator.clipboard.readText()"))
    page.get_by_role("button", name=button, exact=True).first.wait_for()
    return copied
