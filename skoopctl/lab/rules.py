"""Loading kube-proxy's and kubelet's rules on the lab's nodes."""

from __future__ import annotations

from skoopctl.lab.commands import run_in
from skoopctl.lab.kubeproxy import NodeView, ServicePort, iptables_ruleset, nftables_ruleset, service_ports
from skoopctl.lab.kubeproxy.iptables import kubelet_ruleset
from skoopctl.lab.kubeproxy.iptables_frame import NFACCT_OBJECTS
from skoopctl.lab.objects import api_objects
from skoopctl.lab.topology import CLUSTER_CIDR, SERVICE_CIDR, LabNode, Plan, ProxyMode


def node_view(node: LabNode) -> NodeView:
    """Return what kube-proxy on a node is started with."""
    return NodeView(node.name, node.address, CLUSTER_CIDR, SERVICE_CIDR)


def ports_on(plan: Plan, node: LabNode) -> tuple[ServicePort, ...]:
    """Return the lab's service ports as a node sees them."""
    objects = api_objects(plan)
    return service_ports(objects["services"], objects["endpointslices"], node_view(node))


def load_rules(plan: Plan, node: LabNode) -> None:
    """Load the rules of the plan's proxy mode on a node that has none yet."""
    restore = f"iptables-{plan.options.iptables}-restore"
    ports = ports_on(plan, node)
    if plan.options.proxy is ProxyMode.NFTABLES:
        run_in(node.netns, [restore], stdin=kubelet_ruleset())
        run_in(node.netns, ["nft", "-f", "-"], stdin=nftables_ruleset(ports, node_view(node)))
        return
    for name in NFACCT_OBJECTS:
        run_in(node.netns, ["nfacct", "add", name])
    run_in(node.netns, [restore], stdin=iptables_ruleset(ports, node_view(node)))
