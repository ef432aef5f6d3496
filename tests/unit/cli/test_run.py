"""The command line of run: exit statuses, flags that contradict each other, reports, and what --check touches."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import skoopctl.recorded
from skoopctl.cli import main
from skoopctl.cli.run import exit_code
from skoopctl.runs.as_json import run_schema
from skoopctl.runs.result import Looked
from tests.support.broken import drop_vxlan, nothing, unknown_match
from tests.support.results import PATH, plan_of, result_of

RECORDED = Path(skoopctl.recorded.__file__).parent
HEALTHY, BROKEN = RECORDED / "healthy.skoop", RECORDED / "broken.skoop"


@dataclass
class Printed:
    """What one run did."""

    code: int
    out: str
    err: str


Run = Callable[..., Printed]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run ``skoopctl run`` in this process, with a state folder of its own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    def once(*args: str) -> Printed:
        monkeypatch.setattr(sys, "argv", ["skoopctl", "run", *args])
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return Printed(stop.value.code if isinstance(stop.value.code, int) else 1, captured.out, captured.err)

    return once


@pytest.mark.parametrize(
    ("damage", "statuses", "plan", "code"),
    [
        (nothing, ("ok", "ok"), {}, 0),
        (drop_vxlan, ("ok", "ok"), {}, 1),
        (drop_vxlan, ("ok", "ok"), {"fail-on": "fatal"}, 1),
        (unknown_match, ("ok", "ok"), {}, 0),
        (unknown_match, ("ok", "ok"), {"fail-on": "warning"}, 1),
        (unknown_match, ("ok", "ok"), {"inspections": ["dns"], "paths": [PATH]}, 3),
        (nothing, ("ok", "ok"), {"paths": [PATH]}, 0),
        (nothing, ("ok", "ok"), {"paths": [{**PATH, "expect": "blocked"}]}, 1),
        (nothing, ("ok", "ok"), {"paths": [{**PATH, "expect": "blocked", "severity": "info"}]}, 1),
        (nothing, ("ok", "ok"), {"paths": [{**PATH, "to": "pod/demo/gone"}]}, 3),
        (nothing, ("ok", "ok", "timeout"), {}, 3),
        (nothing, ("ok", "ok", "timeout"), {"fail-percent": 33}, 3),
        (nothing, ("ok", "ok", "timeout"), {"fail-percent": 34}, 0),
        (drop_vxlan, ("ok", "ok", "timeout"), {}, 1),
        (nothing, ("timeout", "denied"), {"fail-percent": 100}, 4),
    ],
)
def test_the_exit_status_tells_a_sick_cluster_from_a_blind_tool(
    damage: Any, statuses: tuple[str, ...], plan: dict[str, Any], code: int
) -> None:
    """0 clean, 1 findings, 3 not all was seen, 4 nothing was."""
    assert exit_code(result_of(damage, statuses=statuses, **plan), plan_of(**plan)) == code


def test_an_api_that_failed_is_not_clean() -> None:
    """Asked for and not had: 3; not asked for: 0."""
    failed = result_of(api="forbidden")
    assert exit_code(failed, plan_of(), api_asked=True) == 3
    assert exit_code(result_of(), plan_of()) == 0


def test_a_fault_of_ours_is_a_bug() -> None:
    """An inspection that broke off makes it 70, whatever else was found."""
    result = replace(result_of(drop_vxlan), looked=(Looked("mesh", "", {}, "KeyError: 'x'"),))
    assert exit_code(result, plan_of()) == 70


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "no plan is given (skoopctl run --list shows the built-in ones)"),
        (("quick",), "give either -i INVENTORY or --bundle FILE"),
        (("quick", "-i", "a", "--bundle", "b"), "give either -i INVENTORY or --bundle FILE"),
        (("quick", "--bundle", "b", "--check"), "--check goes with -i, not with --bundle"),
        (("quick", "--bundle", "b", "--retry-failed"), "--retry-failed goes with -i"),
        (("quick", "--bundle", "b", "-l", "n1"), "--limit goes with -i"),
        (("quik", "--bundle", "b"), "quik: there is no plan 'quik' (did you mean 'quick'?"),
        (("quick", "-i", "/nowhere.yaml"), "/nowhere.yaml: "),
        (("quick", "--bundle", "/nowhere.skoop"), "/nowhere.skoop: "),
        (("quick", "--bundle", "b", "--push", "gateway:9091"), "--push gateway:9091: not a gateway's URL"),
        (("quick", "--bundle", "b", "--push", "http://u:secret@gw"), "--push gw: not a gateway's URL"),
        (("quick", "--bundle", "b", "--fail-on", "bad"), "'bad' is not one of"),
    ],
)
def test_a_mistake_is_one_line_and_exit_status_2(run: Run, args: tuple[str, ...], said: str) -> None:
    """What is wrong with the command line, and no secret of it."""
    printed = run(*args)
    assert printed.code == 2
    assert said in printed.err.splitlines()[-1]
    assert "secret" not in printed.err
    assert printed.out == ""


def test_a_bundle_is_inspected_without_asking_anybody(run: Run) -> None:
    """The recorded demo: broken, the nightly plan finds the rule; healthy, it finds nothing."""
    broken = run("nightly", "--bundle", str(BROKEN))
    assert broken.code == 1
    assert "-A INPUT -s 192.168.3.87/32 -j DROP" in broken.out
    assert "(tried in the model)" in broken.out
    healthy = run("nightly", "--bundle", str(HEALTHY))
    assert (healthy.code, healthy.err) == (0, "")
    assert healthy.out.rstrip().splitlines()[-1].startswith("no findings")


def test_quiet_says_nothing_when_all_is_well(run: Run, tmp_path: Path) -> None:
    """Cron sends a mail for every word: there is none for a healthy cluster, and findings for a broken one."""
    well = run("nightly", "--bundle", str(HEALTHY), "--quiet")
    assert (well.code, well.out, well.err) == (0, "", "")
    ill = run("nightly", "--bundle", str(BROKEN), "--quiet")
    assert ill.code == 1
    assert "netfilter-drop" in ill.out
    assert not (tmp_path / "state").exists()


def test_json_is_one_object_as_published(run: Run) -> None:
    """Standard output is the object and nothing else."""
    printed = run("nightly", "--bundle", str(BROKEN), "--json")
    found = json.loads(printed.out)
    jsonschema.Draft202012Validator(run_schema()).validate(found)
    assert printed.err == ""
    assert [f["id"] for f in found["findings"]] == ["netfilter-drop"]


def test_reports_are_written_beside_the_plan(run: Run, tmp_path: Path) -> None:
    """Three formats, names filled in, each whole; one that cannot be written is a line, not the run's end."""
    plan = tmp_path / "shop.yaml"
    plan.write_text(
        "inspections: [mesh]\nreports:\n"
        "  - {format: json, file: '{plan}.json'}\n"
        "  - {format: html, file: '{plan}-{time}.html'}\n"
        "  - {format: text, file: '{cluster}.txt'}\n"
        "  - {format: text, file: /nowhere/report.txt}\n",
        encoding="utf-8",
    )
    printed = run(str(plan), "--bundle", str(BROKEN))
    assert printed.code == 1
    assert "/nowhere/report.txt: the report cannot be written: No such file or directory" in printed.err
    assert json.loads((tmp_path / "shop.json").read_text())["plan"] == "shop"
    (page,) = tmp_path.glob("shop-*.html")
    assert page.read_text().rstrip().endswith("</html>")
    assert "netfilter-drop" in (tmp_path / "inventory.txt").read_text()


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    """Write an inventory whose hosts nobody can reach."""
    (tmp_path / "key").write_text("no key", encoding="utf-8")
    file = tmp_path / "prod.yaml"
    file.write_text(
        "all:\n  vars: {ansible_user: op, ansible_become: true, ansible_port: 1, ansible_ssh_private_key_file: key}\n"
        "  hosts: {n1: {ansible_host: 127.0.0.1}, n2: {ansible_host: 127.0.0.1, ansible_become_user: net}}\n",
        encoding="utf-8",
    )
    return file


