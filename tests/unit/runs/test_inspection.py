"""Inspection reports: a run's JSON becomes a context, and every form is made from it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from skoopctl.errors import EvidenceError
from skoopctl.report.form import FORMS, render, report_schema
from skoopctl.report.messages import LANGUAGES, messages
from skoopctl.report.rendering import MOST_DETAILED, render_markdown, render_page
from skoopctl.runs.as_json import run_to_json
from skoopctl.runs.inspection import inspection_context
from skoopctl.runs.saved import MOST_EARLIER, earlier_runs, read_run
from tests.support.large_run import large_run
from tests.support.results import PATH, result_of
from tests.unit.report.page_parser import Page

Json = dict[str, Any]
EVIL = "<script>alert(1)</script>\x1b[2J\u202e|`[x](y)"


def small(**more: Any) -> Json:
    """Return a run with four findings on two nodes."""
    return {**large_run(4, 2), **more}


def kept(folder: Path, *runs: Json) -> Path:
    """Write runs as the store does; return the last one's file."""
    file = folder
    for run in runs:
        file = folder / f"{run['started'].replace('-', '').replace(':', '')[:15]}Z.json"
        file.write_text(json.dumps(run), encoding="utf-8")
    return file


@pytest.mark.parametrize("lang", LANGUAGES)
def test_a_runs_context_is_as_the_schema_says(lang: str) -> None:
    """What a real run leaves, and a run with everything in it, follow the published schema."""
    real = json.loads(json.dumps(run_to_json(result_of(paths=[PATH]))))
    short = {"key": "k", "id": "no-route", "severity": "fatal", "node": "n", "summary": "s"}
    changes = {"since": "yesterday", "new": 1, "unchanged": 3, "gone": [short], "unseen": [short]}
    for run in (real, small(changes=changes)):
        context = inspection_context(run, [small()], messages(lang))
        jsonschema.Draft202012Validator(report_schema()).validate(context)


def test_findings_are_counted_by_severity_by_kind_and_by_node() -> None:
    """The sums of each table are the number of findings, and each node lists its own."""
    context = inspection_context(large_run(300, 7), [], messages())
    assert sum(row["findings"] for row in context["counts"]) == 300
    assert sum(row["findings"] for row in context["kinds"]) == 300
    assert sorted(place for node in context["nodes"] for place in node["listed"]) == list(range(300))
    for node in context["nodes"]:
        assert {context["findings"][place]["node"] for place in node["listed"]} == {node["node"]}


def test_a_finding_of_no_node_is_listed_for_the_cluster() -> None:
    """What is wrong with the cluster as a whole is a row of its own, and hosts without findings stay in sight."""
    run = small()
    run["findings"][0]["where"] = {"node": "", "namespace": ""}
    run["coverage"]["hosts"].append({"host": "quiet", "status": "denied", "detail": "", "gaps": []})
    nodes = {node["node"]: node for node in inspection_context(run, [], messages())["nodes"]}
    assert nodes[""]["findings"] == 1
    assert (nodes["quiet"]["status"], nodes["quiet"]["findings"]) == ("denied", 0)


def test_the_trend_is_that_of_earlier_runs_of_the_same_plan(tmp_path: Path) -> None:
    """Runs of other plans, later ones and unreadable ones are no part of it; it is as long as is readable."""
    before = [large_run(day, 2, day) for day in range(10, 10 + MOST_EARLIER + 2)]
    now, later = large_run(4, 2, 28), large_run(4, 2, 29)
    other = {**large_run(9, 2, 27), "plan": "quick"}
    kept(tmp_path, *before, other, later)
    (tmp_path / "20261101T000000Z.json").write_text("{", encoding="utf-8")
    file = kept(tmp_path, now)
    trend = inspection_context(now, earlier_runs(file, now), messages())["trend"]
    assert [row["findings"] for row in trend] == [*range(12, 10 + MOST_EARLIER + 2), 4]


def test_a_folder_of_runs_stands_for_its_newest(tmp_path: Path) -> None:
    """The folder where runs are kept can be named as it is."""
    kept(tmp_path, large_run(1, 1, 3), large_run(2, 1, 4))
    assert len(read_run(tmp_path)["findings"]) == 2


