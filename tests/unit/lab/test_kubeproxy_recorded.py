"""The lab's generator against what a real kube-proxy v1.36.2 left on three nodes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from skoopctl.lab.kubeproxy import iptables_ruleset, nftables_ruleset, service_ports
from skoopctl.lab.kubeproxy.iptables import kubelet_ruleset

sys.path.insert(0, str(Path(__file__).parent))
from rule_text import (
    NODES,
    RECORDED,
    nft_objects,
    recorded_node,
    recorded_objects,
    rules_by_chain,
)

SERVICE_ORDER_IS_RANDOM = {"KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-EXTERNAL-SERVICES", "KUBE-PROXY-FIREWALL"}
"""Chains that kube-proxy fills service by service, in the order of a Go map."""


@pytest.mark.parametrize("node", NODES)
def test_iptables_rules_are_those_of_the_real_kube_proxy(node: str) -> None:
    """Every chain of every table holds the recorded rules, in the recorded order where there is one."""
    view = recorded_node(node)
    services, slices = (recorded_objects("iptables", name) for name in ("services", "endpointslices"))
    made = rules_by_chain(iptables_ruleset(service_ports(services, slices, view), view))
    text = (RECORDED / "iptables" / "nodes" / node / "iptables-save.txt").read_text(encoding="utf-8")
    recorded = rules_by_chain(text)

    assert set(made) == set(recorded)
    for key, rules in recorded.items():
        if key[1] in SERVICE_ORDER_IS_RANDOM:
            assert sorted(made[key]) == sorted(rules)
        else:
            assert made[key] == rules
    assert made["nat", "KUBE-SERVICES"][-1] == recorded["nat", "KUBE-SERVICES"][-1]


@pytest.mark.parametrize("node", NODES)
def test_nftables_objects_are_those_of_the_real_kube_proxy(node: str) -> None:
    """Table kube-proxy has the recorded sets, maps, elements, chains and rules."""
    view = recorded_node(node)
    services, slices = (recorded_objects("nftables", name) for name in ("services", "endpointslices"))
    made = nft_objects(nftables_ruleset(service_ports(services, slices, view), view))
    text = (RECORDED / "nftables" / "nodes" / node / "nft.txt").read_text(encoding="utf-8")

    assert made == nft_objects(text)
    assert len(made) > 40


def test_nftables_mode_keeps_kubelets_iptables_chain() -> None:
    """Beside its own table, a node in nftables mode has the recorded iptables rules of kubelet."""
    text = (RECORDED / "nftables" / "nodes" / "node1-c4" / "iptables-save.txt").read_text(encoding="utf-8")
    assert rules_by_chain(kubelet_ruleset()) == rules_by_chain(text)
