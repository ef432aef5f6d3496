"""Templates of people's own, and what goes wrong in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from skoopctl.errors import SkoopError, TemplateError, UsageError
from skoopctl.report.incident import incident_context
from skoopctl.report.messages import messages
from skoopctl.report.rendering import Look, render_markdown, render_page
from tests.support.paper import needs_pango
from tests.unit.report import samples

CONTEXT = incident_context(samples.dropped(), messages())


def written(folder: Path, text: str, name: str = "incident.md.j2") -> Look:
    """Write a template; return the look that has it."""
    (folder / name).write_text(text, encoding="utf-8")
    return Look(folder)


def test_a_template_stands_in_place_of_ours(tmp_path: Path) -> None:
    """It is given the context and the words; the forms that it has no file for stay as they are."""
    look = written(tmp_path, 'Ticket: {{ verdict }}, {{ t("heading.cause") }}: {{ causes[0].id }}')
    assert render_markdown(CONTEXT, look) == "Ticket: FAIL, Cause: tunnel-packet-dropped\n"
    assert render_page(CONTEXT, look) == render_page(CONTEXT)


def test_a_template_can_use_our_parts(tmp_path: Path) -> None:
    """The macros that ours are made of can be imported."""
    look = written(tmp_path, '{% from "report_parts.md.j2" import hosts %}{{ hosts(coverage.hosts) }}')
    assert "| node1-c4 | ok |" in render_markdown(CONTEXT, look)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("{{ verdict }}\n{% if %}", 2, "Expected an expression"),
        ("\n\n{{ nobody.knows }}", 3, "'nobody' is undefined"),
        ("{{ verdict }}\n{{ 1 / 0 }}", 2, "division by zero"),
        ("{{ verdict|shout }}", 1, "No filter named 'shout'"),
        ('a\nb {{ t("heading.nothing") }}', 2, "there are no words 'heading.nothing'"),
        ("{{ ().__class__.__bases__ }}", 1, "unsafe"),
        ("{% for x in causes %}\n{{ x.nothing }}\n{% endfor %}", 2, "has no attribute 'nothing'"),
    ],
)
def test_a_mistake_is_one_line_with_its_place(tmp_path: Path, text: str, line: int, said: str) -> None:
    """A user's template that fails says in which file, in which line, and why."""
    with pytest.raises(TemplateError) as failed:
        render_markdown(CONTEXT, written(tmp_path, text))
    message = str(failed.value)
    assert message.startswith(f"{tmp_path / 'incident.md.j2'}:{line}: ")
    assert said in message
    assert "\n" not in message


def test_nothing_can_be_marked_safe(tmp_path: Path) -> None:
    """Not even a template of people's own lets a node's words be markup by mistake."""
    look = written(tmp_path, "{{ title|safe }}", "incident.html.j2")
    with pytest.raises(TemplateError, match="No filter named 'safe'"):
        render_page(CONTEXT, look)
    hostile = incident_context(samples.hostile(), messages())
    look = written(tmp_path, "{{ sentence }}{{ question.source.asked }}", "incident.html.j2")
    assert "<script" not in render_page(hostile, look)


def test_our_templates_mark_nothing_safe() -> None:
    """No template of ours has a filter or a block that would let words through."""
    from skoopctl.report.assets import reports_folder

    for file in (reports_folder() / "templates").rglob("*.j2"):
        source = file.read_text(encoding="utf-8")
        assert "|safe" not in source.replace(" ", ""), file
        assert "autoescape" not in source, file


def test_a_folder_without_templates_is_refused_at_once(tmp_path: Path) -> None:
    """A folder that is not there, or holds nothing that would be used, is an error before any work."""
    with pytest.raises(UsageError, match="there is no such folder"):
        Look(tmp_path / "none").check()
    with pytest.raises(UsageError, match="holds none of incident"):
        Look(tmp_path).check()
    written(tmp_path, "x")
    Look(tmp_path).check()


@needs_pango
def test_a_pdf_of_ones_own_template_fetches_nothing(tmp_path: Path) -> None:
    """A picture of another server, or a file of this machine, is not in it; the words are."""
    from tests.unit.report.test_pdf import words

    secret = tmp_path / "secret.css"
    secret.write_text("body:after{content:'taken in'}", encoding="utf-8")
    look = written(
        tmp_path,
        f'<html lang="en"><title>t</title><style>{{{{ css }}}}</style><link rel="stylesheet" href="{secret.as_uri()}">'
        '<p>own words</p><img alt="" src="http://127.0.0.1:9/x.png">',
        "incident.html.j2",
    )
    from skoopctl.report.pdf import render_pdf

    text = words(render_pdf(CONTEXT, look))
    assert "own words" in text
    assert "taken in" not in text


def test_errors_of_templates_are_errors_of_usage() -> None:
    """They end a command with status 2."""
    assert issubclass(TemplateError, SkoopError)
    assert TemplateError("x", path="y", line=1).exit_code == 2
