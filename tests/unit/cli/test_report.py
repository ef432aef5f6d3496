"""The command line of report: what it takes, what it refuses, and where it writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from skoopctl.cli import main
from skoopctl.evidence import read_bundle, write_bundle
from skoopctl.evidence.bundle import Bundle
from skoopctl.lab.story import DESTINATION, PORT, SOURCE
from skoopctl.recorded import recorded_bundle
from tests.support.large_run import large_run
from tests.support.paper import needs_pango

BROKEN = str(recorded_bundle("broken"))
ENDS = ("-s", SOURCE, "-d", DESTINATION, "-p", str(PORT))
Report = Callable[..., tuple[int, bytes, str]]


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Report:
    """Run ``skoopctl report`` in this process."""

    def once(*args: str) -> tuple[int, bytes, str]:
        monkeypatch.setattr(sys, "argv", ["skoopctl", "report", *args])
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capfdbinary.readouterr()
        return stop.value.code if isinstance(stop.value.code, int) else 1, captured.out, captured.err.decode()

    return once


@pytest.fixture
def saved(tmp_path: Path) -> str:
    """Return the file of a run that was kept."""
    file = tmp_path / "20261130T023000Z.json"
    file.write_text(json.dumps(large_run(3, 2)), encoding="utf-8")
    return str(file)


@pytest.mark.parametrize(
    ("form", "begins"),
    [
        ("html", b"<!doctype html>"),
        pytest.param("pdf", b"%PDF-1.7", marks=needs_pango),
        ("md", b"# FAIL"),
        ("json", b'{\n  "schema": "skoopctl.report/1"'),
    ],
)
def test_a_bundle_alone_gives_every_form(report: Report, form: str, begins: bytes) -> None:
    """No host is asked; the report is the whole of standard output."""
    code, out, err = report(BROKEN, *ENDS, "--format", form)
    assert (code, err) == (0, "")
    assert out.startswith(begins)


def test_a_saved_run_gives_an_inspection_report(report: Report, saved: str, tmp_path: Path) -> None:
    """The ending of the file's name says in which form."""
    target = tmp_path / "nightly.md"
    code, out, err = report(
        saved, "-o", str(target), "--lang", "zh", "--title", "夜间检查", "--asked-by", "ops"
    )
    assert (code, out) == (0, b"")
    assert err == f"written: {target}\n"
    text = target.read_text(encoding="utf-8")
    assert text.startswith("# 夜间检查\n")
    assert "提问者: ops" in text


@needs_pango
def test_another_user_elsewhere_gets_the_same_bytes(tmp_path: Path) -> None:
    """Time, zone, language and home of whoever asks are not in a report."""
    made = []
    for zone, home, language in (
        ("UTC", "/root", "C.UTF-8"),
        ("Asia/Shanghai", str(tmp_path), "de_DE.UTF-8"),
    ):
        environment = {**os.environ, "TZ": zone, "HOME": home, "LANG": language, "USER": home[-3:]}
        command = [sys.executable, "-m", "skoopctl", "report", BROKEN, *ENDS, "--format", "pdf"]
        made.append(subprocess.run(command, env=environment, capture_output=True, check=True).stdout)
    assert made[0] == made[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((BROKEN,), "-s and -d missing"),
        ((BROKEN, *ENDS, "-o", "x.txt"), "-o x.txt: the name must end in .html"),
        ((BROKEN, *ENDS, "-o", "/nowhere/at/all/x.html"), "there is no folder"),
        ((BROKEN, *ENDS, "--template", "/nowhere"), "--template /nowhere: there is no such folder"),
        ((BROKEN, "-s", "10.9.9.9.9", "-d", DESTINATION), "10.9.9.9.9"),
        (("/nowhere.skoop", *ENDS), "/nowhere.skoop: there is no such bundle"),
        (("/nowhere.json",), "/nowhere.json: cannot be read"),
        (("/proc/self/fd",), "no run is kept there"),
    ],
)
def test_bad_usage_is_one_clear_line(report: Report, arguments: tuple[str, ...], said: str) -> None:
    """What cannot be is status 2 and a line that names it."""
    code, out, err = report(*arguments)
    assert (code, out) == (2, b"")
    assert said in err
    assert err.count("\n") == 1


def test_a_question_does_not_go_with_a_run(report: Report, saved: str) -> None:
    """A run is a whole cluster's; -s and -d are refused with its name."""
    code, _, err = report(saved, *ENDS)
    assert code == 2
    assert f"-s, -d and -p go with a bundle, and {saved} is a run" in err


def test_a_corrupt_bundle_and_one_of_a_newer_version_are_one_clear_line(
    report: Report, tmp_path: Path
) -> None:
    """Neither ends in a traceback, and nothing is written."""
    cut = tmp_path / "cut.skoop"
    cut.write_bytes(recorded_bundle("broken").read_bytes()[:5000])
    newer = tmp_path / "newer.skoop"
    with zipfile.ZipFile(BROKEN) as old, zipfile.ZipFile(newer, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b"skoopctl.bundle/1", b"skoopctl.bundle/9"))
    for file in (cut, newer):
        target = tmp_path / "x.html"
        code, _, err = report(str(file), *ENDS, "-o", str(target))
        assert code == 2
        assert err.startswith(f"skoopctl: {file}: ")
        assert err.count("\n") == 1
        assert not target.exists()


def test_a_bundle_in_which_no_host_answered_says_so(report: Report, tmp_path: Path) -> None:
    """There is nothing to walk through, and the report is not an empty one."""
    whole = read_bundle(BROKEN)
    empty = tmp_path / "empty.skoop"
    write_bundle(empty, Bundle({}, created=whole.created))
    code, out, err = report(str(empty), *ENDS)
    assert (code, out) == (2, b"")
    assert "0 of 0 hosts collected" in err
