"""VLAN filtering, VLAN devices, macvlan, ipvlan, bond, VRF, dummy: frames through devices on top of others."""

from __future__ import annotations

from typing import Any

import pytest

from skoopctl.dataplane.trace import Disposition, Outcome, PathResult, StepKind, Verdict
from skoopctl.kernel.link import Bond, Bridge, SharedMode, Vlan, VlanEntry
from skoopctl.kernel.route import TABLE_MAIN, NextHop, PolicyRule, Route, RouteType
from tests.support.worlds import Box, Cluster, World, cluster, filter_table

ACCESS = VlanEntry(10, pvid=True, untagged=True)
TRUNK = VlanEntry(10)


def cause(result: PathResult) -> str:
    """Return the word for why a flow fails."""
    return result.branches[0].fatal_walk.last.cause


def filtering(made: Cluster, **members: tuple[VlanEntry, ...] | None) -> None:
    """Let cni0 filter by VLAN; ``members`` are devices (``_`` for ``-``) with their VLANs."""
    made.n1.change("cni0", bridge=Bridge(vlan_filtering=True), vlans=(ACCESS,))
    for device in ("veth-a", "veth-c"):
        made.n1.change(device, vlans=(ACCESS,))
    for device, vlans in members.items():
        made.n1.change(device.replace("_", "-"), vlans=vlans)


@pytest.mark.parametrize(
    ("vlans", "verdict"),
    [
        ((ACCESS,), Verdict.PASS),
        ((VlanEntry(20, pvid=True, untagged=True),), Verdict.FAIL),
        ((VlanEntry(10, untagged=True),), Verdict.FAIL),  # no PVID: its own untagged frames go nowhere
        ((VlanEntry(20, pvid=True, untagged=True), VlanEntry(10, untagged=True)), Verdict.FAIL),
        ((), Verdict.FAIL),
        ((VlanEntry(10, pvid=True),), Verdict.FAIL),  # what it gets is tagged, and it has no VLAN device
    ],
)
def test_vlan_membership(vlans: tuple[VlanEntry, ...], verdict: Verdict) -> None:
    """Two ports talk if each takes the other's VLAN in by its PVID and lets it out untagged."""
    made = cluster()
    filtering(made, veth_c=vlans)
    result = made.walk(made.a, made.c)
    assert result.verdict is verdict
    if verdict is Verdict.FAIL:
        assert result.disposition is Disposition.HOST_UNREACHABLE


def test_the_bridge_itself_is_a_member_like_any_port() -> None:
    """A pod reaches other nodes only if the bridge's own device is in its VLAN."""
    made = cluster()
    filtering(made)
    assert made.walk(made.a, made.b).verdict is Verdict.PASS
    filtering(made, cni0=(VlanEntry(20, pvid=True, untagged=True),))
    result = made.walk(made.a, made.b)
    assert result.verdict is Verdict.FAIL
    assert cause(result) == "vlan-not-allowed"


def test_vlans_that_were_not_read_are_unknown() -> None:
    """A filtering bridge whose VLANs are missing decides nothing."""
    made = cluster()
    filtering(made, veth_a=None)
    made.n1.gaps["bridge-vlan"] = "timeout"
    assert made.walk(made.a, made.c).verdict is Verdict.UNKNOWN


def test_a_vlan_device_on_a_bridge_takes_its_tag() -> None:
    """Frames of a VLAN of which the bridge is a tagged member go up to the VLAN device on it."""
    world = World()
    host, pod = world.host("n1"), world.pod("n1", "p")
    world.veth(pod, "eth0", host, "vp")
    pod.address("eth0", "10.0.0.1/24")
    host.bridge("br0")
    host.port("vp", "br0")
    host.change("br0", bridge=Bridge(vlan_filtering=True), vlans=(TRUNK,))
    host.change("vp", vlans=(ACCESS,))
    host.link("br0.10", kind="vlan", peer=host.index("br0"), vlan=Vlan(10), mac=host.dev("br0").mac)
    host.address("br0.10", "10.0.0.254/24")
    host.listen(80)
    assert world.walk(pod, host).verdict is Verdict.PASS
    host.change("br0.10", vlan=Vlan(11))
    assert world.walk(pod, host).verdict is Verdict.FAIL


def two_nodes(kind: str, **more: Any) -> tuple[World, Box, Box]:
    """Make two nodes whose addresses are on a device on top of eth0."""
    world = World()
    nodes = []
    for number in (1, 2):
        node = world.host(f"n{number}")
        node.link("eth0")
        node.link("top", kind=kind, peer=node.index("eth0"), **more)
        node.address("top", f"10.0.0.{number}/24")
        node.listen(80)
        nodes.append(node)
    return world, nodes[0], nodes[1]


