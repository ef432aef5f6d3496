"""Stations of the picture as links."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from skoopctl.report.svg import render_svg
from skoopctl.report.svg_links import Anchor
from tests.unit.report import samples

NS = "{http://www.w3.org/2000/svg}"


def linked(name: str) -> ET.Element:
    """Return the picture of a sample with a link at each station."""
    made = render_svg(
        samples.ALL[name](), link=lambda walk, hop: Anchor(f'/?w={walk}&h={hop}"<', chosen=hop == 1)
    )
    return ET.fromstring(made)  # noqa: S314 - our own output


@pytest.mark.parametrize("name", samples.ALL)
def test_every_station_is_a_link_with_a_name(name: str) -> None:
    """Each mark in a box is inside one link, which says in words where it leads; no link leads where another does."""
    root = linked(name)
    links = list(root.iter(f"{NS}a"))
    plain = ET.fromstring(render_svg(samples.ALL[name]()))  # noqa: S314 - our own output
    stations = [g for g in plain.iter(f"{NS}g") if g.find(f"{NS}title") is not None]
    assert len(links) == len(stations) > 0
    assert all(link.get("aria-label") for link in links)
    assert len({link.get("href") for link in links}) == len(links)
    assert root.get("role") == "group", "an image's parts are not to be reached by keyboard"


def test_links_change_nothing_that_is_seen() -> None:
    """Without the links' own elements, the picture is the one that stands alone."""
    root = linked("dropped")
    for parent in list(root.iter()):
        for place, child in enumerate(list(parent)):
            if child.tag == f"{NS}a":
                child[1].tail = child.tail
                parent[place] = child[1]
    root.set("role", "img")
    plain = ET.fromstring(render_svg(samples.dropped()))  # noqa: S314 - our own output
    assert ET.tostring(root) == ET.tostring(plain)
