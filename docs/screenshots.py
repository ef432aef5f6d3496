"""Take docs/pictures/page.png and page-zh.png: the page of the recorded demo's broken path, in Debian's Chromium.

Run it with ``make screenshots``. Fonts differ from machine to machine, so tests compare what it looks like, not bytes.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
PICTURES = {
    lang: ROOT / "docs" / "pictures" / name for lang, name in (("en", "page.png"), ("zh", "page-zh.png"))
}
ASKED = ("skoopctl/recorded/broken.skoop", "-s", "10.244.3.70", "-d", "10.244.2.201", "-p", "8080")
SIZE = {"width": 1440, "height": 1300}


def shoot(page: Page, url: str, target: Path) -> None:
    """Write what a page of the browser shows at an address, after a click on the tunnel's hop."""
    page.goto(url)
    tunnel = page.locator("tspan.t-name", has_text="flannel.1")
    page.locator("#picture a.hop", has=tunnel).click()
    page.wait_for_function("() => document.querySelector('#hop-title').innerText.includes('flannel.1')")
    page.screenshot(path=target)


def take(url: str, target: Path) -> None:
    """Write the picture, in light colours."""
    program = shutil.which("chromium")
    if program is None:
        sys.exit("there is no chromium: .ci/packages --tests")
    flags = ["--no-sandbox", "--disable-gpu", "--force-color-profile=srgb"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=flags)
        page = browser.new_page(viewport=SIZE, color_scheme="light")
        shoot(page, url, target)
        browser.close()


def main() -> None:
    """Serve the recorded page in each language, and take its picture."""
    for lang, picture in PICTURES.items():
        taken(lang, picture)


def taken(lang: str, picture: Path) -> None:
    """Serve the page in a language, and take its picture. Chinese needs a font that has it: fonts-wqy-microhei."""
    where = ("--lang", lang, "--http-address", "127.0.0.1:0")
    command = [sys.executable, "-m", "skoopctl", "serve", *ASKED, *where]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        try:
            said = process.stderr.readline() if process.stderr is not None else ""
            match = re.search(r"http://\S+", said)
            if match is None:
                sys.exit(f"the page is not served: {said}")
            take(match[0], picture)
        finally:
            process.terminate()
    print(f"written: {picture.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
