"""What is in the lab on the real kernel, and what its connections get."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from skoopctl.lab import Backend, Flow, IptablesFlavour, Lab, LabOptions, Outcome
from skoopctl.lab.commands import run_in
from skoopctl.lab.probe import probe_sources

sys.path.insert(0, str(Path(__file__).parent))
from running_lab import DEADLINE_S, MODES, PATIENCE_S, named, skoopctl, ssh

pytestmark = pytest.mark.lab

RECORDED = Path(__file__).parents[1] / "fixtures" / "kube-proxy-1.36"


@pytest.mark.parametrize("options", MODES, ids=named)
def test_every_host_answers_over_ssh(lab_of: Callable[[LabOptions], Lab], options: LabOptions) -> None:
    """Each host has its own name, network and processes, with an SSH server as process 1."""
    lab = lab_of(options)
    for host in (*(node.name for node in lab.nodes), "outside"):
        name, first, devices = ssh(lab, host, "hostname; cat /proc/1/comm; ls /sys/class/net | xargs").split(
            "\n"
        )[:3]
        assert (name, first) == (host, "sshd")
        assert "ens192" in devices.split()
        assert ("cni0" in devices.split()) == (host != "outside")
        assert ("flannel.1" in devices.split()) == (host != "outside" and options.backend is Backend.VXLAN)


def test_a_pod_can_be_found_on_its_node(lab: Lab) -> None:
    """A node's /proc shows each of its pods, in its own network, with its UID in its control group."""
    script = "for p in /proc/[0-9]*; do echo $(readlink $p/ns/net) $(tr '\\n' ' ' < $p/cgroup); done"
    for node in lab.nodes:
        lines = ssh(lab, node.name, script).splitlines()
        first = ssh(lab, node.name, "readlink /proc/1/ns/net").strip()
        for pod in lab.plan.pods_on(node.name):
            uid = pod.uid.replace("-", "_")
            (line,) = [line for line in lines if uid in line]
            assert f"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{uid}.slice/" in line
            assert (line.split()[0] == first) == pod.host_network


@pytest.mark.parametrize("options", MODES, ids=named)
def test_the_recorded_truth_comes_true(lab_of: Callable[[LabOptions], Lab], options: LabOptions) -> None:
    """Every flow recorded in a cluster with a real kube-proxy has the same outcome, from the same app."""
    lab = lab_of(options)
    truth = json.loads((RECORDED / options.proxy / "truth.json").read_text())
    sources = {
        "pod-tools-a": "tools/tools-74bdbfc69d-qf4sl",
        "pod-tools-b": "tools/tools-74bdbfc69d-q4h8h",
        "sw": "outside",
    }
    pods = {pod.name: pod.key for pod in lab.pods}
    names = {
        recorded: sources.get(recorded) or pods.get(recorded.removeprefix("pod-")) or recorded
        for recorded in truth
    }
    results = probe_sources(
        {
            lab.source(names[recorded]): [Flow(row[0], moved(row[1]), row[2]) for row in rows]
            for recorded, rows in truth.items()
        },
        timeout_s=PATIENCE_S / 2,
    )
    wrong = []
    compared = 0
    for recorded, rows in truth.items():
        for row, result in zip(rows, results[lab.source(names[recorded]).name], strict=True):
            if row[1:3] == ["192.168.3.99", 22]:
                continue  # the lab's outside host has an SSH server, the recorded one had none
            expected = row[3][0], row[3][1] if row[3][0] == "unreachable" else ""
            compared += 1
            if (result.outcome, result.errno) != expected or not plausible(lab, row, result.who):
                wrong.append((recorded, row, result))
    assert wrong == []
    assert compared == 380


def moved(address: str) -> str:
    """Return a recorded address in the lab's numbering: the recorded pod networks begin one earlier."""
    first, second, third, last = address.split(".")
    pod_network = (first, second) == ("10", "244") and int(third) < 3
    return f"{first}.{second}.{int(third) + 1}.{last}" if pod_network else address


def plausible(lab: Lab, row: Sequence[Any], who: str) -> bool:
    """Return whether a pod of the same app answered as in the recording; which one is a matter of chance."""
    if row[3][0] != "connected":
        return who == ""
    recorded = {"agent-0": "agent-m"}.get(row[3][1], row[3][1])
    apps = {pod.name: pod.app for pod in lab.pods}
    return apps[who] == apps[recorded]


