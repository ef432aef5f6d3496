"""Faults on the real kernel: each breaks what it says, and is undone exactly."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from skoopctl.errors import LabError
from skoopctl.lab import Backend, Lab, LabOptions, Outcome, ProxyMode
from skoopctl.lab.commands import run_in
from skoopctl.lab.faults import faults_for
from skoopctl.lab.topology import plan_lab

sys.path.insert(0, str(Path(__file__).parent))
from running_lab import MODES, PATIENCE_S, TIMEOUT_S, named

from tests.lab.node_host import wait_until

pytestmark = pytest.mark.lab

Snapshot = Mapping[str, Mapping[str, object]]


def snapshot(lab: Lab) -> Snapshot:
    """Return the state of the places that faults touch, without what the kernel counts and learns."""
    places = {node.name: node.netns for node in lab.nodes}
    for key in ("tools/demo-5bf67dcbc9-hxtmt", "tools/tools-74bdbfc69d-q4h8h"):
        places[key] = f"/proc/{lab.pids[key]}/ns/net"
    return {place: state_of(netns) for place, netns in places.items()}


def state_of(netns: str) -> Mapping[str, object]:
    """Return the state of one network namespace."""

    def lines(*argv: str) -> list[str]:
        return run_in(netns, argv).splitlines()

    links = json.loads(run_in(netns, ["ip", "-d", "-j", "link"]))
    return {
        "nft": [re.sub(r"packets \d+ bytes \d+", "", line) for line in lines("nft", "list", "ruleset")],
        # The legacy store cannot forget a table once it was used: an empty one is as good as none.
        "legacy": [line for line in lines("iptables-legacy-save") if line[0] == "-"],
        "routes": sorted(lines("ip", "route", "show", "table", "all")),
        "rules": lines("ip", "rule"),
        "neighbours": sorted(line for line in lines("ip", "neigh") if "PERMANENT" in line),
        "fdb": sorted(line for line in lines("bridge", "fdb") if "permanent" in line),
        "links": [
            (link["ifname"], sorted(link["flags"]), link.get("master"), hairpin(link)) for link in links
        ],
        "sysctls": [
            line for line in lines("sysctl", "-a") if re.search(r"ipv4\.conf|ip_forward|bridge-nf", line)
        ],
        "listeners": sorted(re.findall(r"LISTEN.*?:(\d+) ", "\n".join(lines("ss", "-Hltn")))),
    }


def hairpin(link: dict[str, Any]) -> bool:
    """Return whether a link is a bridge port in hairpin mode."""
    return bool(link.get("linkinfo", {}).get("info_slave_data", {}).get("hairpin"))


DEMO, CALLER = ("tcp", "10.244.2.201", 8080), "10.244.3.70"
WITNESSES = {
    "hairpin-off": ("10.244.2.201", ("tcp", "10.96.10.9", 8080), Outcome.TIMEOUT),
    "bridge-nf-off": ("10.244.2.199", ("tcp", "10.96.10.9", 8080), Outcome.TIMEOUT),
    "input-reject": (CALLER, ("tcp", "192.168.3.86", 9100), Outcome.UNREACHABLE),
    "listener-gone": (CALLER, DEMO, Outcome.REFUSED),
    "forward-reset": (CALLER, DEMO, Outcome.REFUSED),
    "forward-reject": (CALLER, DEMO, Outcome.UNREACHABLE),
    "route-unreachable": (CALLER, DEMO, Outcome.UNREACHABLE),
    "route-prohibit": (CALLER, DEMO, Outcome.UNREACHABLE),
    "route-wrong-device": (CALLER, DEMO, Outcome.UNREACHABLE),
    "neigh-missing": (CALLER, DEMO, Outcome.UNREACHABLE),
    "service-chain-empty": (CALLER, ("tcp", "10.96.10.1", 80), Outcome.TIMEOUT),
    "masquerade-missing": ("outside", ("tcp", "192.168.3.86", 30080), None),
    "stale-endpoint": (CALLER, ("tcp", "10.96.10.1", 80), None),
}
"""Where a fault shows, if not as a timeout of the manual's flow; None where it is a matter of chance."""
HOST_ONLY = {"input-drop", "output-drop"}
"""Without a tunnel, forwarded packets do not meet these: nodes' own traffic does."""


