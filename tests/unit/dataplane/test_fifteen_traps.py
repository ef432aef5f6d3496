"""The fifteen things that simulators of Linux packet paths get wrong, one named test each.

The kernel's behaviour in each was measured on a real kernel; `tests/kernel` measures it again, at random.
"""

from __future__ import annotations

import pytest

from skoopctl.dataplane.rules.scene import Hook
from skoopctl.dataplane.trace import Disposition, Outcome, PathResult, StepKind, Verdict
from skoopctl.kernel.iptables import Backend
from skoopctl.kernel.route import TABLE_LOCAL, TABLE_MAIN, RouteType, RuleAction
from tests.support.worlds import At, World, cluster, filter_table, packet, says, through, tracked, verdict

VIP = "10.96.0.10"


def lost(result: PathResult) -> tuple[str, Disposition, str, str]:
    """Return which packet of the first branch did not arrive, how, where, and the cause's word."""
    walk = result.branches[0].fatal_walk
    return walk.label, walk.disposition, walk.last.node, walk.last.cause


def service(*rules: str) -> str:
    """Return a nat table with rules in PREROUTING."""
    return filter_table(*(f"-A PREROUTING {rule}" for rule in rules), table="nat")


def test_trap_01_an_outer_packet_is_a_packet() -> None:
    """A rule that names only the peer node stops the pods; the outer source port is none of the inner ones."""
    made = cluster()
    made.n2.iptables(filter_table("-A INPUT -s 192.168.3.86/32 -j DROP"))
    result = made.walk(made.a, made.b)
    assert lost(result) == ("SYN", Disposition.DROPPED, "n2", "netfilter-drop")
    last = result.branches[0].forward.last
    assert last.depth == 1
    assert last.before is not None
    assert (last.before.destination_port, last.before.source_port) == ("8472", "32768-60999")


def test_trap_02_the_way_back_is_half_the_answer() -> None:
    """Forwarding is checked on the device that a packet comes in on: the SYN arrives, the SYN-ACK does not."""
    made = cluster()
    made.n1.set("net/ipv4/conf/flannel.1/forwarding", 0)
    result = made.walk(made.a, made.b)
    assert result.branches[0].forward.disposition is Disposition.DELIVERED
    assert lost(result) == ("SYN-ACK", Disposition.DROPPED, "n1", "forwarding-off")
    assert result.outcome is Outcome.TIMEOUT


def test_trap_03_the_answer_to_an_untracked_packet_is_invalid() -> None:
    """NOTRACK holds for the packets that it names: the SYN is UNTRACKED, and the SYN-ACK begins nothing."""
    made = cluster()
    made.n1.iptables(filter_table("-A PREROUTING -s 10.244.1.10/32 -j CT --notrack", table="raw"))
    made.n1.iptables(filter_table("-A FORWARD -m conntrack --ctstate INVALID -j DROP"))
    result = made.walk(made.a, made.b)
    assert lost(result) == ("SYN-ACK", Disposition.DROPPED, "n1", "netfilter-drop")
    made.n1.tables.pop()
    made.n1.iptables(filter_table("-A FORWARD -m conntrack --ctstate UNTRACKED -j DROP"))
    assert lost(made.walk(made.a, made.b))[0] == "SYN"


def test_trap_04_the_first_translation_wins_and_filter_sees_it() -> None:
    """FORWARD sees the endpoint, --ctorigdst the address that was asked for; ACCEPT before DNAT cancels it."""
    dnat = f"-d {VIP}/32 -p tcp -j DNAT --to-destination 10.244.2.10:80"
    made = cluster()
    made.n1.iptables(service(dnat, f"-d {VIP}/32 -p tcp -j DNAT --to-destination 10.244.1.11:80"))
    result = made.walk(made.a, VIP, 8080)
    assert result.verdict is Verdict.PASS
    assert result.branches[0].responder == "b"
    for rule, dropped in (
        ("-d 10.244.2.10/32", True),
        (f"-d {VIP}/32", False),
        (f"-m conntrack --ctorigdst {VIP}/32", True),
        ("-m conntrack ! --ctstate DNAT", False),
    ):
        made = cluster()
        made.n1.iptables(service(dnat))
        made.n1.iptables(filter_table(f"-A FORWARD -i cni0 {rule} -j DROP"))
        assert (made.walk(made.a, VIP, 8080).verdict is Verdict.FAIL) is dropped, rule
    made = cluster()
    made.n1.iptables(service("-p tcp -j ACCEPT", dnat))
    assert made.walk(made.a, VIP, 8080).disposition is Disposition.EXITS_CLUSTER


