"""Faults in netfilter: rules that drop, reject, mark or untrack."""

from __future__ import annotations

from skoopctl.lab.faults.fault import Steps, command, fault, stage
from skoopctl.lab.network import VXLAN_PORT
from skoopctl.lab.topology import Backend, IptablesFlavour, Plan

PREROUTING_MARK = "0x8000/0x8000"


def _inserted(where: str, *rules: str) -> tuple[Steps, Steps]:
    """Insert rules at the head of their chains, and delete them; a rule may begin with ``-t TABLE``."""
    lines = [rule if rule.startswith("-t ") else f"-t filter {rule}" for rule in rules]
    prefix = [line.split(" ", 2) for line in lines]
    add = tuple(command(where, _iptables(table, f"-I {rest}")) for _, table, rest in prefix)
    remove = tuple(command(where, _iptables(table, f"-D {rest}")) for _, table, rest in reversed(prefix))
    return add, remove


def _iptables(table: str, rest: str) -> str:
    """Return a command line; table filter goes unsaid, as people type it."""
    return f"iptables {rest}" if table == "filter" else f"iptables -t {table} {rest}"


def _without_table(plan: Plan, where: str, table: str) -> Steps:
    """Delete a table that the fault's rules brought into being; the legacy store cannot forget one."""
    nft = plan.options.iptables is IptablesFlavour.NFT
    return (command(where, f"nft delete table ip {table}"),) if nft else ()


@fault("input-drop", "a node drops everything from another node on INPUT: the manual's example")
def _input_drop(plan: Plan) -> tuple[Steps, Steps]:
    at = stage(plan)
    return _inserted(at.far.name, f"INPUT -s {at.near.address} -j DROP")


@fault("input-drop-vxlan", "a node drops tunnel packets on INPUT", needs=Backend.VXLAN)
def _input_drop_vxlan(plan: Plan) -> tuple[Steps, Steps]:
    return _inserted(stage(plan).far.name, f"INPUT -p udp -m udp --dport {VXLAN_PORT} -j DROP")


@fault("input-reject", "a node rejects a host port with icmp-host-prohibited")
def _input_reject(plan: Plan) -> tuple[Steps, Steps]:
    rule = "INPUT -p tcp -m tcp --dport 9100 -j REJECT --reject-with icmp-host-prohibited"
    return _inserted(stage(plan).far.name, rule)


@fault("output-drop", "a node drops what it sends to another node on OUTPUT")
def _output_drop(plan: Plan) -> tuple[Steps, Steps]:
    at = stage(plan)
    return _inserted(at.near.name, f"OUTPUT -d {at.far.address} -j DROP")


@fault("forward-drop", "a node drops packets for one pod on FORWARD")
def _forward_drop(plan: Plan) -> tuple[Steps, Steps]:
    at = stage(plan)
    return _inserted(at.far.name, f"FORWARD -d {at.callee.address} -j DROP")


@fault("forward-reject", "a node rejects packets for one pod with icmp-host-prohibited")
def _forward_reject(plan: Plan) -> tuple[Steps, Steps]:
    at = stage(plan)
    return _inserted(
        at.far.name, f"FORWARD -d {at.callee.address} -j REJECT --reject-with icmp-host-prohibited"
    )


@fault("forward-reset", "a node answers connections to one pod with a TCP reset")
def _forward_reset(plan: Plan) -> tuple[Steps, Steps]:
    at = stage(plan)
    return _inserted(at.far.name, f"FORWARD -d {at.callee.address} -p tcp -j REJECT --reject-with tcp-reset")


@fault("forward-policy-drop", "the policy of FORWARD is DROP, as Docker sets it")
def _forward_policy_drop(plan: Plan) -> tuple[Steps, Steps]:
    where = stage(plan).far.name
    return (command(where, "iptables -P FORWARD DROP"),), (command(where, "iptables -P FORWARD ACCEPT"),)


@fault("reply-drop", "a node drops the replies of one pod on FORWARD")
def _reply_drop(plan: Plan) -> tuple[Steps, Steps]:
    at = stage(plan)
    rule = f"FORWARD -s {at.callee.address} -p tcp -m tcp --tcp-flags SYN,ACK SYN,ACK -j DROP"
    return _inserted(at.far.name, rule)


@fault("mark-drop", "a node marks one pod's packets on PREROUTING and drops the mark on FORWARD")
def _mark_drop(plan: Plan) -> tuple[Steps, Steps]:
    at = stage(plan)
    return _inserted(
        at.far.name,
        f"-t mangle PREROUTING -s {at.caller.address} -j MARK --set-xmark {PREROUTING_MARK}",
        f"FORWARD -m mark --mark {PREROUTING_MARK} -j DROP",
    )


@fault("notrack-invalid", "packets to one pod are not tracked, so its replies are INVALID and dropped")
def _notrack_invalid(plan: Plan) -> tuple[Steps, Steps]:
    at = stage(plan)
    steps, undo = _inserted(
        at.far.name,
        f"-t raw PREROUTING -d {at.callee.address} -j NOTRACK",
        "FORWARD -m conntrack --ctstate INVALID -j DROP",
    )
    return steps, (*undo, *_without_table(plan, at.far.name, "raw"))


@fault("invalid-drop", "a node drops INVALID packets on FORWARD; nothing healthy is INVALID", harmless=True)
def _invalid_drop(plan: Plan) -> tuple[Steps, Steps]:
    return _inserted(stage(plan).far.name, "FORWARD -m conntrack --ctstate INVALID -j DROP")


@fault(
    "notrack-vxlan",
    "a node does not track tunnel packets, as some CNIs set up",
    harmless=True,
    needs=Backend.VXLAN,
)
def _notrack_vxlan(plan: Plan) -> tuple[Steps, Steps]:
    where = stage(plan).far.name
    steps, undo = _inserted(
        where,
        f"-t raw PREROUTING -p udp -m udp --dport {VXLAN_PORT} -j NOTRACK",
        f"-t raw OUTPUT -p udp -m udp --dport {VXLAN_PORT} -j NOTRACK",
    )
    return steps, (*undo, *_without_table(plan, where, "raw"))


@fault("nft-drop", "an nft table of somebody else drops packets for one pod, before iptables' FORWARD")
def _nft_drop(plan: Plan) -> tuple[Steps, Steps]:
    at = stage(plan)
    table = "inet site-firewall"
    hook = "type filter hook forward priority filter - 50; policy accept;"
    lines = (
        f"nft add table {table}",
        f"nft 'add chain {table} forward {{ {hook} }}'",
        f"nft add rule {table} forward ip daddr {at.callee.address} counter drop",
    )
    return tuple(command(at.far.name, line) for line in lines), (
        command(at.far.name, f"nft delete table {table}"),
    )


@fault("pod-input-drop", "a pod's own iptables drops its port")
def _pod_input_drop(plan: Plan) -> tuple[Steps, Steps]:
    pod = stage(plan).callee
    steps, undo = _inserted(pod.key, f"INPUT -p tcp -m tcp --dport {pod.answers[0]} -j DROP")
    return steps, (*undo, *_without_table(plan, pod.key, "filter"))
