"""``skoopctl run`` on the lab: from inventory to findings, as cron runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from skoopctl.lab import Lab

pytestmark = pytest.mark.lab


def run(state: Path, *words: str, code: int) -> Any:
    """Run a plan on the lab as a process of its own; return its JSON."""
    command = [
        sys.executable,
        "-m",
        "skoopctl",
        "run",
        *words,
        "-i",
        "lab",
        "--state-dir",
        str(state),
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == code, done.stderr + done.stdout[-2000:]
    return json.loads(done.stdout)


def test_a_healthy_lab_is_clean(lab: Lab, tmp_path: Path) -> None:
    """Every inspection looks at something that is there, and finds nothing."""
    found = run(tmp_path, "nightly", code=0)
    assert found["findings"] == []
    assert found["coverage"]["collected"] == len(lab.nodes) + 1, "and the host outside"
    looked = {each["name"]: each["counts"] for each in found["inspections"]}
    assert all(each["fault"] == "" for each in found["inspections"])
    for name in ("mesh", "services", "dns", "endpoints", "pods", "mtu"):
        assert any(count["looked_at"] for count in looked[name]), name


@pytest.mark.parametrize(
    ("fault", "identifier"),
    [
        ("input-drop", "netfilter-drop"),
        ("route-deleted", "pod-route-missing"),
    ],
)
def test_a_fault_is_new_then_unchanged_then_gone(
    lab: Lab, tmp_path: Path, fault: str, identifier: str
) -> None:
    """Three runs: broken, still broken, mended."""
    run(tmp_path, "nightly", code=0)
    lab.apply_fault(fault)
    try:
        first = run(tmp_path, "nightly", code=1)
        assert identifier in {finding["id"] for finding in first["findings"]}
        assert all(finding["new"] for finding in first["findings"])
        second = run(tmp_path, "nightly", code=1)
        assert not any(finding["new"] for finding in second["findings"])
        assert second["changes"]["unchanged"] == len(second["findings"])
    finally:
        lab.undo_fault(fault)
    third = run(tmp_path, "nightly", code=0)
    assert len(third["changes"]["gone"]) == len(second["findings"])


def test_a_plans_paths_are_judged_on_live_nodes(lab: Lab, tmp_path: Path) -> None:
    """Reachable, refused and blocked, each as the lab's own connections are."""
    web = next(pod for pod in lab.pods if pod.name == "web-a")
    other = next(pod for pod in lab.pods if pod.name == "db-0")
    plan = tmp_path / "paths.yaml"
    plan.write_text(
        "paths:\n"
        f"  - {{from: pod/{web.key}, to: {other.address}, port: {other.ports[0].number}}}\n"
        f"  - {{from: pod/{web.key}, to: {other.address}, port: 9, expect: refused}}\n"
        f"  - {{from: pod/{web.key}, to: 10.244.9.9, port: 80, expect: blocked}}\n",
        encoding="utf-8",
    )
    found = run(tmp_path, str(plan), code=0)
    assert [path["state"] for path in found["paths"]] == ["met", "met", "met"]


def test_retry_failed_joins_what_was_kept(lab: Lab, tmp_path: Path) -> None:
    """One host was left out of reach: only it is asked again, and the result is about all of them."""
    inventory = tmp_path / "partly.yaml"
    text = lab.inventory.read_text(encoding="utf-8")
    inventory.write_text(text.replace("192.168.3.87", "192.168.3.98"), encoding="utf-8")
    command = [sys.executable, "-m", "skoopctl", "run", "quick", "--state-dir", str(tmp_path), "--json"]
    first = subprocess.run([*command, "-i", str(inventory)], capture_output=True, text=True, check=False)
    assert first.returncode in {1, 3}, first.stderr
    statuses = {row["host"]: row["status"] for row in json.loads(first.stdout)["coverage"]["hosts"]}
    assert sorted(statuses.values()) == ["ok", "ok", "ok", "unreachable"]
    inventory.write_text(inventory.read_text().replace("192.168.3.98", "192.168.3.87"), encoding="utf-8")
    again = subprocess.run(
        [*command, "-i", str(inventory), "--retry-failed"], capture_output=True, text=True, check=False
    )
    assert again.returncode == 0, again.stderr + again.stdout[-1500:]
    assert json.loads(again.stdout)["coverage"]["collected"] == len(lab.nodes) + 1


@pytest.mark.timeout(1200)
def test_the_nightly_plan_finds_every_fault(lab: Lab, tmp_path: Path) -> None:
    """Whatever the lab can have, something critical is said of it, unless it does no harm."""
    missed = []
    for fault in lab.faults():
        if fault.harmless:
            continue
        lab.apply_fault(fault.name)
        try:
            found = run(tmp_path, "nightly", code=1)
        except AssertionError as error:
            missed.append(f"{fault.name}: {str(error)[:300]}")
            continue
        finally:
            lab.undo_fault(fault.name)
        if not any(finding["severity"] in {"critical", "fatal"} for finding in found["findings"]):
            missed.append(fault.name)
    assert missed == []
