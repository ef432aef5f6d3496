"""The golden pictures as a browser draws them: nothing is cut off, and what must be seen is seen, in grey too.

Each is kept as PNG in ``out/browser/pictures``, in colour and in grey, for somebody to look at.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from itertools import pairwise
from typing import Any

import pytest
from PIL import Image, ImageChops

from tests.browser.conftest import ARTEFACTS
from tests.unit.report.pictures import FOLDER, PICTURES

pytestmark = pytest.mark.browser

AROUND = 80
"""Pixels of paper around a picture, where nothing may be drawn."""
DEATH = (0xA4, 0x0E, 0x26)
WHITE = (255, 255, 255)
DARK, LIGHT = 150, 190
ARRIVES = {"nat-and-tunnel", "node-port", "forty-hops"}
PAGE = (
    """<!doctype html><style>body{margin:%dpx;background:#fff}svg{display:block;overflow:visible}</style>%s"""
)
MEASURE = """() => {
  const box = (element) => { const r = element.getBoundingClientRect(); return [r.left, r.top, r.right, r.bottom]; };
  const all = (selector) => [...document.querySelectorAll(selector)];
  const line = (element) => element.getAttribute("points").split(" ").map((p) => p.split(",").map(Number));
  return {
    picture: box(document.querySelector("svg")),
    lanes: all(".lane").map(box),
    texts: all("text").map((text) => [text.textContent, ...box(text)]),
    crosses: all(".stop-dead").map(box),
    others: all(".stop, .stop-good, .stop-unknown").map(box),
    forward: all(".forward").map(line),
    reply: all(".reply").map(line),
  };
}"""
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Seen:
    """A picture as it was drawn, and where its parts are on the page, in pixels."""

    colour: Image.Image
    parts: dict[str, Any]

    @property
    def grey(self) -> Image.Image:
        """What a grey printer makes of it."""
        return self.colour.convert("L")


@pytest.fixture(scope="module")
def seen(chromium: Any) -> dict[str, Seen]:
    """Draw each picture once."""
    page = chromium.new_page(color_scheme="light", viewport={"width": 2200, "height": 1200})
    folder = ARTEFACTS / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {}
    for name in PICTURES:
        page.set_content(PAGE % (AROUND, (FOLDER / f"{name}.svg").read_text(encoding="utf-8")))
        shot = Image.open(BytesIO(page.screenshot(full_page=True))).convert("RGB")
        drawn[name] = Seen(shot, page.evaluate(MEASURE))
        shot.save(folder / f"{name}.png")
        drawn[name].grey.save(folder / f"{name}-grey.png")
    page.close()
    return drawn


@pytest.mark.parametrize("name", PICTURES)
def test_nothing_is_drawn_outside_the_picture(seen: dict[str, Seen], name: str) -> None:
    """The paper around it stays white, so nothing is cut off at a picture's edge; within, much is drawn."""
    left, top, right, bottom = (round(side) for side in seen[name].parts["picture"])
    around = seen[name].colour.copy()
    assert len(around.crop((left, top, right, bottom)).getcolors(1 << 24) or []) > 50
    around.paste(WHITE, (left, top, right, bottom))
    assert ImageChops.invert(around).getbbox() is None


@pytest.mark.parametrize("name", PICTURES)
def test_words_neither_leave_their_host_nor_run_into_each_other(seen: dict[str, Seen], name: str) -> None:
    """Every word that begins in a host's lane ends in it, and no two lines of text lie on each other."""
    texts = [(words, tuple(box)) for words, *box in seen[name].parts["texts"] if words]
    assert len(texts) > 10
    lanes = [tuple(lane) for lane in seen[name].parts["lanes"]]
    assert [
        words for words, box in texts for lane in lanes if _overlap(box, lane) and not _within(box, lane)
    ] == []
    pairs = ((one, other) for place, one in enumerate(texts) for other in texts[:place])
    assert [(one[0], other[0]) for one, other in pairs if _overlap(one[1], other[1])] == []


