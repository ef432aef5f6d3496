"""The bridge between pods: ports, hairpin, isolation, and netfilter on bridged packets (net/bridge)."""

from __future__ import annotations

import pytest

from skoopctl.dataplane.trace import Disposition, Outcome, PathResult, Verdict
from skoopctl.kernel.link import Bridge, PortState
from tests.support.worlds import Cluster, cluster, filter_table

SERVICE = "10.96.0.1"


def end(result: PathResult) -> tuple[Disposition, str, str]:
    """Return how the first lost packet ended: disposition, cause and device."""
    walk = result.branches[0].fatal_walk
    return walk.disposition, walk.last.cause, walk.last.device


def with_service(endpoint: str, *, bridge_nf: int = 1, masquerade: str = "") -> Cluster:
    """Translate a service's address to one endpoint on n1, as kube-proxy does."""
    made = cluster()
    made.n1.set("net/bridge/bridge-nf-call-iptables", bridge_nf)
    rules = [f"-A PREROUTING -d {SERVICE}/32 -p tcp -j DNAT --to-destination {endpoint}:80"]
    if masquerade:
        rules.append(f"-A POSTROUTING -s {masquerade}/32 -d {masquerade}/32 -j MASQUERADE")
    made.n1.iptables(filter_table(*rules, table="nat"))
    return made


def test_pods_of_one_bridge_talk_through_it() -> None:
    """Two pods on one node reach each other by the bridge, without the node's routing."""
    made = cluster()
    result = made.walk(made.a, made.c)
    assert result.verdict is Verdict.PASS
    assert [s.device for s in result.branches[0].forward.steps if s.kind == "bridge"] == ["cni0"]


@pytest.mark.parametrize("bridge_nf", [0, 1])
def test_iptables_sees_bridged_packets_only_with_bridge_netfilter(bridge_nf: int) -> None:
    """A DROP in FORWARD stops pod to pod on one node when bridge-nf-call-iptables is on, and only then."""
    made = cluster()
    made.n1.set("net/bridge/bridge-nf-call-iptables", bridge_nf)
    made.n1.iptables(filter_table("-A FORWARD -m physdev --physdev-is-bridged -j DROP"))
    result = made.walk(made.a, made.c)
    assert result.verdict is (Verdict.FAIL if bridge_nf else Verdict.PASS)


def test_a_bridges_own_flag_calls_netfilter_too() -> None:
    """nf_call_iptables of the bridge is enough without the sysctl."""
    made = cluster()
    made.n1.change("cni0", bridge=Bridge(nf_call_iptables=True))
    made.n1.iptables(filter_table("-A FORWARD -j DROP"))
    assert made.walk(made.a, made.c).verdict is Verdict.FAIL


def test_a_service_on_the_same_bridge_works_with_bridge_netfilter() -> None:
    """The answer meets conntrack in the bridge, and comes back from the service's address."""
    made = with_service("10.244.1.11")
    result = made.walk(made.a, SERVICE)
    assert result.verdict is Verdict.PASS
    assert result.branches[0].responder == "c"


def test_without_bridge_netfilter_the_answer_is_a_strangers() -> None:
    """The answer passes the bridge untranslated, and the client's kernel resets it: a timeout."""
    made = with_service("10.244.1.11", bridge_nf=0)
    result = made.walk(made.a, SERVICE)
    assert result.outcome is Outcome.TIMEOUT
    branch = result.branches[0]
    assert branch.forward.disposition is Disposition.DELIVERED
    assert branch.fatal_walk.last.cause == "answer-not-translated"
    assert "comes from 10.244.1.11:80, the client asked 10.96.0.1:80" in branch.fatal_walk.last.decision


@pytest.mark.parametrize("hairpin", [False, True])
def test_a_pod_calls_itself_through_its_service(hairpin: bool) -> None:
    """With bridge netfilter the frame goes back by its own port, which needs hairpin mode."""
    made = with_service("10.244.1.10", masquerade="10.244.1.10")
    made.n1.port("veth-a", "cni0", hairpin=hairpin)
    result = made.walk(made.a, SERVICE)
    if hairpin:
        assert result.verdict is Verdict.PASS
        assert result.branches[0].seen_source == "10.244.1.1"
    else:
        assert end(result) == (Disposition.DROPPED, "hairpin-off", "veth-a")
        assert "hairpin off" in result.branches[0].fatal_walk.last.evidence[-1].text


def test_isolated_ports_do_not_talk() -> None:
    """Two isolated ports refuse each other; with one of them open they talk."""
    made = cluster()
    made.n1.port("veth-a", "cni0", isolated=True)
    assert made.walk(made.a, made.c).verdict is Verdict.PASS
    made.n1.port("veth-c", "cni0", isolated=True)
    # Not even the question for the MAC address passes: the sender is told host unreachable.
    assert end(made.walk(made.a, made.c)) == (Disposition.HOST_UNREACHABLE, "bridge-port-closed", "eth0")