@pytest.mark.parametrize("inverted", ["", "! "])
def test_trap_05_unknown_is_a_value(inverted: str) -> None:
    """What cannot be decided is walked both ways, also behind ``!``; it never widens beyond its own rule."""
    made = cluster()
    rule = f'-m bpf {inverted}--bytecode "1,6 0 0 1" -j DROP'
    made.n1.iptables(filter_table(f"-A FORWARD {rule}"))
    result = made.walk(made.a, made.b)
    assert result.verdict is Verdict.UNKNOWN
    assert {branch.outcome for branch in result.branches} == {Outcome.CONNECTED, Outcome.TIMEOUT}
    made = cluster()
    made.n1.iptables(
        filter_table(f"-A FORWARD -p udp {rule}", f"-A FORWARD {rule.replace('DROP', 'ACCEPT')}")
    )
    assert made.walk(made.a, made.b).verdict is Verdict.PASS


def test_trap_06_return_after_goto_goes_to_the_grandparent() -> None:
    """``-g`` forgets where it came from; ``-j`` comes back; MARK goes on; the base chain's policy is last."""
    made = cluster()
    at = At(made.n1, Hook.FORWARD, "cni0", "flannel.1")

    def chain(jump: str, *more: str) -> str:
        at.box.tables.clear()
        rules = (f"-A FORWARD {jump} A", "-A A -j MARK --set-xmark 0x1/0x1", "-A A -j RETURN", "-A A -j DROP")
        at.box.iptables(filter_table(*rules, *more, chains="A B"))
        return verdict(at, tracked(packet()))

    assert chain("-j", "-A FORWARD -m mark --mark 0x1 -j DROP") == "DROP"
    assert chain("-g", "-A FORWARD -m mark --mark 0x1 -j DROP") == "ACCEPT"
    at.box.tables.clear()
    rules = ("-A FORWARD -j B", "-A FORWARD -j DROP", "-A B -g A", "-A B -j ACCEPT", "-A A -j RETURN")
    at.box.iptables(filter_table(*rules, chains="A B"))
    assert verdict(at, tracked(packet())) == "DROP"


def test_trap_07_accept_is_not_final() -> None:
    """ACCEPT ends one base chain: iptables-legacy, iptables-nft and nft all look, in the order of priority."""
    made = cluster()
    made.n1.iptables(filter_table("-A FORWARD -j ACCEPT"))
    made.n1.iptables(filter_table("-A FORWARD -p tcp -j DROP"), Backend.LEGACY)
    assert made.walk(made.a, made.b).verdict is Verdict.FAIL
    made = cluster()
    made.n1.iptables(filter_table("-A FORWARD -j ACCEPT"))
    made.n1.nftables(
        {"table": {"family": "inet", "name": "late", "handle": 1}},
        {
            "chain": {
                "family": "inet",
                "table": "late",
                "name": "fwd",
                "handle": 1,
                "type": "filter",
                "hook": "forward",
                "prio": 10,
                "policy": "drop",
            }
        },
    )
    assert made.walk(made.a, made.b).verdict is Verdict.FAIL