def test_vlan_devices_on_nics() -> None:
    """Nodes on one VLAN reach each other through their NICs, which have to be up."""
    world, one, two = two_nodes("vlan", vlan=Vlan(7))
    result = world.walk(one, two)
    assert result.verdict is Verdict.PASS
    assert any(s.decision == "by eth0, as VLAN 7" for s in result.branches[0].forward.steps)
    two.change("eth0", up=False)
    assert cause(world.walk(one, two)) == "link-down"


def test_rules_of_a_bridge_see_tagged_frames_only_on_request() -> None:
    """bridge-nf-filter-vlan-tagged decides whether iptables sees a tagged frame."""
    from skoopctl.dataplane.frames.bridging import calls_netfilter
    from skoopctl.dataplane.topology import Station

    made = cluster()
    made.n1.set("net/bridge/bridge-nf-call-iptables", 1)
    for wanted in (0, 1):
        made.n1.set("net/bridge/bridge-nf-filter-vlan-tagged", wanted)
        netns = made.n1.build()
        bridge = Station(netns, made.n1.dev("cni0"))
        assert calls_netfilter(netns, bridge, 4)
        assert calls_netfilter(netns, bridge, 4, tag=10) is bool(wanted)


def macvlans(mode: SharedMode) -> tuple[World, Box, Box, Box]:
    """Make a host with a NIC and two pods with a macvlan each on it."""
    world = World()
    host = world.host("n1")
    host.link("eth0")
    host.address("eth0", "10.0.0.100/24")
    host.listen(80)
    pods = []
    for number in (1, 2):
        pod = world.pod("n1", f"p{number}")
        pod.nsids[0] = host.inode
        pod.link("net1", kind="macvlan", peer=host.index("eth0"), peer_nsid=0, shared=mode)
        pod.address("net1", f"10.0.0.{number}/24")
        pod.listen(80)
        pods.append(pod)
    return world, host, pods[0], pods[1]


@pytest.mark.parametrize(
    ("mode", "outcome"),
    [
        (SharedMode.BRIDGE, Outcome.CONNECTED),
        (SharedMode.PRIVATE, Outcome.UNREACHABLE),
        (SharedMode.VEPA, Outcome.UNREACHABLE),
    ],
)
def test_macvlan_modes(mode: SharedMode, outcome: Outcome) -> None:
    """Macvlans on one device reach each other in bridge mode, and never the host below them."""
    world, host, one, two = macvlans(mode)
    assert world.walk(one, two).outcome is outcome
    assert world.walk(one, host).outcome is Outcome.UNREACHABLE
    assert world.walk(host, one).outcome is Outcome.UNREACHABLE


def test_a_macvlan_that_knows_its_host_is_not_answered() -> None:
    """With an entry for the host's MAC address the frame goes out, and no switch sends it back."""
    world, host, one, _ = macvlans(SharedMode.BRIDGE)
    one.neighbour("net1", "10.0.0.100", host.dev("eth0").mac)
    assert cause(world.walk(one, host)) == "same-wire"


def test_a_macvlan_reaches_another_node() -> None:
    """A macvlan's frames leave by the NIC; another node's NIC takes them."""
    world, _, one, _ = macvlans(SharedMode.BRIDGE)
    other = world.host("n2")
    other.link("eth0")
    other.address("eth0", "10.0.0.200/24")
    other.listen(80)
    assert world.walk(one, other).verdict is Verdict.PASS
    assert world.walk(other, one).verdict is Verdict.PASS


def test_ipvlan_l2_and_l3() -> None:
    """In l2 mode the host is not reached, in l3 mode it routes; the others on the device are reached in both."""
    for mode, outcome in ((SharedMode.L2, Outcome.UNREACHABLE), (SharedMode.L3, Outcome.CONNECTED)):
        world, host, one, two = macvlans(mode)
        for pod in (one, two):
            pod.change("net1", kind="ipvlan", mac=host.dev("eth0").mac, noarp=mode is SharedMode.L3)
        assert world.walk(one, two).outcome is Outcome.CONNECTED, mode
        if mode is SharedMode.L2:
            assert world.walk(one, host).outcome is outcome


def test_ipvlan_l3s_is_unknown() -> None:
    """What l3s does in its host's hooks is not followed."""
    world, host, one, _ = macvlans(SharedMode.L3S)
    one.change("net1", kind="ipvlan", mac=host.dev("eth0").mac)
    other = world.host("n2")
    other.link("eth0")
    other.address("eth0", "10.0.0.200/24")
    assert world.walk(other, one).verdict is Verdict.UNKNOWN


