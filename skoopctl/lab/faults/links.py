"""Faults of links and bridges."""

from __future__ import annotations

from skoopctl.lab.faults.fault import Step, Steps, command, fault, ip_steps, stage
from skoopctl.lab.network import peer_fdb_lines, peer_lines
from skoopctl.lab.topology import Backend, Plan


@fault("tunnel-down", "a node's tunnel device is down", needs=Backend.VXLAN)
def _tunnel_down(plan: Plan) -> tuple[Steps, Steps]:
    node = stage(plan).far
    peers = [line for peer in plan.nodes if peer is not node for line in peer_lines(plan, peer)]
    undo = (
        command(node.name, "ip link set flannel.1 up"),
        *ip_steps(node.name, peers),
        *ip_steps(node.name, peer_fdb_lines(plan, node), "bridge"),
    )
    return (command(node.name, "ip link set flannel.1 down"),), undo


@fault("bridge-down", "a node's pod bridge is down")
def _bridge_down(plan: Plan) -> tuple[Steps, Steps]:
    return _down_and_up(stage(plan).far.name, "cni0")


@fault("pod-link-down", "the node's end of a pod's cable is down")
def _pod_link_down(plan: Plan) -> tuple[Steps, Steps]:
    at = stage(plan)
    return _down_and_up(at.far.name, at.callee.veth)


@fault("pod-link-unplugged", "a pod's cable is not in the bridge")
def _pod_link_unplugged(plan: Plan) -> tuple[Steps, Steps]:
    at = stage(plan)
    link = f"ip link set {at.callee.veth}"
    undo = (
        command(at.far.name, f"{link} master cni0"),
        command(at.far.name, f"{link} type bridge_slave hairpin on"),
    )
    return (command(at.far.name, f"{link} nomaster"),), undo


@fault("hairpin-off", "a bridge port does not send a pod its own packets back")
def _hairpin_off(plan: Plan) -> tuple[Steps, Steps]:
    pod = stage(plan).callee
    line = f"bridge link set dev {pod.veth} hairpin"
    return (command(pod.node, f"{line} off"),), (command(pod.node, f"{line} on"),)


@fault("bridge-nf-off", "iptables does not see bridged packets: bridge-nf-call-iptables is 0")
def _bridge_nf_off(plan: Plan) -> tuple[Steps, Steps]:
    where = stage(plan).far.name
    line = "sysctl -q -w net.bridge.bridge-nf-call-iptables"
    return (command(where, f"{line}=0"),), (command(where, f"{line}=1"),)


@fault("listener-gone", "nothing listens on a pod's port")
def _listener_gone(plan: Plan) -> tuple[Steps, Steps]:
    pod = stage(plan).callee
    port = pod.answers[0]
    close = Step(pod.key, signal="USR1", listens=(port, False))
    reopen = Step(pod.key, signal="USR2", listens=(port, True))
    return (close,), (reopen,)


def _down_and_up(where: str, device: str) -> tuple[Steps, Steps]:
    """Take a device down, bring it up."""
    line = f"ip link set {device}"
    undo = Step(where, tuple(f"{line} up".split()), carrier=device)
    return (command(where, f"{line} down"),), (undo,)
