"""The page that stands alone."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import pytest

from skoopctl.errors import SkoopError
from skoopctl.report.assets import reports_folder
from tests.support.pages import page_of
from tests.unit.report import samples
from tests.unit.report.page_parser import Page


@pytest.mark.parametrize("name", samples.ALL)
def test_every_page_stands_alone(name: str) -> None:
    """Elements nest; no script, no frame, no handler; links lead only into the page."""
    page = Page(page_of(samples.ALL[name]()))
    tags = {tag for tag, _ in page.elements}
    assert tags.isdisjoint({"script", "iframe", "object", "embed", "link", "img", "base", "form"})
    for _, attributes in page.elements:
        assert not any(key.startswith("on") or key in ("src", "style") for key in attributes)
        assert (attributes.get("href") or "#").startswith("#")


def test_the_policy_admits_only_the_two_style_sheets_of_the_page() -> None:
    """The hashes in the policy are those of the style elements, and nothing else may load."""
    html = page_of(samples.dropped())
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', html)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; style-src 'sha256-")
    sheets = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(sheet.encode()).digest()).decode() for sheet in sheets]
    assert re.findall(r"'sha256-([^']+)'", policy[1]) == digests


def test_the_page_tells_the_whole_story() -> None:
    """From the verdict over cause, evidence, fix and path to the raw lines, everything stands in order."""
    page = Page(page_of(samples.dropped()))
    order = [
        "3 of 3 hosts collected",
        "is dropped by rule 1 of INPUT (filter) on node1-c4",
        "Cause",
        "filter INPUT rule 1, 1,284 packets",
        "-A INPUT -s 192.168.3.87/32 -j DROP",
        "Why. A tunnelled packet arrives",
        "checked in the model",
        "iptables -D INPUT 1",
        "Other findings",
        "What should be changed",
        "Raise nf_conntrack_max.",
        "Path, hop by hop",
        "How it was collected",
        "What was seen, and what was not",
        "Appendix: the raw lines on the path",
        "skoopctl 0.1.0 · skoopctl.diagnosis/1 · skoopctl.report/1",
    ]
    body = page.text[page.text.index("Skip to the findings") :]
    position = 0
    for words in order:
        position = body.index(words, position)
    assert "svg" in {tag for tag, _ in page.elements}


def test_the_fatal_hop_is_open_and_others_can_be_opened() -> None:
    """Evidence is behind details elements that need no script; where the packet dies it is in sight."""
    page = Page(page_of(samples.dropped()))
    details = [attributes for tag, attributes in page.elements if tag == "details"]
    assert sum("open" in attributes for attributes in details) == 1
    assert len(details) > 3


def test_branches_are_a_table_with_shares() -> None:
    """Each branch is a row; the ways of those not drawn can be opened."""
    page = Page(page_of(samples.service()))
    assert page.text.count("33%") >= 3
    branches = [a for tag, a in page.elements if tag == "details" and a.get("class") == "branch"]
    assert len(branches) == 2


def test_hostile_words_are_only_words() -> None:
    """Markup and control characters of a node are visible text, wherever they stand."""
    html = page_of(samples.hostile())
    page = Page(html)
    assert "<script" not in html
    assert "<script>alert('pod')</script>" in page.text
    assert r"\x1b[2J" in page.text
    assert all(char.isprintable() or char == "\n" for char in html)


def test_long_evidence_is_cut_with_a_notice() -> None:
    """Five megabytes of a rule do not make a page of ten."""
    html = page_of(samples.hostile())
    assert len(html) < 100_000
    assert "more characters)" in html


def test_unknowns_assumptions_and_gaps_are_on_the_page() -> None:
    """What limits the answer is said where it is read."""
    text = Page(page_of(samples.unknown())).text
    assert "no TCP connection to 192.168.3.86:22 within 5 s" in text
    assert "nft ruleset: denied; conntrack: absent" in text
    assert "the switch between the nodes forwards every packet" in text


@pytest.mark.parametrize("inside", ["skoopctl/_data/reports", "reports"])
def test_templates_are_found_in_a_wheel_and_in_a_checkout(tmp_path: Path, inside: str) -> None:
    """The wheel carries the folder inside the package, a checkout has it beside the package."""
    (tmp_path / inside / "templates").mkdir(parents=True)
    assert reports_folder(tmp_path / "skoopctl") == tmp_path / inside


def test_missing_templates_are_one_clear_error(tmp_path: Path) -> None:
    """A broken installation names the folder and what to do."""
    with pytest.raises(SkoopError, match=r"no report templates in .*_data.reports \(.*install again\)"):
        reports_folder(tmp_path / "skoopctl")
