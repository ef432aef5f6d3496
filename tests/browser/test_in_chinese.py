"""The Chinese page of the manual's example in a real browser: read, clicked, copied from, asked, and refused."""

# ruff: noqa: RUF001 - Chinese is written with commas and brackets of its own

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.browser.conftest import Open, Serve
from tests.browser.manual_page import BROKEN, FIX, MANUAL, copy_the_fix, search, wait_for_hop
from tests.unit.web.test_run import kept_text

pytestmark = pytest.mark.browser

MANUAL_ZH = (*MANUAL, "--lang", "zh")
CAUSE = "node1-c4 上 INPUT（表 filter）的第 1 条规则丢弃来自 192.168.3.87 的 VXLAN 包"


def test_a_hop_is_clicked_and_told_in_chinese(serve: Serve, tab: Open) -> None:
    """Verdict and cause are read in Chinese; the hop that is clicked in the picture is too, without a new page."""
    page = tab(serve(*MANUAL_ZH)).page
    assert page.evaluate("document.documentElement.lang") == "zh-CN"
    assert page.locator("h1").inner_text().startswith("失败")
    assert CAUSE in page.locator("#findings").inner_text()
    page.evaluate("window.here = 1")
    page.locator("#picture a.hop", has_text="FORWARD").click()
    wait_for_hop(page, "FORWARD")
    assert page.locator("#hop-title").inner_text().startswith("第 8 跳，共 18 跳：FORWARD")
    assert (
        page.locator("#picture a[aria-current]").get_attribute("aria-label")
        == "node2-c4 的 host 中的 FORWARD：接受"
    )
    page.keyboard.press("ArrowDown")
    wait_for_hop(page, "第 9 跳")
    assert page.evaluate("window.here") == 1
    assert page.title().startswith("失败：")


def test_a_fix_is_copied_in_chinese(serve: Serve, tab: Open) -> None:
    """The button is called so in Chinese, says that it copied, and is itself again afterwards."""
    page = tab(serve(*MANUAL_ZH), permissions=["clipboard-read", "clipboard-write"]).page
    assert copy_the_fix(page, "复制", "已复制") == FIX


def test_another_pair_is_asked_in_chinese(serve: Serve, tab: Open) -> None:
    """The form answers another question; what is wrong with one is a line in Chinese beside what was typed."""
    page = tab(serve(*MANUAL_ZH)).page
    page.get_by_label("从", exact=True).fill("node/master-c4")
    page.get_by_label("到", exact=True).fill("pod/tools/demo-5bf67dcbc9-hxtmt")
    page.get_by_label("端口", exact=True).fill("8080")
    page.get_by_role("button", name="诊断").click()
    page.wait_for_url(re.compile("master-c4"))
    assert page.locator("h1").inner_text().startswith("通过")
    page.get_by_label("到", exact=True).fill("nobody")
    page.get_by_role("button", name="诊断").click()
    page.wait_for_url(re.compile("nobody"))
    assert (
        page.get_by_role("alert").inner_text().startswith("'nobody' 不是地址，也没有主机叫这个名称（请用 IP")
    )
    assert page.get_by_label("从", exact=True).input_value() == "node/master-c4"


def test_chinese_words_are_searched_for(serve: Serve, tab: Open) -> None:
    """What is read on the page is found, and leads to its hop."""
    page = tab(serve(*MANUAL_ZH)).page
    search(page, "规则丢弃", "node1-c4 的 host 中的 INPUT", "INPUT")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1600, 390])
def test_everybody_can_read_it_in_chinese(serve: Serve, tab: Open, scheme: str, width: int) -> None:
    """axe-core finds nothing serious, nothing is cut off at the side, and no button breaks within its word."""
    url = serve(*MANUAL_ZH)
    for name, address in (("manual", url), ("refused", f"{url}diagnose?s=x&d=y&p=1")):
        seen = tab(address, color_scheme=scheme, viewport={"width": width, "height": 1000})
        assert seen.violations() == []
        assert seen.page.evaluate("() => document.documentElement.scrollWidth") <= width
        heights = seen.page.evaluate(
            "() => [...document.querySelectorAll('button')].map(b => b.offsetHeight)"
        )
        assert heights
        assert max(heights) < 45
        seen.shot(f"zh-{name}-{scheme}-{width}")


def test_a_kept_run_is_read_in_chinese(serve: Serve, tab: Open, tmp_path: Path) -> None:
    """The run's page, its sieve and the way to a path's diagnosis and back are in Chinese."""
    kept = tmp_path / "20261130T010000Z.json"
    kept.write_text(kept_text(), encoding="utf-8")
    shutil.copy(BROKEN, kept.with_suffix(".skoop"))
    seen = tab(serve("serve", str(kept), "--lang", "zh"))
    assert seen.violations() == []
    seen.shot("zh-run")
    page = seen.page
    page.get_by_label("严重程度").select_option("致命")
    page.get_by_role("button", name="显示").click()
    page.wait_for_url(re.compile("severity=fatal"))
    assert page.locator("article.finding").count() == page.locator("article.finding.fatal").count() > 0
    page.get_by_role("link", name="the manual's").click()
    page.wait_for_url(re.compile("/diagnose"))
    assert CAUSE in page.locator("#findings").inner_text()
    page.get_by_role("link", name="运行", exact=True).click()
    page.wait_for_url(re.compile("/run"))


def test_a_stranger_is_told_in_chinese(serve: Serve, tab: Open) -> None:
    """Without the token, the line that says what to open is in Chinese."""
    url = serve(*MANUAL_ZH, address="0.0.0.0:0")
    port = re.search(r":(\d+)/", url)[1]  # type: ignore[index]
    stranger = tab(f"http://127.0.0.1:{port}/", quiet=False)
    assert "请打开 skoopctl 打印的完整地址：其中有令牌" in stranger.page.content()
