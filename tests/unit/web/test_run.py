"""Runs that were kept, on disk and as a page."""

from __future__ import annotations

import json
import shutil
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from skoopctl.errors import EvidenceError, UsageError
from skoopctl.plans.load import load_plan
from skoopctl.recorded import recorded_bundle
from skoopctl.report.messages import LANGUAGES, messages
from skoopctl.runs.as_json import run_to_json
from skoopctl.runs.evaluate import evaluate
from skoopctl.web.app import Shown
from skoopctl.web.opened import open_target
from skoopctl.web.run_page import MOST_FINDINGS, Sieve, run_of, run_page_of
from tests.unit.web.visit import recorded, visitor


@lru_cache(maxsize=1)
def kept_text() -> str:
    """Return what a run over the broken cluster leaves behind, with a path of its plan."""
    plan, _ = load_plan("quick")
    path = {"name": "the manual's", "from": "10.244.3.70", "to": "10.244.2.201", "port": 8080}
    wanted = type(plan).model_validate(
        {**plan.model_dump(by_alias=True, exclude_unset=True), "paths": [path]}
    )
    return json.dumps(run_to_json(evaluate(wanted, recorded(), cluster="demo", inventory="lab")))


def kept() -> dict[str, Any]:
    """Return it as an object."""
    return dict(json.loads(kept_text()))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Return a state folder with two runs of a plan, the newer with its evidence."""
    folder = tmp_path / "demo" / "quick"
    folder.mkdir(parents=True)
    for stem in ("20261129T010000Z", "20261130T010000Z"):
        (folder / f"{stem}.json").write_text(kept_text(), encoding="utf-8")
    # The second run of one second.
    (folder / "20261129T010000Z-002.json").write_text(kept_text(), encoding="utf-8")
    shutil.copy(recorded_bundle("broken"), folder / "20261130T010000Z.skoop")
    (folder / "lock").touch()
    return tmp_path


@pytest.mark.parametrize("way", ["demo/quick", "folder", "file"])
def test_a_run_is_found_by_its_plan_its_folder_and_its_file(state: Path, way: str) -> None:
    """The newest run of a plan is opened, with the evidence behind it."""
    folder = state / "demo" / "quick"
    target = {"folder": str(folder), "file": str(folder / "20261130T010000Z.json")}.get(way, way)
    opened = open_target(target, state)
    assert opened.run is not None
    assert opened.file.endswith("20261130T010000Z.json")
    assert opened.bundle is not None


def test_of_two_runs_in_one_second_the_later_is_the_newest(state: Path) -> None:
    """Names with a number behind the second sort after those without."""
    folder = state / "demo" / "quick"
    (folder / "20261130T010000Z.json").unlink()
    assert open_target(str(folder)).file.endswith("20261129T010000Z-002.json")


def test_a_run_without_evidence_says_so(state: Path) -> None:
    """An older run, whose evidence was not kept, is shown without links to paths."""
    opened = open_target(str(state / "demo/quick/20261129T010000Z.json"))
    assert opened.bundle is None
    assert "was not kept" in opened.evidence
    assert opened.run is not None
    assert opened.run.paths[0].href == ""


def test_a_run_with_damaged_evidence_is_shown_with_what_is_wrong(state: Path) -> None:
    """A bundle that cannot be read costs the paths, not the run."""
    (state / "demo/quick/20261130T010000Z.skoop").write_bytes(b"PK")
    opened = open_target("demo/quick", state)
    assert opened.bundle is None
    assert "not a whole skoopctl bundle" in opened.evidence


@pytest.mark.parametrize(
    "target", ["nothing.skoop", "demo", "demo/../../etc", "/no/such/folder", "demo/quick/lock/x"]
)
def test_what_is_not_there_is_one_error(state: Path, target: str) -> None:
    """A name that means nothing is refused, with what may be named."""
    with pytest.raises((UsageError, EvidenceError)) as raised:
        open_target(target, state)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not JSON"),
        ("[]", "not a run: it must be one object"),
        ("[" * 100_000, "not JSON"),
        ('{"schema": "skoopctl.run/9"}', "schema 'skoopctl.run/9', this skoopctl reads 'skoopctl.run/1'"),
        ('{"schema": "skoopctl.run/1"}', "not a whole run: KeyError"),
        ('{"schema": "skoopctl.run/1", "coverage": 7}', "not a whole run: KeyError"),
    ],
)
def test_a_file_that_is_no_run_is_one_error(tmp_path: Path, text: str, says: str) -> None:
    """Damaged files, and those of a newer version, are named with what is wrong."""
    file = tmp_path / "run.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(EvidenceError, match=says) as raised:
        open_target(str(file))
    assert str(file) in str(raised.value)


def test_findings_are_those_that_were_kept() -> None:
    """Each finding of the file is on the page, with its severity, evidence and fix."""
    found = kept()
    run = run_of(found, "f", has_evidence=True)
    assert len(run.findings) == len(found["findings"]) > 0
    for row, each in zip(found["findings"], run.findings, strict=True):
        assert (row["id"], row["summary"]) == (each.finding.id, each.finding.summary)
        assert [item["text"] for item in row["evidence"]] == [item.text for item in each.finding.evidence]
        assert (each.finding.fix is None) == (row["fix"] is None)
    assert sum(number for _, number in run.counts()) == len(run.findings)


def test_findings_can_be_sieved() -> None:
    """By severity, by node and by words, and what is left out is counted."""
    run = run_of(kept(), "f", has_evidence=True)
    worst = run.findings[0].finding
    page = run_page_of(
        run, Sieve(worst.severity.word, worst.where.node, worst.id.upper()), file="f", evidence=""
    )
    assert page.shown[0][1].finding == worst
    assert all(each.finding.severity is worst.severity for _, each in page.shown)
    nothing = run_page_of(run, Sieve(search="no-such-word"), file="f", evidence="")
    assert nothing.matching == 0


async def test_the_run_is_a_page_whose_paths_lead_to_their_diagnosis() -> None:
    """The run's page comes first; the path that is not as expected opens as a diagnosis from the run's evidence."""
    run = run_of(kept(), "f", has_evidence=True)
    guest = visitor(
        Shown(recorded(), run=run, run_file="f.json", run_evidence="the evidence behind it is f.skoop")
    )
    answer = await guest.get("/")
    assert answer.status == 200
    assert "quick on demo" in answer.page.words
    assert "f.skoop" in answer.page.words
    [link] = answer.page.all("a", href=run.paths[0].href)
    diagnosis = await guest.get(link["href"])
    assert "Rule 1 of INPUT" in diagnosis.page.words
    assert diagnosis.page.all("a", href="/run")


async def test_a_run_without_evidence_is_a_page_without_a_form() -> None:
    """Nothing can be diagnosed then, and the page says why."""
    run = run_of(kept(), "f", has_evidence=False)
    guest = visitor(Shown(None, run=run, run_evidence="the evidence of this run was not kept"))
    assert (await guest.get("/")).status == 200
    refused = await guest.get("/diagnose?s=a&d=b")
    assert refused.status == 404
    assert "was not kept" in refused.page.words


@pytest.mark.parametrize("lang", LANGUAGES)
async def test_words_of_a_run_do_nothing(lang: str) -> None:
    """A file with markup in every text is shown as text."""
    evil = "<script>alert(1)</script>\x1b[31m"

    def spoilt(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: spoilt(each, name) for name, each in value.items()}
        if isinstance(value, list):
            return [spoilt(each, key) for each in value]
        safe = {"schema", "severity", "confidence"}
        return value + evil if isinstance(value, str) and key not in safe else value

    words = messages(lang)
    run = run_of(spoilt(kept()), "f" + evil, has_evidence=True, words=words)
    shown = Shown(recorded(), run=run, run_file=evil, run_evidence=evil, words=words)
    text = (await visitor(shown).get(f"/run?q=&node={evil}")).text
    assert "&lt;script&gt;" in text
    assert "<script>alert" not in text
    assert "\x1b" not in text


def test_very_many_findings_are_bounded() -> None:
    """Of ten thousand findings the page has the first, and counts all that match."""
    found = kept()
    found["findings"] = [found["findings"][0]] * 10_000
    page = run_page_of(run_of(found, "f", has_evidence=True), Sieve(), file="f", evidence="")
    assert (len(page.shown), page.matching) == (MOST_FINDINGS, 10_000)
