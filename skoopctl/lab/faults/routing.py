"""Faults in routing, forwarding and neighbours."""

from __future__ import annotations

from skoopctl.lab.faults.fault import Steps, command, fault, ip_steps, stage
from skoopctl.lab.network import peer_fdb_lines, peer_lines, pod_route_lines
from skoopctl.lab.topology import OUTSIDE_ADDRESS, UNDERLAY, Backend, Plan

NOBODYS_MAC = "0e:00:00:00:00:fe"


@fault("forwarding-off", "a node does not forward packets: net.ipv4.ip_forward is 0")
def _forwarding_off(plan: Plan) -> tuple[Steps, Steps]:
    where = stage(plan).far.name
    line = "sysctl -q -w net.ipv4.ip_forward"
    return (command(where, f"{line}=0"),), (command(where, f"{line}=1"),)


@fault("forwarding-off-bridge", "a node does not forward what comes from its pods: cni0's forwarding is 0")
def _forwarding_off_bridge(plan: Plan) -> tuple[Steps, Steps]:
    where = stage(plan).far.name
    line = "sysctl -q -w net.ipv4.conf.cni0.forwarding"
    return (command(where, f"{line}=0"),), (command(where, f"{line}=1"),)


@fault("rp-filter", "a strict reverse path filter meets a route that leads back another way")
def _rp_filter(plan: Plan) -> tuple[Steps, Steps]:
    at = stage(plan)
    vxlan = plan.options.backend is Backend.VXLAN
    device = "flannel.1" if vxlan else UNDERLAY
    back = f"via {at.near.address} dev {UNDERLAY}" if vxlan else "dev cni0"
    # sysctl's slashes: the device's own name has a dot.
    line = f"sysctl -q -w net/ipv4/conf/{device}/rp_filter"
    steps = (
        command(at.far.name, f"{line}=1"),
        command(at.far.name, f"ip route replace {at.near.pod_cidr} {back}"),
    )
    undo = (*ip_steps(at.far.name, peer_lines(plan, at.near)), command(at.far.name, f"{line}=0"))
    return steps, undo


@fault("route-deleted", "a node has no route to another node's pods")
def _route_deleted(plan: Plan) -> tuple[Steps, Steps]:
    at = stage(plan)
    delete = command(at.near.name, f"ip route del {at.far.pod_cidr}")
    return (delete,), ip_steps(at.near.name, peer_lines(plan, at.far))


@fault("route-blackhole", "a node throws away packets for one pod: a blackhole route")
def _route_blackhole(plan: Plan) -> tuple[Steps, Steps]:
    return _host_route(plan, "blackhole")


@fault("route-unreachable", "a node answers packets for one pod with host-unreachable: an unreachable route")
def _route_unreachable(plan: Plan) -> tuple[Steps, Steps]:
    return _host_route(plan, "unreachable")


@fault("route-prohibit", "a node answers packets for one pod with prohibited: a prohibit route")
def _route_prohibit(plan: Plan) -> tuple[Steps, Steps]:
    return _host_route(plan, "prohibit")


def _host_route(plan: Plan, kind: str) -> tuple[Steps, Steps]:
    """Add a route of this kind for the called pod alone on the caller's node."""
    at = stage(plan)
    route = f"{kind} {at.callee.address}/32"
    add, remove = f"ip route add {route}", f"ip route del {route}"
    return (command(at.near.name, add),), (command(at.near.name, remove),)


@fault("route-wrong-device", "a node's route to another node's pods points at its own bridge")
def _route_wrong_device(plan: Plan) -> tuple[Steps, Steps]:
    at = stage(plan)
    replace = command(at.near.name, f"ip route replace {at.far.pod_cidr} dev cni0")
    delete = command(at.near.name, f"ip route del {at.far.pod_cidr} dev cni0")
    return (replace,), (delete, *ip_steps(at.near.name, peer_lines(plan, at.far)))


@fault("policy-route", "a routing rule sends one pod's packets to a table that leads out of the cluster")
def _policy_route(plan: Plan) -> tuple[Steps, Steps]:
    at = stage(plan)
    route = f"default via {OUTSIDE_ADDRESS} dev {UNDERLAY} table 100"
    rule = f"from {at.caller.address} lookup 100 priority 1000"
    where = at.near.name
    steps = (command(where, f"ip route add {route}"), command(where, f"ip rule add {rule}"))
    return steps, (command(where, f"ip rule del {rule}"), command(where, f"ip route del {route}"))


@fault("neigh-missing", "a node does not know the tunnel address of another node", needs=Backend.VXLAN)
def _neigh_missing(plan: Plan) -> tuple[Steps, Steps]:
    at = stage(plan)
    delete = command(at.near.name, f"ip neigh del {at.far.tunnel_address} dev flannel.1")
    return (delete,), ip_steps(at.near.name, peer_lines(plan, at.far))


@fault(
    "neigh-wrong-mac", "a node has a wrong permanent neighbour for another node's tunnel", needs=Backend.VXLAN
)
def _neigh_wrong_mac(plan: Plan) -> tuple[Steps, Steps]:
    at = stage(plan)
    wrong = f"ip neigh replace {at.far.tunnel_address} lladdr {NOBODYS_MAC} dev flannel.1 nud permanent"
    return (command(at.near.name, wrong),), ip_steps(at.near.name, peer_lines(plan, at.far))


@fault("underlay-wrong-mac", "a node has a wrong permanent neighbour for another node's own address")
def _underlay_wrong_mac(plan: Plan) -> tuple[Steps, Steps]:
    at = stage(plan)
    wrong = f"ip neigh replace {at.far.address} lladdr {NOBODYS_MAC} dev {UNDERLAY} nud permanent"
    right = f"ip neigh del {at.far.address} dev {UNDERLAY}"
    return (command(at.near.name, wrong),), (command(at.near.name, right),)


@fault("fdb-missing", "a node's tunnel does not know where another node's is", needs=Backend.VXLAN)
def _fdb_missing(plan: Plan) -> tuple[Steps, Steps]:
    at = stage(plan)
    delete = command(
        at.near.name, f"bridge fdb del {at.far.tunnel_mac} dev flannel.1 dst {at.far.address} self"
    )
    return (delete,), ip_steps(at.near.name, peer_fdb_lines(plan, at.near), "bridge")


@fault("fdb-wrong-node", "a node's tunnel sends another node's packets to a third", needs=Backend.VXLAN)
def _fdb_wrong_node(plan: Plan) -> tuple[Steps, Steps]:
    at = stage(plan)
    third = plan.nodes[0].address
    wrong = f"bridge fdb replace {at.far.tunnel_mac} dev flannel.1 dst {third} self permanent"
    return (command(at.near.name, wrong),), ip_steps(at.near.name, peer_fdb_lines(plan, at.near), "bridge")


@fault("pod-route-missing", "a pod has no routes beyond its own link")
def _pod_route_missing(plan: Plan) -> tuple[Steps, Steps]:
    at = stage(plan)
    lines = pod_route_lines(at.far)
    delete = tuple(command(at.callee.key, f"ip {line.replace('replace', 'del', 1)}") for line in lines)
    return delete, ip_steps(at.callee.key, lines)
