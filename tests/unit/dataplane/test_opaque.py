"""Programs that decide by themselves make a step OPAQUE, by name, and the way behind them is walked."""

from __future__ import annotations

import pytest

from skoopctl.dataplane.trace import Disposition, PathResult, Verdict
from skoopctl.kernel.bpf import Attachment
from tests.support.worlds import Box, cluster, filter_table


def attach(box: Box, place: str, device: str = "", name: str = "cil_from_netdev") -> None:
    """Attach a program."""
    known = box.more.get("programs", ())
    program = Attachment(place, box.index(device) if device else 0, 12, "sched_cls", name)
    box.more["programs"] = (*known, program)


def dispositions(result: PathResult) -> set[Disposition]:
    """Return how the branches end."""
    return {branch.disposition for branch in result.branches}


@pytest.mark.parametrize(
    ("place", "device", "packet"),
    [
        ("xdp", "eth0", "SYN"),
        ("tc ingress", "eth0", "SYN"),
        ("tcx ingress", "eth0", "SYN"),
        ("tc egress", "eth0", "SYN-ACK"),
        ("tcx egress", "eth0", "SYN-ACK"),
    ],
)
def test_a_program_decides_in_its_own_direction(place: str, device: str, packet: str) -> None:
    """What is attached to a node's NIC decides for the packets of its side, and is named."""
    made = cluster(vxlan=False)
    attach(made.n2, place, device)
    result = made.walk(made.a, made.b)
    assert result.verdict is Verdict.UNKNOWN
    assert "the program cil_from_netdev (id 12" in result.unknowns[0]
    assert f"{place}, Cilium) on eth0 of n2" in result.unknowns[0]
    assert dispositions(result) == {Disposition.DELIVERED, Disposition.OPAQUE}
    ended = [
        walk for branch in result.branches for walk in branch.walks if walk.last.ends is Disposition.OPAQUE
    ]
    assert {walk.label for walk in ended} == {packet}
    assert ended[0].last.evidence[0].kind == "program"


def test_what_is_in_the_way_behind_a_program_is_found() -> None:
    """Where the way behind the program fails for certain, the flow fails whatever the program does not stop."""
    made = cluster(vxlan=False)
    attach(made.n1, "tc ingress", "veth-a")
    made.b.iptables(filter_table("-A INPUT -j DROP"))
    result = made.walk(made.a, made.b)
    assert Disposition.DROPPED in dispositions(result)
    assert result.verdict is Verdict.UNKNOWN
    assert result.conditions == ()


def test_a_connect_hook_may_send_elsewhere() -> None:
    """TCP and UDP call it, per family; ping does not; a packet to a service may never exist."""
    made = cluster()
    attach(made.a, "cgroup connect4", name="cil_sock4_connect")
    result = made.walk(made.a, made.b)
    assert result.verdict is Verdict.UNKNOWN
    assert "may never exist" in result.unknowns[0]
    assert result.conditions[0].startswith("it passes if the program lets it pass: ")
    assert made.walk(made.a, made.b, protocol="udp").verdict is Verdict.UNKNOWN
    assert made.walk(made.a, made.b, protocol="icmp").verdict is Verdict.PASS
    assert made.walk(made.c, made.b).verdict is Verdict.PASS


@pytest.mark.parametrize("place", ["cgroup ingress", "cgroup egress", "sk_lookup"])
def test_programs_at_a_servers_sockets_are_met(place: str) -> None:
    """A cgroup's programs see packets of its sockets, and sk_lookup picks one."""
    made = cluster()
    attach(made.b, place, name="mine")
    result = made.walk(made.a, made.b)
    assert result.verdict is Verdict.UNKNOWN
    assert "the program mine" in result.unknowns[0]


def test_sock_ops_and_programs_elsewhere_do_not_decide() -> None:
    """A sock_ops program cannot refuse a connection; programs on devices that are not on the way do nothing."""
    made = cluster()
    attach(made.a, "cgroup sock_ops")
    attach(made.n1, "tc ingress", "veth-c")
    assert made.walk(made.a, made.b).verdict is Verdict.PASS


def test_a_place_for_filters_without_filters_is_no_doubt() -> None:
    """A clsact qdisc alone decides nothing, when what hangs there was read."""
    made = cluster()
    made.n2.more["tc_devices"] = frozenset({made.n2.index("eth0")})
    made.n2.more["programs"] = ()
    assert made.walk(made.a, made.b).verdict is Verdict.PASS
