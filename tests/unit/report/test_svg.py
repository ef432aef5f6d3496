"""The picture."""

from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skoopctl.dataplane.trace import Disposition, StepKind
from skoopctl.report.messages import messages
from skoopctl.report.svg import render_svg
from skoopctl.report.svg_layout import Layout, Tracks, lay_out
from tests.unit.report import samples

NS = "{http://www.w3.org/2000/svg}"


def parsed(name: str) -> ET.Element:
    """Parse the picture of a sample."""
    return ET.fromstring(render_svg(samples.ALL[name]()))  # noqa: S314 - our own output


def drawn(root: ET.Element, style: str) -> list[ET.Element]:
    """Return the elements of a class."""
    return [element for element in root.iter() if style in (element.get("class") or "").split()]


def spoken(root: ET.Element) -> str:
    """Return all words of the picture."""
    return " ".join("".join(element.itertext()) for element in root.iter(f"{NS}text"))


@pytest.mark.parametrize("name", samples.ALL)
def test_every_picture_is_well_formed_deterministic_and_alone(name: str) -> None:
    """Same diagnosis, same bytes; nothing is fetched, nothing runs; there is a title and a description."""
    first, second = render_svg(samples.ALL[name]()), render_svg(samples.ALL[name]())
    assert first == second
    root = ET.fromstring(first)  # noqa: S314 - our own output
    allowed = {"svg", "title", "desc", "style", "rect", "text", "tspan", "g", "path", "circle", "polyline"}
    assert {element.tag.removeprefix(NS) for element in root.iter()} <= allowed
    assert not any(re.match("on|.*href", key) for element in root.iter() for key in element.attrib)
    assert "url(" not in first
    assert "@import" not in first
    assert root.get("role") == "img"
    assert root.findtext(f"{NS}title")
    assert root.findtext(f"{NS}desc")


def test_the_place_of_death_is_a_cross_with_the_rule() -> None:
    """The manual's fault is one cross, the rule's own text, its counter, and the fix that was checked."""
    root = parsed("dropped")
    in_boxes = [g for g in root.iter(f"{NS}g") if drawn(g, "cross") and g.find(f"{NS}text") is not None]
    assert "INPUT" in "".join(in_boxes[0].itertext())
    words = spoken(root)
    assert "-A INPUT -s 192.168.3.87/32 -j DROP" in words
    assert "rule 1 of INPUT (filter), 1,284 packets" in words
    assert "iptables -D INPUT 1" in words
    assert "never reached" in words


def test_forward_and_reply_differ_without_colour() -> None:
    """The forward line is solid, the reply's is dashed; a failed flow without reply has no dashed line."""
    svg = render_svg(samples.healthy())
    assert re.search(r"\.sk \.reply\{[^}]*stroke-dasharray", svg)
    assert not re.search(r"\.sk \.forward\{[^}]*stroke-dasharray", svg)
    assert drawn(parsed("healthy"), "forward")
    assert drawn(parsed("healthy"), "reply")
    assert not drawn(parsed("dropped"), "reply")


def test_the_tunnel_is_a_tube_around_both_lines() -> None:
    """Over VXLAN each line has one tube between the hosts; on one node there is none."""
    tubes = [t for t in drawn(parsed("healthy"), "tube") if len((t.get("points") or "").split()) > 4]
    assert len(tubes) == 2
    assert not drawn(parsed("same_node"), "tube")


def test_nat_is_a_relabelled_packet() -> None:
    """The service's address is struck out, the endpoint's stands below."""
    root = parsed("service")
    assert "to 10.96.17.4:80" in [element.text for element in drawn(root, "t-struck")]
    assert "to 10.244.2.202:8080" in [element.text for element in drawn(root, "t-mono-strong")]


def test_branches_are_arms_as_thick_as_their_share() -> None:
    """Three endpoints are three arms, each with its share and outcome; the drawn one says so."""
    root = parsed("service")
    assert [arm.get("stroke-width") for arm in drawn(root, "fork")] == ["4", "4", "4"]
    words = [element.text for element in drawn(root, "t-branch")]
    assert words[0] == "33% · endpoint 10.244.2.202:8080 · refused (drawn above)"


def test_unknown_is_drawn_unlike_absent() -> None:
    """What is not known has question marks and dotted lines; a cross would claim too much."""
    root = parsed("unknown")
    assert "?" in [element.text for element in drawn(root, "t-unknown")]
    assert drawn(root, "doubtful")
    assert not any(drawn(g, "cross") for g in root.iter(f"{NS}g") if g.find(f"{NS}title") is not None)
    assert "perhaps reached" in spoken(root)