@pytest.mark.parametrize("form", [form for form in FORMS if form != "pdf"])
def test_the_same_run_gives_the_same_bytes(form: str) -> None:
    """No clock and no chance is in a report of a run."""
    assert render(inspection_context(small(), [], messages()), form) == render(
        inspection_context(small(), [], messages()), form
    )


def test_the_page_has_a_section_for_every_node_with_findings() -> None:
    """A node's rows lead to the findings, and the table of nodes leads to the rows."""
    page = Page(render_page(inspection_context(small(), [], messages())))
    anchors = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    links = {str(attributes["href"])[1:] for tag, attributes in page.elements if tag == "a"}
    assert {"n0", "n1", "f0", "f1", "f2", "f3"} <= anchors & links
    assert links <= anchors


def test_paper_tells_the_worst_in_full_and_lists_the_rest() -> None:
    """Nothing is hidden: what has no details on paper is in its node's table, and the page says so."""
    context = inspection_context(large_run(MOST_DETAILED + 5, 3), [], messages())
    page = Page(render_page(context, paper="/* paper */"))
    assert sum(tag == "article" for tag, _ in page.elements) == MOST_DETAILED
    assert "5 findings are listed without their details" in page.text
    assert all(finding["summary"] in page.text for finding in context["findings"])


def test_what_nodes_say_is_only_words_in_a_run_too() -> None:
    """Markup of HTML and Markdown, escape sequences and overrides of direction do nothing."""
    run = small(cluster=EVIL, inventory=EVIL)
    run["findings"][0] |= {"summary": EVIL, "why": EVIL, "affects": [EVIL], "id": EVIL}
    run["findings"][0]["evidence"][0]["text"] = EVIL * 100_000
    context = inspection_context(run, [], messages())
    page, text = render_page(context), render_markdown(context)
    for made in (page, text):
        assert "\x1b" not in made
        assert "\u202e" not in made
        assert "more characters)" in made
        assert len(made) < 100_000
    assert "<script" not in page
    assert r"\<script\>alert(1)\</script\>\\x1b\[2J\\u202e\|\`\[x\](y)" in text


def _without(key: str) -> Callable[[Json], object]:
    return lambda run: run.pop(key)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda run: run.update(schema="skoopctl.run/2", tool_version="9.0"), "skoopctl 9.0 wrote it"),
        (lambda run: run.update(schema="skoopctl.diagnosis/1"), "a report of it is made from the bundle"),
        (_without("schema"), "schema None"),
        (lambda run: run.update(schema="x" * 9_999), f"schema '{'x' * 58}…, this"),
    ],
)
def test_another_json_is_one_clear_error(tmp_path: Path, change: Callable[[Json], object], said: str) -> None:
    """A newer version's run, a diagnosis and anything else is refused with the file's name and what to do."""
    run = small()
    change(run)
    file = kept(tmp_path, run)
    with pytest.raises(EvidenceError, match=str(file)) as refused:
        read_run(file)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    "change",
    [
        _without("coverage"),
        _without("findings"),
        lambda run: run.update(findings=[{}]),
        lambda run: run.update(findings=[7]),
        lambda run: run["findings"][0].update(severity="terrible"),
        lambda run: run.update(duration_s="long"),
        lambda run: run.update(coverage={"hosts": 3}),
    ],
)
def test_half_a_run_is_one_clear_error(change: Callable[[Json], object]) -> None:
    """What was cut or changed by hand names the file, and is never a traceback."""
    run = small()
    change(run)
    with pytest.raises(EvidenceError, match=r"^old\.json: lacks something or has it in another form"):
        inspection_context(run, [], messages(), source="old.json")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"a":' * 100_000])
def test_what_is_not_a_run_is_one_clear_error(tmp_path: Path, content: bytes) -> None:
    """Whatever bytes a file holds, the error names it."""
    file = tmp_path / "x.json"
    file.write_bytes(content)
    with pytest.raises(EvidenceError, match=r"x\.json: "):
        read_run(file)
