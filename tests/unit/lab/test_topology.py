"""The lab's plan."""

from __future__ import annotations

import pytest

from skoopctl.errors import LabError
from skoopctl.lab import LabOptions
from skoopctl.lab.topology import MAX_NODES, OUTSIDE_ADDRESS, netns_names, plan_lab


def test_the_manuals_example_is_there() -> None:
    """The pods, hosts and addresses of the manual's example are those of the usual lab."""
    plan = plan_lab(LabOptions())
    demo, tools = plan.pod("tools/demo-5bf67dcbc9-hxtmt"), plan.pod("tools/tools-74bdbfc69d-q4h8h")
    assert (demo.address, demo.node, demo.answers) == ("10.244.2.201", "node1-c4", (8080,))
    assert (tools.address, tools.node) == ("10.244.3.70", "node2-c4")
    assert [(n.name, n.address) for n in plan.nodes] == [
        ("master-c4", "192.168.3.85"),
        ("node1-c4", "192.168.3.86"),
        ("node2-c4", "192.168.3.87"),
    ]


def test_addresses_and_names_are_unique_in_the_largest_lab() -> None:
    """No two nodes, pods, services or cables share what must be their own."""
    plan = plan_lab(LabOptions(nodes=MAX_NODES))
    nodes = [node.address for node in plan.nodes]
    pods = [pod.address for pod in plan.pods if not pod.host_network]
    services = [s.cluster_ip for s in plan.services if s.cluster_ip != "None"]
    everything = [*nodes, *pods, *services, OUTSIDE_ADDRESS]
    assert len(set(everything)) == len(everything)
    for names in (
        [pod.key for pod in plan.pods],
        [pod.uid for pod in plan.pods],
        [pod.veth for pod in plan.pods],
        [node.tunnel_mac for node in plan.nodes],
        netns_names(plan.options),
    ):
        assert len(set(names)) == len(names)


def test_every_node_has_an_agent_and_its_own_pod_network() -> None:
    """The agent runs in every node's network, and a node's pods have addresses of its range."""
    plan = plan_lab(LabOptions(nodes=20))
    assert {pod.node for pod in plan.pods if pod.app == "agent"} == {node.name for node in plan.nodes}
    for pod in plan.pods:
        node = plan.node(pod.node)
        expected = node.address if pod.host_network else node.subnet
        assert pod.address.startswith(expected)


@pytest.mark.parametrize("nodes", [-1, 0, 2, MAX_NODES + 1])
def test_a_number_of_nodes_that_cannot_be_is_refused(nodes: int) -> None:
    """The error names the flag and the limits."""
    with pytest.raises(LabError, match=f"--nodes {nodes}.*3 to {MAX_NODES}"):
        LabOptions(nodes=nodes)


@pytest.mark.parametrize("what", ["node", "pod", "service"])
def test_an_unknown_name_is_answered_with_the_known_ones(what: str) -> None:
    """Looking up what is not there says what is."""
    with pytest.raises(LabError, match="no " + what):
        getattr(plan_lab(LabOptions()), what)("nowhere")