def test_a_bond_is_one_device() -> None:
    """A bond with a member that is up sends; with none it does not."""
    world, one, two = two_nodes("bond", bond=Bond(1))
    for node in (one, two):
        node.change("top", peer=0)
        node.change("eth0", master=node.index("top"))
    assert world.walk(one, two).verdict is Verdict.PASS
    one.change("eth0", up=False)
    assert cause(world.walk(one, two)) == "link-down"


def test_a_dummy_device_swallows() -> None:
    """A route out of a dummy device is a hole; an address on it is local."""
    world, one, _ = two_nodes("dummy", noarp=True)
    assert cause(world.walk(one, "10.0.0.77")) == "dummy-device"
    assert world.walk(one, "10.0.0.1").verdict is Verdict.PASS


def test_netkit_is_unknown() -> None:
    """A netkit device runs a BPF program, and is not guessed at."""
    world, one, _ = two_nodes("netkit")
    assert world.walk(one, "10.0.0.77").verdict is Verdict.UNKNOWN


def vrf() -> tuple[World, Box, Box]:
    """Make a host with a pod's veth in a VRF of table 10."""
    world = World()
    host, pod = world.host("n1"), world.pod("n1", "p")
    world.veth(pod, "eth0", host, "vp")
    pod.address("eth0", "10.0.0.1/24")
    host.link("red", kind="vrf", vrf_table=10, noarp=True)
    host.change("vp", master=host.index("red"))
    index = host.index("vp")
    host.rules += [
        PolicyRule(4, 1000, l3mdev=True, text="1000:\tfrom all lookup [l3mdev-table]"),
        PolicyRule(4, 0, table=255, text="0:\tfrom all lookup local"),
        PolicyRule(4, 32766, table=TABLE_MAIN, text="32766:\tfrom all lookup main"),
    ]
    host.address("vp", "10.0.0.254/24")
    host.routes = [r for r in host.routes if r.next_hops[0].index != index]
    from ipaddress import ip_network

    host.routes += [
        Route(10, ip_network("10.0.0.254/32"), RouteType.LOCAL, (NextHop(index),), scope=254, text="local"),
        Route(10, ip_network("10.0.0.0/24"), next_hops=(NextHop(index),), scope=253, text="connected"),
    ]
    host.listen(80)
    return world, host, pod


def test_a_vrf_has_its_own_table_and_hooks() -> None:
    """A packet from an enslaved device meets PREROUTING on it and on the VRF, and INPUT on the VRF."""
    world, host, pod = vrf()
    host.set("net/ipv4/tcp_l3mdev_accept", 1)
    assert world.walk(pod, host).verdict is Verdict.PASS
    host.iptables(filter_table("-A INPUT -i vp -j DROP"))
    assert world.walk(pod, host).verdict is Verdict.PASS
    host.iptables(filter_table("-A INPUT -i red -j DROP"))
    assert cause(world.walk(pod, host)) == "netfilter-drop"


def test_sockets_of_a_vrf_are_unknown() -> None:
    """Without tcp_l3mdev_accept only a socket bound to the VRF takes the packet, and that is not read."""
    world, host, pod = vrf()
    assert world.walk(pod, host).verdict is Verdict.UNKNOWN


def test_arp_names_a_sender_that_passes_the_reverse_path_filter() -> None:
    """A question from an address that strict rp_filter refuses is not answered."""
    world = World()
    host, pod = world.host("n1"), world.pod("n1", "p")
    world.veth(pod, "eth0", host, "vp")
    host.link("eth1")
    host.address("vp", "10.0.0.254/24")
    host.listen(80)
    pod.address("eth0", "10.9.0.1/32")
    pod.route("10.0.0.0/24", dev="eth0")
    host.route("10.9.0.1/32", dev="eth1")
    host.set("net/ipv4/conf/all/rp_filter", 1)
    result = world.walk(pod, host)
    assert result.disposition is Disposition.HOST_UNREACHABLE
    host.set("net/ipv4/conf/all/rp_filter", 2)
    forward = world.walk(pod, host).branches[0].forward
    assert forward.last.kind is StepKind.SOCKET


def test_behind_a_bond_of_veths_nobody_else_may_answer() -> None:
    """A bond leads where its members lead: an address that nobody has there is unreachable, not outside."""
    world = World()
    host, pod = world.host("n1"), world.pod("n1", "p")
    world.veth(pod, "p0", host, "h0")
    pod.link("bond0", kind="bond", bond=Bond(1))
    pod.change("p0", master=pod.index("bond0"))
    pod.address("bond0", "10.0.0.1/24")
    host.address("h0", "10.0.0.2/24")
    assert cause(world.walk(pod, "10.0.0.9")) == "neighbour-unreachable"
    host.change("h0", up=False)
    assert cause(world.walk(pod, "10.0.0.2")) == "neighbour-unreachable"