@pytest.mark.parametrize("masquerade", [False, True])
@pytest.mark.parametrize("hairpin", [False, True])
def test_trap_08_a_pod_reaches_itself_only_with_masquerade_and_hairpin(
    masquerade: bool, hairpin: bool
) -> None:
    """Of the four combinations one connects: the frame goes back by its own port, from another source."""
    made = cluster()
    made.n1.set("net/bridge/bridge-nf-call-iptables", 1)
    made.n1.port("veth-a", "cni0", hairpin=hairpin)
    rules = [f"-A PREROUTING -d {VIP}/32 -p tcp -j DNAT --to-destination 10.244.1.10:80"]
    if masquerade:
        rules.append("-A POSTROUTING -s 10.244.1.10/32 -d 10.244.1.10/32 -j MASQUERADE")
    made.n1.iptables(filter_table(*rules, table="nat"))
    result = made.walk(made.a, VIP, 80)
    assert (result.verdict is Verdict.PASS) is (masquerade and hairpin)


def test_trap_09_suppressing_spares_a_blackhole() -> None:
    """suppress_prefixlength 0 passes over a default route with a device, not over a blackhole; throw goes on."""

    def reach(*, blackhole: bool, throw: bool = False) -> Verdict:
        made = cluster(vxlan=False)
        made.n1.rule(0, table=TABLE_LOCAL)
        made.n1.rule(100, table=100, suppress_prefixlength=0)
        made.n1.rule(32766, table=TABLE_MAIN)
        if blackhole:
            made.n1.route("default", type=RouteType.BLACKHOLE, table=100)
        elif throw:
            made.n1.route("10.244.2.0/24", type=RouteType.THROW, table=100)
        else:
            made.n1.route("default", "192.168.3.99", "eth0", table=100)
        return made.walk(made.a, made.b).verdict

    assert reach(blackhole=False) is Verdict.PASS
    assert reach(blackhole=True) is Verdict.FAIL
    assert reach(blackhole=False, throw=True) is Verdict.PASS


def test_trap_10_masquerade_ignores_the_routes_source() -> None:
    """It takes the device's address in the next hop's subnet, whatever ``src`` the route hints at."""
    world = World()
    box = world.host("n1")
    box.link("eth0")
    box.address("eth0", "192.168.3.86/24")
    box.address("eth0", "10.50.0.7/16")
    box.iptables(filter_table("-A POSTROUTING -j MASQUERADE", table="nat"))
    at = At(box, Hook.POSTROUTING, out_dev="eth0", next_hop="10.50.0.1")
    (seen,) = through(at, tracked(packet("10.244.1.10", "8.8.8.8")))
    assert seen.scene.packet.view().source == "10.50.0.7"


def test_trap_11_local_is_what_the_local_table_says() -> None:
    """The type LOCAL may be narrowed to the incoming device; DNAT to loopback needs route_localnet."""
    made = cluster()
    at = At(made.n1, Hook.INPUT, in_dev="cni0")
    for rule, result in (
        ("-m addrtype --dst-type LOCAL", "hit"),
        ("-m addrtype --dst-type LOCAL --limit-iface-in", "miss"),
    ):
        made.n1.tables.clear()
        made.n1.iptables(filter_table(f"-A INPUT {rule} -j DROP"))
        assert says(at, tracked(packet("10.244.1.10", "192.168.3.86"))) == result
    for enabled in (0, 1):
        made = cluster()
        made.n1.set("net/ipv4/conf/cni0/route_localnet", enabled)
        made.n1.iptables(service("-p tcp -m tcp --dport 2222 -j DNAT --to-destination 127.0.0.1:22"))
        result = made.walk(made.a, made.n1, 2222)
        assert (result.verdict is Verdict.PASS) is bool(enabled)


@pytest.mark.parametrize(
    ("before", "change", "match"),
    [
        (0x0, "--set-xmark 0x80000000/0xffff0000", "--mark 0x80000000/0x80000000"),
        (0xF0F0, "--set-xmark 0x4000/0x0", "--mark 0xb0f0"),
        (0xFF, "--set-xmark 0x0/0xfffffff0", "--mark 0xf"),
        (0x0F, "--set-xmark 0x1/0xf1", "--mark 0xf"),
        (0x100, "--set-xmark 0x8/0x8", "--mark 0x108"),
    ],
)
def test_trap_12_marks_are_unsigned_and_xored(before: int, change: str, match: str) -> None:
    """The new mark is (mark & ~mask) ^ value, in 32 unsigned bits, for every form that iptables-save writes."""
    made = cluster()
    rules = (f"-A FORWARD -j MARK {change}", f"-A FORWARD -m mark {match} -j DROP")
    made.n1.iptables(filter_table(*rules))
    item = tracked(packet(mark=before))
    assert verdict(At(made.n1, Hook.FORWARD, "cni0", "eth0"), item) == "DROP"


