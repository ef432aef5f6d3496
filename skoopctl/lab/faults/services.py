"""Faults in kube-proxy's rules, in either mode."""

from __future__ import annotations

from collections.abc import Iterable

from skoopctl.errors import LabError
from skoopctl.lab.faults.fault import Step, Steps, command, fault, stage
from skoopctl.lab.kubeproxy.iptables import chain, endpoint_chain_rules, service_chain_rules
from skoopctl.lab.kubeproxy.iptables_frame import FIXED_RULES
from skoopctl.lab.kubeproxy.nftables import MASQUERADING_RULES, balancing_rules, cluster_chain
from skoopctl.lab.kubeproxy.serviceport import ServicePort
from skoopctl.lab.rules import node_view, ports_on
from skoopctl.lab.topology import LabNode, Plan, ProxyMode

SERVICE = "tools/web"
DEAD_HOST = 250


@fault("stale-endpoint", "kube-proxy on a node still sends one in three connections to a pod that is gone")
def _stale_endpoint(plan: Plan) -> tuple[Steps, Steps]:
    node = stage(plan).near
    port = _port(plan, node)
    stale = port.cluster[0]
    dead = f"{stale.address.rpartition('.')[0]}.{DEAD_HOST}"
    if plan.options.proxy is ProxyMode.NFTABLES:
        (right,) = balancing_rules(port, port.cluster)
        wrong = right.replace(f" {stale.address} . ", f" {dead} . ")
        return _refilled(node, cluster_chain(port), [wrong]), _refilled(node, cluster_chain(port), [right])
    wrong, right = (endpoint_chain_rules(port, stale, address=ip)[1] for ip in (dead, stale.address))
    return (_replaced(node, wrong, 2),), (_replaced(node, right, 2),)


@fault("service-chain-empty", "kube-proxy's chain for a service is empty on a node")
def _service_chain_empty(plan: Plan) -> tuple[Steps, Steps]:
    node = stage(plan).near
    port = _port(plan, node)
    if plan.options.proxy is ProxyMode.NFTABLES:
        name = cluster_chain(port)
        return _refilled(node, name, []), _refilled(node, name, balancing_rules(port, port.cluster))
    name = chain("KUBE-SVC", port)
    rules = [rule for rule in service_chain_rules(port, node_view(node)) if rule.split()[1] == name]
    refill = tuple(command(node.name, f"iptables -t nat {rule}") for rule in rules)
    return (command(node.name, f"iptables -t nat -F {name}"),), refill


@fault("masquerade-missing", "kube-proxy's masquerade rule is gone on a node")
def _masquerade_missing(plan: Plan) -> tuple[Steps, Steps]:
    node = stage(plan).far
    if plan.options.proxy is ProxyMode.NFTABLES:
        return _refilled(node, "masquerading", []), _refilled(node, "masquerading", MASQUERADING_RULES)
    rule = FIXED_RULES["nat"][-1]
    delete = rule.replace("-A", "-D", 1)
    return (command(node.name, f"iptables -t nat {delete}"),), (
        command(node.name, f"iptables -t nat {rule}"),
    )


def _port(plan: Plan, node: LabNode) -> ServicePort:
    """Return the service port that these faults break."""
    for port in ports_on(plan, node):
        if port.name == SERVICE:
            return port
    raise LabError(f"the lab has no service {SERVICE}")


def _replaced(node: LabNode, rule: str, number: int) -> Step:
    """Replace the rule with this number in its chain, in table nat."""
    name, rest = rule.split()[1], rule.split(" ", 2)[2]
    return command(node.name, f"iptables -t nat -R {name} {number} {rest}")


def _refilled(node: LabNode, name: str, rules: Iterable[str]) -> Steps:
    """Replace all rules of a chain of kube-proxy's nft table, in one transaction."""
    lines = [
        f"flush chain ip kube-proxy {name}",
        *(f"add rule ip kube-proxy {name} {rule}" for rule in rules),
    ]
    return (Step(node.name, ("nft", "-f", "-"), stdin="\n".join([*lines, ""])),)
