"""The manual's example in a real browser: looked at, clicked through, asked, by mouse and by keyboard."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import Open, Serve
from tests.browser.manual_page import BROKEN, FIX, MANUAL, copy_the_fix, search, wait_for_hop
from tests.unit.web.test_run import kept_text

pytestmark = pytest.mark.browser

CAUSE = "Rule 1 of INPUT (table filter) on node1-c4 drops VXLAN packets from 192.168.3.87"


def hop(page: Any) -> str:
    """Return the title of the hop that is shown."""
    return str(page.locator("#hop-title").inner_text())


def png_size(file: Path) -> tuple[int, int]:
    """Return a PNG's width and height."""
    head = file.read_bytes()[:24]
    return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")


def test_the_manuals_example_is_told_at_a_glance(serve: Serve, tab: Open) -> None:
    """Verdict, cause with its fix, and the place of death are on the first screen, without scrolling."""
    seen = tab(serve(*MANUAL))
    page = seen.page
    assert page.locator("h1").inner_text().startswith("FAIL")
    for words in (CAUSE, "iptables -t filter -D INPUT -s 192.168.3.87/32 -j DROP"):
        box = page.get_by_text(words).first.bounding_box()
        assert box["y"] + box["height"] < 1000, words
    assert hop(page).startswith("Hop 18 of 18: INPUT")
    file = seen.shot("manual-light")
    width, height = png_size(file)
    assert width == 1600
    assert 1200 < height < 6000
    assert file.stat().st_size > 50_000, "something is drawn"


def test_a_hop_of_the_picture_is_clicked(serve: Serve, tab: Open) -> None:
    """The panel shows the hop, the picture marks it, the address is its own, and going back shows the last one."""
    page = tab(serve(*MANUAL)).page
    page.locator("#picture a.hop", has_text="FORWARD").click()
    wait_for_hop(page, "FORWARD")
    assert "accepted" in page.locator("#hop").inner_text()
    assert page.locator("#hop table").first.is_visible()
    assert page.locator("#picture a[aria-current]").get_attribute("aria-label").startswith("FORWARD")
    assert "hop=" in page.url
    page.reload()
    assert "FORWARD" in hop(page)
    page.go_back()
    wait_for_hop(page, "INPUT")


def test_a_click_in_the_list_does_not_load_the_page_again(serve: Serve, tab: Open) -> None:
    """Only the hop's parts are exchanged: what was opened on the page stays open."""
    page = tab(serve(*MANUAL)).page
    page.evaluate("window.here = 1")
    page.locator("#path a.hop", has_text="flannel.1").click()
    wait_for_hop(page, "flannel.1")
    assert page.evaluate("window.here") == 1
    assert page.locator("#hop tr.changed").count() > 0, "the packet before and after the tunnel"


def test_without_scripts_the_page_works(serve: Serve, tab: Open) -> None:
    """Links and <details> do what scripts do."""
    page = tab(serve(*MANUAL), java_script_enabled=False).page
    page.locator("#path a.hop", has_text="cni0").first.click()
    assert "cni0" in hop(page)
    why = page.get_by_text("ends the packet without telling its sender")
    assert why.is_visible()
    page.locator(".finding summary").first.click()
    assert not why.is_visible()


def test_another_pair_is_diagnosed(serve: Serve, tab: Open) -> None:
    """The form answers another question from the same evidence; a wrong one is one line beside what was typed."""
    page = tab(serve(*MANUAL)).page
    page.get_by_label("From", exact=True).fill("node/master-c4")
    page.get_by_label("To", exact=True).fill("pod/tools/demo-5bf67dcbc9-hxtmt")
    page.get_by_label("Port", exact=True).fill("8080")
    page.get_by_role("button", name="Diagnose").click()
    page.wait_for_url(re.compile("master-c4"))
    assert page.locator("h1").inner_text().startswith("PASS")
    page.locator("#path .ways a", has_text="Reply").click()
    page.wait_for_function(
        "() => document.querySelector('#path .ways a[aria-current]').innerText.includes('Reply')"
    )
    page.get_by_label("To", exact=True).fill("nobody")
    page.get_by_role("button", name="Diagnose").click()
    page.wait_for_url(re.compile("nobody"))
    assert page.get_by_role("alert").inner_text().startswith("'nobody' is not an address")
    assert page.get_by_label("From", exact=True).input_value() == "node/master-c4"


def test_branches_of_a_service_are_looked_at_one_by_one(serve: Serve, tab: Open) -> None:
    """Each endpoint has a row with its share, and its own picture."""
    seen = tab(serve("serve", BROKEN, "-s", "10.244.3.70", "-d", "svc/tools/web", "-p", "80"))
    page = seen.page
    rows = page.locator("#branches tbody tr")
    assert rows.count() > 1
    first = page.locator("#picture svg").inner_html()
    seen.shot("branches-light")
    page.locator("#branches tr:not(.chosen) a").first.click()
    page.wait_for_url(re.compile("branch="))
    assert page.locator("#picture svg").inner_html() != first


