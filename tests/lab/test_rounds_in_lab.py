"""Rounds of a node of the lab: pods have names without any API, and those on the host's network their own sockets."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from skoopctl.evidence.request import SampleRequest
from skoopctl.kernel.host_facts import pod_uid
from skoopctl.lab import Lab
from tests.lab.sampled_host import Conversation

pytestmark = pytest.mark.lab


@dataclass(frozen=True, slots=True)
class LabHost:
    """A host of the lab, to run programs in."""

    pid: int

    def inside(self, *argv: str) -> list[str]:
        """Return a command line that runs in the host."""
        return ["nsenter", "-t", str(self.pid), "-m", "-n", "-p", "-u", "-i", "-C", *argv]


def test_pods_of_a_lab_node_are_named_and_told_apart(lab: Lab) -> None:
    """The kubelet's folders name every pod of the node, and a pod on its network is counted with its own sockets."""
    node = lab.nodes[0].name
    pods = [pod for pod in lab.pods if pod.node == node]
    shared = [pod for pod in pods if pod.host_network]
    assert shared
    request = SampleRequest(("pods", "places", "tcp-states", "cgroup-io"), interval_s=0.2, rounds=1)
    with Conversation(LabHost(lab.pids[node]), request) as told:
        told.rest()
    assert told.reader.ended
    assert told.text("pods").splitlines() == sorted(f"{pod.namespace}_{pod.name}_{pod.uid}" for pod in pods)
    assert {pod_uid(path) for path in told.rows("cgroup-io")} == {"", *(pod.uid for pod in pods)}
    states = next(change for (_, item), change in told.state.items() if item == "tcp-states")
    assert states.detail == ""
    counted = {pod_uid(line.split("\t")[0]) for line in states.payload.decode().splitlines()}
    assert counted == {"", *(pod.uid for pod in shared if pod.answers)}
