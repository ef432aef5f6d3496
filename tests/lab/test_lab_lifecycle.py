"""Building labs and taking them down, whole and half built: nothing of one is left."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from skoopctl.errors import LabError
from skoopctl.lab import Lab, LabOptions, ProxyMode
from skoopctl.lab import down as take_down
from skoopctl.lab import up as build
from skoopctl.lab.processes import lab_processes

sys.path.insert(0, str(Path(__file__).parent))
from running_lab import CLEAN, DEADLINE_S, PATIENCE_S, machines_network, remains, skoopctl, ssh

from tests.lab.sshd_host import in_time
from tests.support.floods import flooding

pytestmark = pytest.mark.lab

STEPS = range(8)
"""``lab up`` says this many steps; each is a moment to be interrupted at."""


@pytest.mark.usefixtures("no_lab")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("step", STEPS)
def test_an_interrupt_at_any_step_leaves_nothing(step: int, number: signal.Signals) -> None:
    """Whatever is being built when the signal comes, all of it goes, and the exit code says interrupted."""
    with skoopctl("lab", "up") as child:
        assert child.stderr is not None
        for _ in range(step + 1):
            assert child.stderr.readline().startswith("lab: ")
        os.killpg(child.pid, number)
        _, said = child.communicate(timeout=DEADLINE_S)
    if step == STEPS[-1] and child.returncode == 0:  # it was up before the signal came
        assert Lab.load().nodes
        return
    assert child.returncode == 130, said
    assert said.splitlines()[-1] == "skoopctl: interrupted"
    assert remains() == CLEAN


@pytest.mark.usefixtures("no_lab")
@pytest.mark.parametrize("step", STEPS)
def test_down_cleans_up_after_a_build_that_was_killed(step: int) -> None:
    """After SIGKILL at any step, ``lab down`` finds everything; a second one finds nothing."""
    with skoopctl("lab", "up") as child:
        assert child.stderr is not None
        for _ in range(step + 1):
            child.stderr.readline()
        child.kill()
        child.communicate(timeout=DEADLINE_S)
    with pytest.raises(LabError, match="already there"):
        build(LabOptions())
    for words in ("gone", "there was none"):
        with skoopctl("lab", "down") as child:
            _, said = child.communicate(timeout=DEADLINE_S)
        assert (child.returncode, said.strip()) == (0, f"lab: {words}")
        assert remains() == CLEAN


@pytest.mark.usefixtures("no_lab")
def test_a_lab_is_quick_and_leaves_the_machines_network_alone() -> None:
    """Three nodes are up in time; neither they nor their end change the machine's own network."""
    before = machines_network()
    others = Path("/run/netns").exists()
    start = time.monotonic()
    lab = build(LabOptions())
    assert time.monotonic() - start < in_time(15)
    assert machines_network() == before
    lab.down()
    assert machines_network() == before
    assert remains() == CLEAN
    assert others or not Path("/run/netns").exists() or any(Path("/run/netns").iterdir()), "nobody else's"


@pytest.mark.usefixtures("no_lab")
@flooding()
def test_fifty_nodes_come_up() -> None:
    """A lab of 50 nodes is up within a minute, and pods at its ends reach each other."""
    start = time.monotonic()
    lab = build(LabOptions(nodes=50))
    assert time.monotonic() - start < in_time(60)
    (result,) = lab.probe("10.244.3.70", [("tcp", "10.244.50.10", 8080)], timeout_s=PATIENCE_S)
    assert result.who == "spare-49"
    assert len(ssh(lab, "node49-c4", "bridge fdb show dev flannel.1").splitlines()) == 49
    start = time.monotonic()
    lab.down()
    assert time.monotonic() - start < in_time(15)
    assert remains() == CLEAN


@pytest.mark.usefixtures("no_lab")
def test_a_second_lab_is_refused_unless_it_replaces_the_first() -> None:
    """The error says how; --replace builds another in its place."""
    first = build(LabOptions())
    with pytest.raises(LabError, match=r"already there.*--replace"):
        build(LabOptions())
    second = build(LabOptions(proxy=ProxyMode.NFTABLES), replace=True)
    assert Lab.load().options.proxy is ProxyMode.NFTABLES
    assert not set(first.pids.values()) & set(second.pids.values())


@pytest.mark.usefixtures("no_lab")
def test_a_failing_step_takes_down_what_was_built(monkeypatch: pytest.MonkeyPatch) -> None:
    """When a command fails in the middle, its own words are the error, and nothing is left."""
    monkeypatch.setattr("skoopctl.lab.build.admin_lines", lambda: ["link set nothing up"])
    with pytest.raises(LabError, match='Cannot find device "nothing"'):
        build(LabOptions())
    assert remains() == CLEAN


@pytest.mark.usefixtures("no_lab")
def test_without_control_groups_the_command_line_names_the_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without control groups, status says so and a pod's UID stands in its process's arguments."""
    monkeypatch.setattr("skoopctl.lab.build.make_cgroups", lambda _: None)
    lab = build(LabOptions())
    pod = lab.plan.pod("tools/web-a")
    assert pod.uid in ssh(lab, pod.node, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    assert "command line" in lab.summary()["pod_identity"]


@pytest.mark.usefixtures("no_lab")
def test_only_a_dead_lab_is_taken_down_when_asked_so() -> None:
    """``lab down --dead`` leaves a lab that runs or is being built, and removes what a crash has left."""
    with skoopctl("lab", "up") as child:
        assert child.stderr is not None
        child.stderr.readline()
        assert not take_down(only_dead=True), "it is being built"
        child.communicate(timeout=DEADLINE_S)
    assert Lab.load().nodes
    assert not take_down(only_dead=True), "it runs"
    for pid in lab_processes():
        with contextlib.suppress(ProcessLookupError):  # a host's first process takes the others along
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + DEADLINE_S
    while any(lab_processes()) and time.monotonic() < deadline:
        time.sleep(0.01)
    with skoopctl("lab", "down", "--dead") as child:
        _, said = child.communicate(timeout=DEADLINE_S)
    assert (child.returncode, said.strip()) == (0, "lab: gone")
    assert remains() == CLEAN


@pytest.mark.usefixtures("no_lab")
def test_a_dead_host_is_noticed() -> None:
    """A lab in which a host has died is not used, and the error names the host."""
    broken = build(LabOptions())
    try:
        os.kill(broken.pids["node2-c4"], signal.SIGKILL)
        deadline = time.monotonic() + DEADLINE_S
        while Path(f"/proc/{broken.pids['tools/web-b']}/ns/net").exists():
            assert time.monotonic() < deadline
        with pytest.raises(LabError, match=r"damaged.*node2-c4"):
            Lab.load()
    finally:
        take_down()