@pytest.mark.parametrize("name", sorted(PICTURES.keys() - ARRIVES))
def test_death_is_seen_in_its_colour(seen: dict[str, Seen], name: str) -> None:
    """Where a packet is lost or a way may fail there is a cross, and it is drawn in the colour of death."""
    crosses = seen[name].parts["crosses"]
    assert crosses
    red = [_pixels(seen[name].colour, cross).count(DEATH) for cross in crosses]
    assert min(red) > 40


@pytest.mark.parametrize("name", sorted(ARRIVES))
def test_nothing_has_the_colour_of_death_where_all_arrives(seen: dict[str, Seen], name: str) -> None:
    """A flow that works has no red in its picture that could be taken for a fault."""
    assert DEATH not in {colour for _, colour in seen[name].colour.getcolors(1 << 24) or []}


@pytest.mark.parametrize("name", PICTURES)
def test_in_grey_a_cross_is_a_cross_and_nothing_else_is(seen: dict[str, Seen], name: str) -> None:
    """The place of death is told by its shape: dark along both diagonals, light between; no other mark is so."""
    picture = seen[name]
    assert [box for box in picture.parts["crosses"] if not _is_cross(picture.grey, box)] == []
    assert [box for box in picture.parts["others"] if _is_cross(picture.grey, box)] == []


@pytest.mark.parametrize("name", PICTURES)
def test_in_grey_forward_is_solid_and_reply_is_dashed(seen: dict[str, Seen], name: str) -> None:
    """Along its longest leg, the forward line has no gap and the reply's has many; a doubtful one is dotted."""
    parts = seen[name].parts
    gaps = {way: _gaps(seen[name].grey, parts[way]) for way in ("forward", "reply") if parts[way]}
    assert gaps.get("reply", 10) >= 10
    assert gaps["forward"] >= 10 if name == "unknown" else gaps["forward"] == 0


def _overlap(one: Any, other: Any) -> bool:
    """Return whether boxes share more than the two pixels by which letters stand over their box."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    return bool(across > 2 and down > 2)


def _within(inner: Any, outer: Any) -> bool:
    return bool(
        inner[0] >= outer[0] and inner[1] >= outer[1] and inner[2] <= outer[2] and inner[3] <= outer[3]
    )


def _pixels(picture: Image.Image, box: Box) -> list[Any]:
    left, top, right, bottom = (round(side) for side in box)
    cut = picture.crop((left, top, right, bottom))
    return [cut.getpixel((x, y)) for y in range(cut.height) for x in range(cut.width)]


def _is_cross(grey: Image.Image, box: Box) -> bool:
    """Return whether a mark is dark in its middle and at four diagonal points, and light between these."""
    x, y, reach = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, (box[2] - box[0]) / 2

    def at(right: float, down: float) -> int:
        return int(grey.getpixel((int(x + right * reach), int(y + down * reach))))  # type: ignore[arg-type]

    arms = [at(0, 0), *(at(0.3 * right, 0.3 * down) for right in (-1, 1) for down in (-1, 1))]
    between = [at(0.6, 0), at(-0.6, 0), at(0, 0.6), at(0, -0.6)]
    return max(arms) < DARK and min(between) > LIGHT


def _gaps(grey: Image.Image, lines: list[list[list[float]]]) -> int:
    """Return how often the longest upright leg of a line is interrupted."""
    legs = [(one, other) for points in lines for one, other in pairwise(points)]
    upright = [leg for leg in legs if leg[0][0] == leg[1][0] and leg[0][1] != leg[1][1]]
    (x, start), (_, end) = max(upright, key=lambda leg: abs(leg[0][1] - leg[1][1]))
    column = [
        int(grey.getpixel((int(x) + AROUND, down + AROUND))) < DARK  # type: ignore[arg-type]
        for down in range(int(min(start, end)) + 8, int(max(start, end)) - 8)
    ]
    return sum(one and not other for one, other in pairwise(column))