@pytest.mark.parametrize(
    "state", [PortState.DISABLED, PortState.BLOCKING, PortState.LEARNING, PortState.LISTENING]
)
def test_a_port_that_does_not_forward_takes_nothing(state: PortState) -> None:
    """STP states other than forwarding drop what comes in."""
    made = cluster()
    made.n1.port("veth-a", "cni0", state=state)
    made.a.neighbour("eth0", "10.244.1.1", made.n1.dev("cni0").mac)
    assert end(made.walk(made.a, made.b)) == (Disposition.DROPPED, "bridge-port-closed", "veth-a")


def test_a_bridge_that_is_down_takes_nothing() -> None:
    """Frames to a bridge that is down end at its port, where the neighbour is still known."""
    made = cluster()
    made.n1.change("cni0", up=False)
    made.a.neighbour("eth0", "10.244.1.1", made.n1.dev("cni0").mac)
    assert end(made.walk(made.a, made.b)) == (Disposition.DROPPED, "bridge-port-closed", "veth-a")


def test_a_veth_that_is_down_receives_nothing() -> None:
    """A pod's host end that is down drops what the pod sends."""
    made = cluster()
    made.n1.change("veth-a", up=False)
    made.a.neighbour("eth0", "10.244.1.1", made.n1.dev("cni0").mac)
    assert end(made.walk(made.a, made.b))[1:] == ("link-down", "veth-a")


def test_the_forwarding_database_decides_the_port() -> None:
    """An entry for the MAC address is the evidence; a wrong one sends the frame to somebody else."""
    made = cluster()
    made.n1.learned("veth-c", made.c.dev("eth0").mac)
    steps = made.walk(made.a, made.c).branches[0].forward.steps
    assert any(e.kind == "fdb" and "veth-c" in e.text for s in steps for e in s.evidence)
    made.n1.fdb.clear()
    made.n1.learned("veth-a", made.c.dev("eth0").mac)
    made.a.neighbour("eth0", "10.244.1.11", made.c.dev("eth0").mac)
    assert end(made.walk(made.a, made.c))[1] == "hairpin-off"


@pytest.mark.parametrize("learning", [True, False])
def test_an_entry_follows_its_address_to_the_port_that_it_sends_by(learning: bool) -> None:
    """Who answers ARP is learned from that, even over a static entry, but not by a port that does not learn."""
    made = cluster()
    made.n1.learned("veth-a", made.c.dev("eth0").mac)
    made.n1.port("veth-c", "cni0", learning=learning)
    assert (made.walk(made.a, made.c).verdict is Verdict.PASS) is learning


def test_an_answer_goes_where_the_database_has_the_one_who_asked() -> None:
    """A port that does not learn leaves a wrong entry as it is: the answer to ARP goes there, and is lost."""
    made = cluster()
    made.n1.learned("veth-c", made.a.dev("eth0").mac)
    assert made.walk(made.a, made.c).verdict is Verdict.PASS
    made.n1.port("veth-a", "cni0", learning=False)
    assert end(made.walk(made.a, made.c))[:2] == (Disposition.HOST_UNREACHABLE, "neighbour-unreachable")


def test_an_unknown_mac_is_flooded_to_its_owner() -> None:
    """Without an entry the frame is flooded, unless the owner's port does not take floods.

    An owner that has just answered for its address has been learned from that.
    """
    made = cluster()
    made.n1.port("veth-c", "cni0", flood=False)
    assert made.walk(made.a, made.c).verdict is Verdict.PASS
    made.a.neighbour("eth0", "10.244.1.11", made.c.dev("eth0").mac)
    assert end(made.walk(made.a, made.c))[1:] == ("bridge-port-closed", "cni0")


@pytest.mark.parametrize("hook", ["prerouting", "forward"])
def test_the_bridge_family_filters_frames(hook: str) -> None:
    """An nft chain of the family bridge drops frames whatever bridge-nf-call-iptables is."""
    made = cluster()
    place = {"family": "bridge", "table": "b"}
    made.n1.nftables(
        {"table": {"family": "bridge", "name": "b"}},
        {"chain": place | {"name": "c", "type": "filter", "hook": hook, "prio": 0, "policy": "drop"}},
    )
    made.a.neighbour("eth0", "10.244.1.11", made.c.dev("eth0").mac)
    result = made.walk(made.a, made.c)
    assert result.disposition is Disposition.DROPPED
    assert result.branches[0].forward.last.hook == f"bridge {hook}"


def test_dnat_in_the_bridge_to_another_node_goes_up_to_the_host() -> None:
    """An endpoint that is not on this bridge is routed by the node."""
    made = with_service("10.244.2.10")
    result = made.walk(made.a, SERVICE)
    assert result.verdict is Verdict.PASS
    assert result.branches[0].responder == "b"