def test_check_prints_everything_and_touches_nothing(run: Run, inventory: Path, tmp_path: Path) -> None:
    """Hosts, users, commands, bytes, what would be pushed and written; no folder is made for it."""
    printed = run("quick", "-i", str(inventory), "--check", "--push", "http://gw:9091")
    assert printed.code == 0
    for words in (
        "n1: ssh op@127.0.0.1:1, as root",
        "n2: ssh op@127.0.0.1:1, as net",
        "sudo -n -- sh -c",
        "Its standard input: the node program, ",
        "Pushes to: http://gw:9091",
        "API: not asked",
    ):
        assert words in printed.out
    assert not (tmp_path / "state").exists()
    found = json.loads(run("quick", "-i", str(inventory), "--check", "--json").out)
    assert [host["becomes"] for host in found["hosts"]] == ["root", "net"]


def test_hosts_that_do_not_answer_are_rows_and_exit_status_4(
    run: Run, inventory: Path, tmp_path: Path
) -> None:
    """Nobody was collected: every host has its line, and the result is kept for the next run."""
    printed = run("quick", "-i", str(inventory))
    assert printed.code == 4
    assert printed.out.startswith("quick on prod: 0 of 2 hosts collected\n")
    assert [line.split()[:2] for line in printed.out.splitlines()[1:3]] == [
        ["n1", "auth-failed"],
        ["n2", "auth-failed"],
    ]
    assert printed.out.splitlines()[-1].startswith("nothing was inspected, ")
    (kept,) = (tmp_path / "state/skoopctl/runs/prod/quick").glob("*.json")
    assert json.loads(kept.read_text())["coverage"]["collected"] == 0