def test_answers_name_the_source_that_they_see(lab: Lab) -> None:
    """A pod's address is kept on the way to a pod, and masqueraded through another node's node port."""
    direct, node_port = lab.probe(
        "10.244.3.70",
        [("tcp", "10.244.2.201", 8080), ("tcp", "192.168.3.86", 30080)],
        timeout_s=PATIENCE_S,
    )
    assert (direct.who, direct.seen) == ("demo-5bf67dcbc9-hxtmt", "10.244.3.70")
    assert node_port.seen in ("10.244.2.0", "10.244.2.1")


def test_an_address_that_nobody_has_is_unreachable_within_the_probes_time(lab: Lab) -> None:
    """A free address of a pod network gives EHOSTUNREACH, from its own node and from another."""
    flows = [("tcp", "10.244.2.77", 80)]
    for source in ("node/node1-c4", "10.244.2.199", "10.244.3.70"):
        (result,) = lab.probe(source, flows)
        assert (result.outcome, result.errno) == (Outcome.UNREACHABLE, "EHOSTUNREACH")


def test_many_refusals_at_once_are_all_seen(lab: Lab) -> None:
    """Dozens of closed ports are all refused: no limit on ICMP errors turns some into timeouts."""
    flows = [("udp", "192.168.3.86", port) for port in range(20000, 20060)]
    outcomes = {result.outcome for result in lab.probe("10.244.3.70", flows, timeout_s=PATIENCE_S)}
    assert outcomes == {Outcome.REFUSED}


def test_the_loaded_rules_are_the_generated_ones(lab: Lab) -> None:
    """What iptables-save prints on a node is what the generator wrote, rule by rule."""
    from skoopctl.lab.kubeproxy import iptables_ruleset
    from skoopctl.lab.rules import node_view, ports_on

    def rules(text: str) -> set[str]:
        return {line.rstrip() for line in text.splitlines() if line.startswith("-A ")}

    for node in lab.nodes:
        made = rules(iptables_ruleset(ports_on(lab.plan, node), node_view(node)))
        assert rules(run_in(node.netns, ["iptables-nft-save"])) == made
        assert len(made) > 100


def test_the_legacy_lab_uses_the_legacy_store(lab_of: Callable[[LabOptions], Lab]) -> None:
    """With --iptables legacy the rules are in the old tables, and nft sees none."""
    lab_of(LabOptions(iptables=IptablesFlavour.LEGACY))
    assert "KUBE-SERVICES" in run_in("skoop-lab-node1-c4", ["iptables-legacy-save"])
    assert run_in("skoop-lab-node1-c4", ["nft", "list", "ruleset"]).strip() == ""


@pytest.mark.filterwarnings("ignore")  # the client's own use of urllib3
def test_the_api_serves_the_lab(lab: Lab) -> None:
    """The kubeconfig leads the real client to the lab's pods, with the addresses that they have."""
    from kubernetes import client, config

    with config.new_client_from_config(str(lab.kubeconfig)) as connection:
        pods = client.CoreV1Api(connection).list_namespaced_pod("tools").items
    assert {pod.metadata.name: pod.status.pod_ip for pod in pods} == {
        pod.name: pod.address for pod in lab.pods if pod.namespace == "tools"
    }


def test_status_and_fault_commands_tell_what_is_there(lab: Lab) -> None:
    """The command line shows hosts, pods, services and applied faults, as text and as JSON."""
    with skoopctl("lab", "fault", "apply", "input-drop") as child:
        _, said = child.communicate(timeout=DEADLINE_S)
    assert said == "lab: node1-c4: iptables -I INPUT -s 192.168.3.87 -j DROP\n"
    with skoopctl("lab", "status", "--json") as child:
        out, _ = child.communicate(timeout=DEADLINE_S)
    summary = json.loads(out)
    assert summary["schema"] == "skoopctl.lab/1"
    assert summary["faults"] == ["input-drop"]
    assert [host["address"] for host in summary["hosts"]] == [*(n.address for n in lab.nodes), "192.168.3.99"]
    with skoopctl("lab", "status") as child:
        text, _ = child.communicate(timeout=DEADLINE_S)
    for words in ("10.244.2.201", "web-lb-local", "faults: input-drop", "skoopctl diagnose -i lab"):
        assert words in text
    with skoopctl("lab", "fault", "undo", "--all") as child:
        child.communicate(timeout=DEADLINE_S)
    assert child.returncode == 0
    assert lab.applied_faults() == ()


def test_the_lab_cannot_reach_the_machine(lab: Lab) -> None:
    """Nothing in the lab has a way to the machine's own addresses: what it sends stays in it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        for source in lab.sources():
            (result,) = lab.probe(source, [("udp", "127.0.0.1", port)], timeout_s=PATIENCE_S)
            assert result.outcome is Outcome.REFUSED
