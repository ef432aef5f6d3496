"""Incident reports: the context, and every form that is made from it."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import jsonschema
import pytest

from skoopctl.checks.diagnosis import Coverage, HostCoverage
from skoopctl.report.form import FORMS, form_of, render, report_schema
from skoopctl.report.incident import About, incident_context
from skoopctl.report.messages import LANGUAGES, messages
from skoopctl.report.rendering import render_markdown, render_page
from tests.unit.report import samples
from tests.unit.report.page_parser import Page

TEXTS = tuple(form for form in FORMS if form != "pdf")
EVERY = pytest.mark.parametrize("name", samples.ALL)


@EVERY
@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_context_is_as_the_schema_says(name: str, lang: str) -> None:
    """Templates of other people can rely on the published schema, in each language."""
    context = incident_context(samples.ALL[name](), messages(lang))
    jsonschema.Draft202012Validator(report_schema()).validate(json.loads(json.dumps(context)))


@EVERY
@pytest.mark.parametrize("form", TEXTS)
def test_the_same_diagnosis_gives_the_same_bytes(name: str, form: str) -> None:
    """No clock, no chance and no order of a set is in a report."""
    made = [render(incident_context(samples.ALL[name](), messages("zh")), form) for _ in range(2)]
    assert made[0] == made[1]


def test_the_json_form_is_the_context_itself() -> None:
    """What templates are given can be had as a file."""
    context = incident_context(samples.service(), messages())
    assert json.loads(render(context, "json")) == json.loads(json.dumps(context))


def test_a_report_says_what_people_said_of_it() -> None:
    """A title and who asked are in the report as they were given, and nowhere taken from the machine."""
    said = incident_context(samples.healthy(), messages(), About("Checkout is down", "the on-call team"))
    page = render_page(said)
    assert Page(page).text.startswith("Checkout is down")
    assert "Asked by</dt><dd>the on-call team<" in page
    unsaid = render_page(incident_context(samples.healthy(), messages()))
    assert "Asked by</dt><dd>not said<" in unsaid


def test_each_host_is_in_the_timeline_with_when_and_how_long() -> None:
    """A host that answered has its seconds; one of which they are not known says so."""
    hosts = (
        HostCoverage("n1", "ok", took_s=1.25, began_s=0.5),
        HostCoverage("n2", "unreachable", "no route"),
    )
    context = incident_context(replace(samples.healthy(), coverage=Coverage(hosts)), messages())
    times = [(row["host"], row["began_s"], row["took_s"]) for row in context["timeline"]]
    assert times == [("n1", 0.5, 1.25), ("n2", None, None)]
    text = render_markdown(context)
    assert "| n1 | 0.50 s | 1.25 s | ok |" in text
    assert "| n2 | not known | not known | unreachable | no route |" in text


def test_what_should_be_changed_says_whether_it_was_tried() -> None:
    """A fix that was tried in the model is told from one that was not."""
    changes = incident_context(samples.dropped(), messages())["changes"]
    assert [(change["finding"], change["checked"]) for change in changes] == [
        ("tunnel-packet-dropped", True),
        ("conntrack-nearly-full", False),
    ]


def test_markdown_tells_the_whole_story() -> None:
    """From the verdict to the raw lines, everything stands in order."""
    text = render_markdown(incident_context(samples.dropped(), messages()))
    order = [
        "# FAIL: pod tools/client",
        "3 of 3 hosts collected",
        "is dropped by rule 1 of INPUT (filter) on node1-c4",
        "## Cause",
        "```\n-A INPUT -s 192.168.3.87/32 -j DROP\n```",
        "**Why.** A tunnelled packet arrives",
        "```\niptables -D INPUT 1\n```",
        "## What should be changed",
        "## Path, hop by hop",
        "  - ✖ INPUT: DROPPED by rule 1",
        "## How it was collected",
        "## What was seen, and what was not",
        "## Appendix: the raw lines on the path",
        "| node1-c4 | filter INPUT rule 1 | 1284 | `-A INPUT -s 192.168.3.87/32 -j DROP` |",
        "skoopctl.report/1",
    ]
    position = 0
    for words in order:
        position = text.index(words, position)


@pytest.mark.parametrize("lang", LANGUAGES)
def test_hostile_words_are_only_words_in_markdown(lang: str) -> None:
    """No tag, control character, link or fence of a node's comes through, and lines are cut with a notice."""
    text = render_markdown(incident_context(samples.hostile(), messages(lang)))
    outside = re.sub(r"(`+)[^`]+\1", "", text)
    assert re.search(r"(?<!\\)<script", outside) is None
    assert r"\<script\>" in outside
    assert all(char.isprintable() or char == "\n" for char in text)
    assert r"\\x1b\[2J" in text
    assert len(text) < 100_000
    assert "more characters)" in text


def test_right_to_left_names_are_isolated_on_the_page() -> None:
    """Letters stay as they are; what would turn the direction of a line is written out."""
    page = render_page(incident_context(samples.hostile(), messages()))
    assert "שלום" in page
    assert "\u202e" not in page
    assert "bdi,.said,.name,pre{unicode-bidi:isolate}" in page


@pytest.mark.parametrize(
    ("file", "form"), [("a.html", "html"), ("b.HTM", "html"), ("c.md", "md"), ("d.json", "json")]
)
def test_the_form_is_that_of_the_ending(file: str, form: str) -> None:
    """A file's name says what is written into it."""
    assert form_of("--report", file) == form
