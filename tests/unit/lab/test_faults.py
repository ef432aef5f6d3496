"""The table of faults, without running any."""

from __future__ import annotations

import itertools
import shlex

import pytest

from skoopctl.errors import LabError
from skoopctl.lab import Backend, IptablesFlavour, LabOptions, ProxyMode
from skoopctl.lab.faults import fault_titles, faults_for, make_fault
from skoopctl.lab.topology import plan_lab

LABS = [
    LabOptions(proxy=proxy, backend=backend, iptables=flavour)
    for proxy, backend, flavour in itertools.product(ProxyMode, Backend, IptablesFlavour)
]


def test_the_manuals_fault_is_the_manuals_command() -> None:
    """input-drop runs on node1 what the manual says, and takes exactly that back."""
    fault = make_fault(plan_lab(LabOptions()), "input-drop")
    assert [str(step) for step in fault.steps] == ["node1-c4: iptables -I INPUT -s 192.168.3.87 -j DROP"]
    assert [str(step) for step in fault.undo] == ["node1-c4: iptables -D INPUT -s 192.168.3.87 -j DROP"]


@pytest.mark.parametrize("options", LABS, ids=lambda o: f"{o.proxy}-{o.backend}-{o.iptables}")
def test_every_fault_says_what_it_does_and_how_to_undo_it(options: LabOptions) -> None:
    """Each has a title, steps and undoing steps, at places that the lab has."""
    plan = plan_lab(options)
    places = {*plan.host_names, *(pod.key for pod in plan.pods)}
    faults = list(faults_for(plan))
    assert len(faults) >= 30
    for fault in faults:
        assert fault.title
        assert fault.steps
        assert fault.undo
        assert {step.where for step in (*fault.steps, *fault.undo)} <= places


def test_what_is_inserted_is_deleted() -> None:
    """Each iptables -I of the table has its -D, with the same rule, in reverse order."""
    for fault in faults_for(plan_lab(LabOptions())):
        added = [str(step) for step in fault.steps if " -I " in str(step)]
        removed = [str(step) for step in fault.undo if " -D " in str(step)]
        if added:
            assert [line.replace(" -I ", " -D ") for line in reversed(added)] == removed


def test_an_unknown_fault_is_answered_with_the_nearest() -> None:
    """A typing error gets a suggestion."""
    with pytest.raises(LabError, match="did you mean input-drop"):
        make_fault(plan_lab(LabOptions()), "inputdrop")
    with pytest.raises(LabError, match="fault list"):
        make_fault(plan_lab(LabOptions()), "zzzzzz")


def test_a_tunnels_fault_needs_a_tunnel() -> None:
    """A fault of the VXLAN backend is refused in a lab without one, with the flag that helps."""
    with pytest.raises(LabError, match=r"needs the vxlan backend.*--backend vxlan"):
        make_fault(plan_lab(LabOptions(backend=Backend.HOST_GW)), "fdb-missing")
    names = {fault.name for fault in faults_for(plan_lab(LabOptions(backend=Backend.HOST_GW)))}
    assert "fdb-missing" not in names
    assert "fdb-missing" in fault_titles()


def test_steps_read_as_commands() -> None:
    """What is shown of a step can be pasted into a shell."""
    for fault in faults_for(plan_lab(LabOptions())):
        for step in fault.steps:
            where, _, line = str(step).partition(": ")
            assert where == step.where
            assert shlex.split(line.partition(" <<< ")[0])[: len(step.argv)] == list(step.argv) or step.signal