def test_trap_12_interfaces_and_masks_have_wildcards() -> None:
    """``cali+`` is a prefix, and a netmask may have holes."""
    made = cluster()
    made.n1.link("cali12345")
    for rule, device, destination, result in (
        ("-i cali+", "cali12345", "10.0.0.2", "hit"),
        ("-i cali+", "cni0", "10.0.0.2", "miss"),
        ("! -i cali+", "cni0", "10.0.0.2", "hit"),
        ("-d 10.0.0.5/255.0.255.255", "cni0", "10.77.0.5", "hit"),
        ("-d 10.0.0.5/255.0.255.255", "cni0", "10.77.1.5", "miss"),
    ):
        made.n1.tables.clear()
        made.n1.iptables(filter_table(f"-A FORWARD {rule} -j DROP"))
        item = tracked(packet("10.244.1.10", destination))
        assert says(At(made.n1, Hook.FORWARD, device, "eth0"), item) == result, rule


def test_trap_14_chance_has_weights() -> None:
    """A cascade of 1/3, 1/2, 1 gives each endpoint a third; a dead one fails a third of the connections."""
    endpoints = ("10.244.2.10:80", "10.244.1.11:80", "10.244.2.99:80")
    chances = (
        " -m statistic --mode random --probability 0.33333333349",
        " -m statistic --mode random --probability 0.5",
        "",
    )
    made = cluster()
    made.n1.set("net/bridge/bridge-nf-call-iptables", 1)
    made.n1.iptables(
        service(
            *(
                f"-d {VIP}/32 -p tcp{chance} -j DNAT --to-destination {endpoint}"
                for endpoint, chance in zip(endpoints, chances, strict=True)
            )
        )
    )
    result = made.walk(made.a, VIP, 80)
    assert result.verdict is Verdict.MIXED
    assert [round(branch.weight, 2) for branch in result.branches] == [0.33, 0.33, 0.33]
    shares = {outcome: round(weight, 2) for outcome, weight in result.outcomes().items()}
    assert shares == {Outcome.CONNECTED: 0.67, Outcome.UNREACHABLE: 0.33}


def test_trap_15_neighbours_missing_and_wrong() -> None:
    """A missing neighbour is asked for; a permanent wrong one, and a missing tunnel entry, are silent loss."""
    made = cluster()
    assert not made.n1.neighbours or all(n.index != made.n1.index("cni0") for n in made.n1.neighbours)
    assert made.walk(made.a, made.b).verdict is Verdict.PASS
    made.n2.neighbour("cni0", "10.244.2.10", "02:00:00:00:00:99")
    result = made.walk(made.a, made.b)
    assert (result.outcome, result.verdict) == (Outcome.TIMEOUT, Verdict.FAIL)
    made = cluster()
    made.n1.fdb.clear()
    result = made.walk(made.a, made.b)
    assert lost(result) == ("SYN", Disposition.DROPPED, "n1", "fdb-entry-missing")
    assert result.branches[0].forward.last.kind is StepKind.ENCAPSULATE


def test_a_rule_may_refuse_before_any_table() -> None:
    """A prohibit rule answers before the tables are looked at, to what comes in by a device (fib_rules.c)."""
    made = cluster()
    made.n1.rule(0, table=TABLE_LOCAL)
    made.n1.rule(50, action=RuleAction.PROHIBIT, iif="cni0")
    made.n1.rule(32766, table=TABLE_MAIN)
    assert made.walk(made.a, made.b).outcome is Outcome.UNREACHABLE
