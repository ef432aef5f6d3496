"""The recorded demo: the same story as the live one, for people who are not root."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from skoopctl.cli.demo import demo
from skoopctl.errors import UsageError
from skoopctl.lab import story
from skoopctl.recorded import recorded_bundle


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> tuple[int, str]:
    """Return exit status and output of ``skoopctl demo``."""
    result = CliRunner().invoke(demo, list(arguments), standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.return_value, result.output


def test_tells_the_whole_story(here: Path) -> None:
    """Healthy, broken by rule 1 of INPUT on node1-c4, healthy again; and a report is written."""
    code, output = run("--recorded", "--picture", "path.svg")
    assert code == 0
    verdicts = [line.split(":")[0] for line in output.splitlines() if line.startswith(("PASS:", "FAIL:"))]
    assert verdicts == ["PASS", "FAIL", "PASS"]
    assert "Rule 1 of INPUT (table filter) on node1-c4 drops VXLAN packets from 192.168.3.87" in output
    assert "checked in the model" in output
    assert "192.168.3.87" in (here / "skoopctl-demo.html").read_text()
    assert (here / "path.svg").read_text().startswith("<svg")


def test_says_no_when_the_story_is_not_true(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the healthy evidence in the broken moment's place the demo fails and says what was not so."""
    fake = here / "broken.skoop"
    shutil.copy(recorded_bundle("healthy"), fake)
    monkeypatch.setattr(
        story, "recorded_bundle", lambda moment: fake if moment == "broken" else recorded_bundle(moment)
    )
    code, output = run("--recorded")
    assert code == 1
    assert "step 2: the verdict is PASS, not FAIL" in output


def test_refuses_a_report_that_cannot_be_written(here: Path) -> None:
    """A folder that is not there is named before anything is done."""
    with pytest.raises(Exception, match=r"--report nowhere/x.html: there is no folder nowhere"):
        run("--recorded", "--report", "nowhere/x.html")
    assert not list(here.iterdir())


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--metrics", "--recorded"], "--metrics shows no path"),
        (["--metrics", "--picture", "path.svg"], "--metrics shows no path"),
        (["--keep"], "--keep goes with --metrics"),
    ],
)
@pytest.mark.usefixtures("here")
def test_refuses_flags_that_do_not_go_together(flags: list[str], said: str) -> None:
    """The story of a path and that of metrics are told one at a time; nothing is built before that is said."""
    result = CliRunner().invoke(demo, flags, standalone_mode=False)
    assert isinstance(result.exception, UsageError)
    assert said in str(result.exception)
