"""The commands against the running lab, over real SSH: good days and bad ones."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import pytest
import yaml

from skoopctl.lab import Lab
from skoopctl.report.jsonout import schema

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]
COMMAND = (sys.executable, "-c", "from skoopctl.cli import main; main()")
ROOT = Path(__file__).parents[2]
PAIR = ("-s", "10.244.3.70", "-d", "10.244.2.201", "-p", "8080")


def run(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run skoopctl as a person would."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def inventory_with(lab: Lab, tmp_path: Path, host: str, **variables: object) -> Path:
    """Return a copy of the lab's inventory in which one host has other variables."""
    document = yaml.safe_load(lab.inventory.read_text())
    groups = [document["all"], *document["all"].get("children", {}).values(), *document.values()]
    for group in groups:
        hosts = (group or {}).get("hosts") or {}
        if host in hosts:
            hosts[host] = {**(hosts[host] or {}), **variables}
    path = tmp_path / "inventory.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def test_a_healthy_path_passes(lab: Lab) -> None:
    """A working path exits 0, and its JSON keeps to the published schema."""
    done = run("diagnose", "-i", "lab", *PAIR, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    jsonschema.validate(found, schema())
    assert (found["verdict"], found["outcome"]) == ("PASS", "connected")
    assert found["source"]["name"] == "tools/tools-74bdbfc69d-q4h8h"
    assert lab.options.nodes == 3


def test_without_any_api_addresses_are_enough(lab: Lab, tmp_path: Path) -> None:
    """The manual's fault is found by addresses alone, with what was collected kept in a bundle."""
    kept = tmp_path / "kept.skoop"
    lab.apply_fault("input-drop")
    try:
        live = run("diagnose", "-i", lab.inventory, *PAIR, "--json", "--save", kept)
    finally:
        lab.undo_fault("input-drop")
    again = run("diagnose", "--bundle", kept, *PAIR, "--json")
    assert live.returncode == again.returncode == 1, live.stderr + again.stderr
    assert live.stdout == again.stdout
    cause = json.loads(live.stdout)["findings"][0]
    assert cause["id"] == "netfilter-drop"
    assert cause["where"]["node"] == "node1-c4"
    assert "-A INPUT -s 192.168.3.87/32 -j DROP" in cause["evidence"][-1]["text"]
    assert cause["fix"]["checked"] is True


def test_a_node_that_refuses_costs_its_row(lab: Lab, tmp_path: Path) -> None:
    """A node without an SSH server is named; the path through it is unknown, not guessed."""
    inventory = inventory_with(lab, tmp_path, "node1-c4", ansible_port=2222)
    done = run("diagnose", "-i", inventory, *PAIR)
    assert done.returncode == 3
    assert "node1-c4: unreachable" in done.stderr
    assert "3 of 4 hosts collected" in done.stdout
    assert "UNKNOWN:" in done.stdout
    assert "node1-c4" in done.stdout.split("UNKNOWN:")[1]


def test_a_changed_host_key_is_fatal_for_that_host_only(lab: Lab, tmp_path: Path) -> None:
    """A host whose key is not the known one is not talked to; paths elsewhere are still decided."""
    lines = (lab.inventory.parent / "known_hosts").read_text().splitlines()
    keys = {line.split()[0].split(",")[0]: line for line in lines if line.strip()}
    other = keys["192.168.3.85"].split(" ", 1)[1]
    swapped = [
        f"192.168.3.86,node1-c4 {other}" if ip == "192.168.3.86" else line for ip, line in keys.items()
    ]
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_text("\n".join(swapped) + "\n")
    inventory = inventory_with(lab, tmp_path, "node1-c4", skoop_known_hosts=str(known_hosts))
    done = run("diagnose", "-i", inventory, "-s", "10.244.3.70", "-d", "192.168.3.87", "-p", "9100")
    assert "node1-c4: auth-failed" in done.stderr
    assert "ssh-keygen -R" in done.stderr
    assert "PASS:" in done.stdout
    assert done.returncode == 3


def test_nobody_collected(lab: Lab, tmp_path: Path) -> None:
    """When no host answers there is nothing to say, and the exit status says so."""
    inventory = inventory_with(lab, tmp_path, "node1-c4", ansible_port=2222)
    done = run("diagnose", "-i", inventory, "--limit", "node1-c4", *PAIR)
    assert done.returncode == 4
    assert "0 of 1 hosts collected" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("-s", "10.244.3.70", "-d", "pod/tools/demo-5bf67dcbc9-hxtmx"),
            "did you mean tools/demo-5bf67dcbc9-hxtmt?",
        ),
        (("-s", "node/node9-c4", "-d", "10.244.2.201", "-p", "1"), "there is no node node9-c4"),
        (("-s", "203.0.113.9", "-d", "10.244.2.201", "-p", "80"), "203.0.113.9 was not collected"),
        (("-s", "10.244.3.70", "-d", "10.244.2.201"), "give one with -p"),
        (("-d", "10.244.2.201"), "-s missing"),
    ],
)
def test_a_wrong_question_gets_one_clear_line(lab: Lab, arguments: tuple[str, ...], message: str) -> None:
    """An end that means nothing is one line on standard error and exit status 2."""
    assert lab.inventory.exists()
    done = run("diagnose", "-i", "lab", "-q", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_a_service_without_endpoints_and_an_address_that_is_nowhere(lab: Lab, tmp_path: Path) -> None:
    """Each has a finding of its own; --flows answers line by line, and goes on after a bad one."""
    flows = tmp_path / "flows.jsonl"
    empty = next(s for s in lab.services if s.name == "empty")
    flows.write_text(
        f'{{"source": "10.244.3.70", "destination": "svc/{empty.key}"}}\n'
        '{"source": "10.244.3.70", "destination": "10.244.2.77", "port": 80}\n'
        "nonsense\n"
        '{"source": "10.244.3.70", "destination": "10.244.2.201", "port": 81}\n'
    )
    done = run("diagnose", "-i", "lab", "-q", "--flows", flows, "--json")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == 4
    assert rows[0]["findings"][0]["id"] == "service-without-endpoints"
    assert rows[1]["findings"][0]["id"] == "address-nowhere"
    assert "flows.jsonl:3: not JSON" in rows[2]["error"]
    assert rows[3]["findings"][0]["id"] == "no-listener"
    assert done.returncode == 1


@pytest.mark.usefixtures("no_lab")
def test_the_demo_finds_its_fault_and_leaves_nothing(tmp_path: Path) -> None:
    """The live demo exits 0, writes its report, and takes its lab down."""
    done = run("demo", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "A real connect() from the pod: timeout." in done.stdout
    assert (tmp_path / "skoopctl-demo.html").stat().st_size > 10_000
    assert not Path("/run/skoopctl-lab").exists()


@pytest.mark.usefixtures("no_lab")
def test_an_interrupted_demo_leaves_nothing(tmp_path: Path) -> None:
    """Ctrl-C in the middle of the demo ends it with 130, and the lab is gone."""
    process = subprocess.Popen(
        [*COMMAND, "demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
    )
    try:
        deadline = time.monotonic() + 100
        assert process.stdout is not None
        while "The lab is up" not in process.stdout.readline():
            assert time.monotonic() < deadline
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert not Path("/run/skoopctl-lab").exists()