def test_words_are_searched_for(serve: Serve, tab: Open) -> None:
    """'/' goes to the search; a rule's words lead to its hop."""
    page = tab(serve(*MANUAL)).page
    search(page, "192.168.3.87/32", "INPUT on node1-c4", "INPUT")
    assert "192.168.3.87/32" in page.locator("#hop").inner_text()


def test_the_keyboard_alone_is_enough(serve: Serve, tab: Open) -> None:
    """Tab reaches the picture's hops with a visible mark, Enter shows one, arrows go on, and the focus is kept."""
    page = tab(serve(*MANUAL)).page
    focused = "() => document.activeElement.closest('#picture a.hop') !== null"
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate(focused):
            break
    assert page.evaluate(focused)
    name = page.evaluate("() => document.activeElement.getAttribute('aria-label').split(',')[0]")
    mark = page.evaluate("() => getComputedStyle(document.activeElement.querySelector('.hit')).strokeWidth")
    assert mark == "3px"
    page.keyboard.press("Enter")
    wait_for_hop(page, name)
    first = hop(page)
    page.keyboard.press("ArrowDown")
    page.wait_for_function("was => document.querySelector('#hop-title').innerText !== was", arg=first)
    assert page.evaluate(focused)
    page.keyboard.press("ArrowUp")
    page.wait_for_function("was => document.querySelector('#hop-title').innerText === was", arg=first)


def test_a_fix_is_copied(serve: Serve, tab: Open) -> None:
    """The button puts the command into the clipboard, and says so."""
    page = tab(serve(*MANUAL), permissions=["clipboard-read", "clipboard-write"]).page
    assert copy_the_fix(page, "Copy", "Copied") == FIX


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1600, 700])
def test_everybody_can_read_it(serve: Serve, tab: Open, scheme: str, width: int) -> None:
    """axe-core finds nothing serious, in light and dark, wide and narrow, and nothing is cut off at the side."""
    url = serve(*MANUAL)
    seen = tab(url, color_scheme=scheme, viewport={"width": width, "height": 1000})
    assert seen.violations() == []
    wide = seen.page.evaluate("() => document.documentElement.scrollWidth")
    assert wide <= width
    seen.shot(f"manual-{scheme}-{width}")
    paper = seen.page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
    form = tab(f"{url}diagnose?s=x&d=y&p=1", color_scheme=scheme, viewport={"width": width, "height": 1000})
    assert form.violations() == []
    form.shot(f"form-{scheme}-{width}")


def test_the_token_is_refused_and_accepted(serve: Serve, tab: Open) -> None:
    """On an address that others reach, a stranger sees nothing; the printed address opens, and its token goes away."""
    url = serve(*MANUAL, address="0.0.0.0:0")
    port = re.search(r":(\d+)/", url)[1]  # type: ignore[index]
    local = f"http://127.0.0.1:{port}/"
    stranger = tab(local, quiet=False)
    assert "it has a token" in stranger.page.content()
    assert "10.244" not in stranger.page.content()
    stranger.page.goto(f"{local}?token=wrong")
    assert "not the one" in stranger.page.content()
    guest = tab(f"{local}?token={url.partition('token=')[2]}")
    guest.page.wait_for_selector("#findings")
    assert "token" not in guest.page.url
    assert CAUSE in guest.page.locator("#findings").inner_text()
    assert guest.page.evaluate("document.cookie") == "", "no script reads it"
    guest.page.locator("#path a.hop", has_text="cni0").first.click()
    wait_for_hop(guest.page, "cni0")


@pytest.mark.parametrize("width", [1600, 700])
def test_what_was_clicked_is_in_sight(serve: Serve, tab: Open, width: int) -> None:
    """After a click far down the list, the hop's panel is on the screen: beside the list, or scrolled to."""
    page = tab(serve(*MANUAL), viewport={"width": width, "height": 800}).page
    page.locator("#path a.hop", has_text="PREROUTING").last.click()
    wait_for_hop(page, "PREROUTING")
    page.wait_for_function(
        """() => {
          const box = document.querySelector('#hop-title').getBoundingClientRect();
          return box.top >= 0 && box.bottom <= innerHeight;
        }"""
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_kept_run_can_be_read_by_everybody(serve: Serve, tab: Open, tmp_path: Path, scheme: str) -> None:
    """The run's page has nothing that axe-core calls serious, and its path leads to the diagnosis and back."""
    kept = tmp_path / "20261130T010000Z.json"
    kept.write_text(kept_text(), encoding="utf-8")
    shutil.copy(BROKEN, kept.with_suffix(".skoop"))
    seen = tab(serve("serve", str(kept)), color_scheme=scheme)
    assert seen.violations() == []
    seen.shot(f"run-{scheme}")
    page = seen.page
    page.get_by_role("link", name="the manual's").click()
    page.wait_for_url(re.compile("/diagnose"))
    assert CAUSE in page.locator("#findings").inner_text()
    page.get_by_role("link", name="Run", exact=True).click()
    page.wait_for_url(re.compile("/run"))
    page.get_by_label("Severity").select_option("fatal")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url(re.compile("severity=fatal"))
    assert page.locator("article.finding").count() == page.locator("article.finding.fatal").count() > 0