def cases() -> Iterator[Any]:
    """Yield every fault of the usual lab, and for the other labs those that run something else there."""
    usual = {fault.name: fault for fault in faults_for(plan_lab(LabOptions()))}
    for options in MODES:
        for fault in faults_for(plan_lab(options)):
            same = usual[fault.name] if options != LabOptions() else None
            if (
                same is None
                or (fault.steps, fault.undo) != (same.steps, same.undo)
                or fault.name == "input-drop"
            ):
                yield pytest.param(options, fault.name, id=f"{named(options)}-{fault.name}")


@pytest.mark.parametrize(("options", "name"), list(cases()))
def test_a_fault_breaks_what_it_says_and_is_undone_exactly(
    lab_of: Callable[[LabOptions], Lab], options: LabOptions, name: str
) -> None:
    """Each fault changes the kernel, shows in a real connection, and leaves the kernel as it found it."""
    lab = lab_of(options)
    (fault,) = [fault for fault in lab.faults() if fault.name == name]
    usual = Outcome.CONNECTED if fault.harmless else Outcome.TIMEOUT
    source, flow, expected = WITNESSES.get(name, (CALLER, DEMO, usual))
    if name in HOST_ONLY and options.backend is Backend.HOST_GW:
        source, flow = "node/node2-c4", ("tcp", "192.168.3.86", 9100)
    if name == "service-chain-empty" and options.proxy is ProxyMode.NFTABLES:
        expected = Outcome.REFUSED
    before = snapshot(lab)
    assert lab.probe(source, [flow], timeout_s=PATIENCE_S)[0].outcome is Outcome.CONNECTED

    assert lab.apply_fault(name)
    assert lab.applied_faults() == (name,)
    broken = snapshot(lab)
    silent = expected is None or expected is Outcome.TIMEOUT
    (seen,) = lab.probe(source, [flow], timeout_s=TIMEOUT_S if silent else PATIENCE_S)
    chances = lab.probe(source, [flow] * 40, timeout_s=2 * TIMEOUT_S) if expected is None else ()
    assert lab.undo_fault(name)

    assert broken != before
    if expected is None:
        assert {result.outcome for result in chances} > {Outcome.CONNECTED}
    else:
        assert seen.outcome is expected
    # A device that is up again has its carrier and its routes a moment later.
    assert wait_until(lambda: snapshot(lab) == before), (before, snapshot(lab))
    assert lab.probe(source, [flow], timeout_s=PATIENCE_S)[0].outcome is Outcome.CONNECTED


def test_applying_twice_and_undoing_twice_do_nothing_the_second_time(lab: Lab) -> None:
    """A rule is never inserted twice, and an absent one is no error."""
    assert lab.apply_fault("input-drop")
    assert not lab.apply_fault("input-drop")
    rules = run_in("skoop-lab-node1-c4", ["iptables-nft", "-S", "INPUT"]).splitlines()
    assert rules.count("-A INPUT -s 192.168.3.87/32 -j DROP") == 1
    assert lab.undo_fault("input-drop")
    assert not lab.undo_fault("input-drop")


def test_a_fault_that_fails_half_way_leaves_no_trace(lab: Lab) -> None:
    """When a later command of a fault fails, the earlier ones are undone, and it is not applied."""
    run_in(
        "skoop-lab-node2-c4",
        ["ip", "rule", "add", "from", "10.244.3.70", "lookup", "100", "priority", "1000"],
    )
    try:
        with pytest.raises(LabError, match="rule add"):
            lab.apply_fault("policy-route")
        assert lab.applied_faults() == ()
    finally:
        subprocess.run(
            ["ip", "-n", "skoop-lab-node2-c4", "rule", "del", "priority", "1000"],
            check=False,
            capture_output=True,
        )
    assert "default" not in run_in("skoop-lab-node2-c4", ["ip", "route", "show", "table", "all"]).replace(
        "default via 192.168.3.99 dev ens192 \n", ""
    )