def test_retry_failed_needs_a_last_run(run: Run, inventory: Path) -> None:
    """Without one it says so; with one it asks only who failed."""
    first = run("quick", "-i", str(inventory), "--retry-failed")
    assert first.code == 2
    assert "this plan has not run on this cluster yet" in first.err
    run("quick", "-i", str(inventory), "-l", "n1")
    again = run("quick", "-i", str(inventory), "--retry-failed")
    assert again.code == 4
    assert again.out.startswith("quick on prod: 0 of 1 hosts collected\n")


def test_a_limit_outside_of_the_plans_hosts_is_an_error(run: Run, inventory: Path, tmp_path: Path) -> None:
    """A typing mistake must not look like a clean cluster."""
    plan = tmp_path / "one.yaml"
    plan.write_text("inspections: [mesh]\nhosts: n1\n", encoding="utf-8")
    printed = run(str(plan), "-i", str(inventory), "-l", "n2")
    assert printed.code == 2
    assert "--limit n2 leaves none of the plan's hosts (n1)" in printed.err


def test_a_gateway_that_fails_is_a_warning(run: Run) -> None:
    """The run's exit status stays what the cluster's state makes it."""
    printed = run("nightly", "--bundle", str(HEALTHY), "--push", "http://127.0.0.1:1")
    assert printed.code == 0
    assert "http://127.0.0.1:1: the gateway cannot be reached" in printed.err
    assert "(the run itself is not affected)" in printed.err


def test_the_list_names_everything(run: Run) -> None:
    """Plans, inspections and thresholds, as text and as JSON."""
    from skoopctl.checks.inspections import INSPECTIONS, THRESHOLDS

    text = run("--list").out
    found = json.loads(run("--list", "--json").out)
    for name in (*INSPECTIONS, *THRESHOLDS, *found["plans"]):
        assert f"  {name} " in text
    assert set(found["inspections"]) == set(INSPECTIONS)


def test_a_run_writes_the_report_that_is_asked_for(run: Run, tmp_path: Path) -> None:
    """--report goes by the ending of its name, in the language asked for; the recap is printed all the same."""
    target = tmp_path / "nightly.md"
    printed = run(
        "nightly", "--bundle", str(BROKEN), "--report", str(target), "--lang", "zh", "--asked-by", "ops"
    )
    assert printed.code == 1
    assert "netfilter-drop" in printed.out
    assert f"report: {target}" in printed.err
    text = target.read_text(encoding="utf-8")
    assert "提问者: ops" in text
    assert "防火墙规则丢弃了包" in text


def test_a_report_that_cannot_be_written_is_refused_before_anything_is_asked(run: Run) -> None:
    """A wrong ending or folder is an error of usage, not of a run that has already taken its time."""
    for name, said in (("x.txt", "the name must end in"), ("/nowhere/at/all/x.pdf", "there is no folder")):
        printed = run("quick", "--bundle", "/nowhere.skoop", "--report", name)
        assert printed.code == 2
        assert f"--report {name}: {said}" in printed.err


def test_the_second_runs_report_has_the_first_in_its_trend(run: Run, inventory: Path, tmp_path: Path) -> None:
    """What is kept of earlier runs is read for the report; a run in which nobody answered is told of too."""
    target, plan = tmp_path / "r.json", tmp_path / "p.yaml"
    plan.write_text(
        "inspections: [mesh]\ndeadlines: {connect: 1, program: 1, host: 2, run: 4}\n", encoding="utf-8"
    )
    started = []
    for _ in range(2):
        printed = run(str(plan), "-i", str(inventory), "-q", "--report", str(target))
        assert printed.code == 4
        context = json.loads(target.read_text(encoding="utf-8"))
        started.append(context["started"])
        deadline = time.monotonic() + 5
        while f"{datetime.now(UTC):%S}" == started[-1][17:19] and time.monotonic() < deadline:
            threading.Event().wait(0.05)
    assert [row["started"] for row in context["trend"]] == started
    assert context["coverage"]["sentence"] == "0 of 2 hosts collected"
