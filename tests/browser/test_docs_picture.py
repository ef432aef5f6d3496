"""The picture of the page in the documentation."""

from __future__ import annotations

import base64
import importlib.util
from pathlib import Path
from typing import Any

import pytest

from skoopctl.recorded import recorded_bundle
from tests.browser.conftest import ARTEFACTS, ROOT, Serve

pytestmark = pytest.mark.browser

MOST_APART = 12.0
"""Of 255, on average, after both are scaled down: fonts may differ, what is where may not."""
COMPARED = """async ([one, other]) => {
  const pixels = async (url) => {
    const image = new Image();
    image.src = url;
    await image.decode();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [72, 65];
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0, 72, 65);
    return context.getImageData(0, 0, 72, 65).data;
  };
  const [a, b] = [await pixels(one), await pixels(other)];
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += Math.abs(a[i] - b[i]);
  return sum / (a.length * 3 / 4);
}"""


def script() -> Any:
    """Load the script that takes the picture."""
    spec = importlib.util.spec_from_file_location("screenshots", ROOT / "docs" / "screenshots.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def as_url(file: Path) -> str:
    """Return a PNG as an address."""
    return "data:image/png;base64," + base64.b64encode(file.read_bytes()).decode()


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_documented_page_is_the_page(serve: Serve, chromium: Any, lang: str) -> None:
    """The pictures of the page in docs/pictures look as the page does now; otherwise: make screenshots."""
    shots = script()
    documented = shots.PICTURES[lang]
    url = serve("serve", str(recorded_bundle("broken")), *shots.ASKED[1:], "--lang", lang)
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    now = ARTEFACTS / f"docs-page-{lang}.png"
    context = chromium.new_context(viewport=shots.SIZE, color_scheme="light")
    page = context.new_page()
    shots.shoot(page, url, now)
    page.goto("about:blank")
    apart = page.evaluate(COMPARED, [as_url(documented), as_url(now)])
    form = page.evaluate(
        COMPARED, [as_url(documented), as_url(blank(page, shots.SIZE, ARTEFACTS / "blank.png"))]
    )
    context.close()
    assert apart < MOST_APART
    assert form > MOST_APART, "an empty page would not pass for it"


def blank(page: Any, size: dict[str, int], file: Path) -> Path:
    """Take a picture of nothing."""
    page.set_viewport_size(size)
    page.screenshot(path=file)
    return file