def test_forty_hosts_stay_readable() -> None:
    """A path over forty hosts names each, in a page no wider than three lanes."""
    root = parsed("long_way")
    names = [element.text for element in drawn(root, "t-lane")]
    assert [f"router-{number:02d}" for number in range(1, 41)] == names[1:41]
    assert "router-01 (again)" in names
    assert int(root.get("width") or 0) < 1800


def test_hostile_words_are_only_words() -> None:
    """Markup of a node is text, and its control characters are written out."""
    root = parsed("hostile")
    assert "<script>alert('pod')</script>" in spoken(root)
    assert r"\x1b[2J" in spoken(root)


def test_an_embedded_picture_leaves_its_caption_out() -> None:
    """A page that says the verdict itself gets the picture without it."""
    bare = ET.fromstring(render_svg(samples.dropped(), captioned=False))  # noqa: S314 - our own output
    assert not drawn(bare, "t-title")
    assert "-A INPUT -s 192.168.3.87/32 -j DROP" in spoken(bare)


@pytest.mark.parametrize("name", samples.ALL)
def test_a_chinese_picture_has_none_of_our_english_words(name: str) -> None:
    """Legend, boxes, labels and what became of the packet are Chinese; every mark stands where it stood."""
    svg = render_svg(samples.ALL[name](), words=messages("zh"))
    root = ET.fromstring(svg)  # noqa: S314 - our own output
    said = [element.text for element in root.iter(f"{NS}text") if element.text]
    ours = [text for key, text in messages().texts.items() if key.startswith("picture.") and "{" not in text]
    assert [(text, line) for text in ours for line in said if text.strip() == line.strip()] == []
    assert [line for line in said if re.match(r"(from|to) \d|pod |[A-Z_]{4,} by|fix, ", line)] == []
    marks = ("cross", "tube", "forward", "reply", "packet", "death", "doubt", "fork")
    english = parsed(name)
    assert {mark: len(drawn(root, mark)) for mark in marks} == {m: len(drawn(english, m)) for m in marks}


def test_a_chinese_picture_says_what_the_english_one_says() -> None:
    """The manual's fault: the host's box, the rule with its counter, the fix, the pod that is never reached."""
    svg = render_svg(samples.dropped(), captioned=False, words=messages("zh"))
    words = spoken(ET.fromstring(svg)).replace(" ", "")  # noqa: S314 - our own output
    for said in (
        "主机自己的命名空间",
        "被丢弃",
        "第 1 条规则",
        "1,284 个包",
        "从未到达",
        "已在模型中验证",
        "在隧道中",
        "-A INPUT -s 192.168.3.87/32 -j DROP",
    ):
        assert said.replace(" ", "") in words


WAYS = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c", "d"]), st.sampled_from(["host", "p1", "p2"])),
    min_size=1,
    max_size=14,
)


@given(WAYS, st.none() | WAYS, st.booleans())
def test_nothing_in_a_layout_overlaps(
    there: list[tuple[str, str]], back: list[tuple[str, str]] | None, detailed: bool
) -> None:
    """For any two ways: rows stay in their boxes, boxes in lanes, lanes apart, and each line is unbroken."""
    layout = lay_out(Tracks(_way("SYN", there), _way("SYN-ACK", back) if back else None, detailed), None, 10)
    for lane in layout.lanes:
        assert lane.x + lane.width <= layout.width
        assert lane.y + lane.height <= layout.height
        for box in lane.boxes:
            assert lane.x < box.x
            assert box.x + box.width < lane.x + lane.width
            assert all(box.y < item.y and item.y + item.row.height < box.y + box.height for item in box.rows)
        assert all(upper.y + upper.height < lower.y for upper, lower in pairwise(lane.boxes))
    assert not any(_overlap(layout, one, two) for one in range(len(layout.lanes)) for two in range(one))
    for legs, way in ((layout.forward, there), (layout.reply, back or [])):
        assert all(one.points[-1] == two.points[0] for one, two in pairwise(legs))
        assert len(legs) >= len({(node, space) for node, space in way}) - 1


def _way(label: str, stays: list[tuple[str, str]]) -> samples.Walk:
    steps = [samples.at(f"{node}/{space}", StepKind.RECEIVE, "eth0", "received") for node, space in stays]
    last = samples.at(
        f"{stays[-1][0]}/{stays[-1][1]}", StepKind.SOCKET, "eth0", "taken", ends=Disposition.DELIVERED
    )
    return samples.walk(label, [*steps, last])


def _overlap(layout: Layout, one: int, two: int) -> bool:
    a, b = layout.lanes[one], layout.lanes[two]
    apart = a.x + a.width < b.x or b.x + b.width < a.x or a.y + a.height < b.y or b.y + b.height < a.y
    return not apart
