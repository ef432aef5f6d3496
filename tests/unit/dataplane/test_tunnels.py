"""Every kind of tunnel: where it sends, who takes its packets, what is refused. Expectations are the kernel's."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skoopctl.dataplane.topology import TUNNEL_KINDS
from skoopctl.dataplane.trace import Disposition, Outcome, PathResult, StepKind, Verdict
from skoopctl.dataplane.tunnels import TUNNELS
from skoopctl.kernel.neighbour import Neighbour, NeighbourState
from skoopctl.kernel.tunnel import Geneve, IpTunnel
from tests.support.tunnel_worlds import between, geneve, gre, ipip, number, only, wireguard
from tests.support.worlds import UNDERLAY, Cluster, cluster, filter_table

N1, N2 = number(UNDERLAY["n1"]), number(UNDERLAY["n2"])


def walked(made: Cluster) -> PathResult:
    """Walk from the pod on n1 to the pod on n2."""
    return made.walk(made.a, made.b)


def cause(result: PathResult) -> str:
    """Return why the first lost packet was lost."""
    return result.branches[0].fatal_walk.last.cause


def outer(result: PathResult) -> str:
    """Return the outer packet of the request as people see it."""
    step = next(s for s in result.branches[0].forward.steps if s.kind is StepKind.ENCAPSULATE)
    assert step.after is not None
    view = step.after
    return f"{view.protocol} {view.source} > {view.destination}"


def test_every_followed_kind_is_known_as_a_tunnel() -> None:
    """A device of a kind in the table leads nowhere by itself."""
    assert set(TUNNELS) <= TUNNEL_KINDS


# --- IPIP ----------------------------------------------------------------------------------------------------


def test_ipip_sends_to_the_routes_gateway() -> None:
    """tunl0 has no remote: the gateway is the other node, and the far end's tunl0 takes everything."""
    result = walked(ipip())
    assert result.verdict is Verdict.PASS
    assert outer(result) == "ipencap 192.168.3.86 > 192.168.3.87"


def test_rules_see_ipip_as_its_own_packets() -> None:
    """Protocol 4 meets INPUT on the peer as a flow of its own."""
    made = ipip()
    made.n2.iptables(filter_table("-A INPUT -p ipencap -j DROP"))
    last = walked(made).branches[0].fatal_walk.last
    assert (last.node, last.hook, last.depth) == ("n2", "INPUT", 1)


def test_ipip_without_a_gateway_goes_in_a_circle() -> None:
    """Without a gateway the pod itself would be the remote, and its route leads over the tunnel."""
    made = ipip()
    made.n1.routes = [r for r in made.n1.routes if str(r.destination) != "10.244.2.0/24"]
    made.n1.route("10.244.2.0/24", dev="tunl0")
    assert (walked(made).disposition, cause(walked(made))) == (Disposition.LOOP, "tunnel-loop")


def test_ipip_to_a_node_without_a_device() -> None:
    """Nobody takes protocol 4: the client times out."""
    made = ipip()
    made.n2.change("tunl0", up=False)
    result = walked(made)
    assert (cause(result), result.outcome) == ("tunnel-not-listening", Outcome.TIMEOUT)


def test_a_device_for_the_sender_is_taken_before_the_fallback() -> None:
    """ip_tunnel_lookup(): remote and local first, then the remote alone, the fallback last."""
    made = ipip()
    made.n2.link("ipip1", kind="ipip", tunnel=IpTunnel(remote=N1), mtu=1400, noarp=True)
    made.n2.link("ipip2", kind="ipip", tunnel=IpTunnel(remote=N1, local=N2), mtu=1400, noarp=True)
    made.n2.link("ipip3", kind="ipip", tunnel=IpTunnel(remote=N1, local=N1), mtu=1400, noarp=True)
    steps = walked(made).branches[0].forward.steps
    assert next(s.device for s in steps if s.kind is StepKind.DECAPSULATE) == "ipip2"


def test_strict_rp_filter_looks_at_the_tunnels_device() -> None:
    """The inner packet comes in on tunl0; with the way back elsewhere, strict rp_filter drops it."""
    made = ipip()
    made.n2.set("net/ipv4/conf/tunl0/rp_filter", 1)
    assert walked(made).verdict is Verdict.PASS
    made.n2.routes = [r for r in made.n2.routes if str(r.destination) != "10.244.1.0/24"]
    made.n2.route("10.244.1.0/24", UNDERLAY["n1"], "eth0")
    assert walked(made).disposition is Disposition.RP_FILTER


@pytest.mark.parametrize(
    ("fields", "disposition"),
    [({"external": True}, Disposition.OPAQUE), ({"wrapped": True}, Disposition.UNKNOWN)],
)
def test_what_is_not_modelled_is_said(fields: dict[str, bool], disposition: Disposition) -> None:
    """Metadata mode and FOU end as not decided, with the reason."""
    result = walked(ipip(**fields))
    assert (result.verdict, result.branches[0].disposition) == (Verdict.UNKNOWN, disposition)


def test_an_uncollected_peer_is_unknown() -> None:
    """The outer packet goes to a node that was not asked."""
    made = ipip()
    made.n1.routes = [r for r in made.n1.routes if str(r.destination) != "10.244.2.0/24"]
    made.n1.route("10.244.2.0/24", "192.168.3.99", "tunl0")
    result = made.walk(made.a, made.b, absent="192.168.3.99")
    assert (result.verdict, cause(result)) == (Verdict.UNKNOWN, "node-not-collected")


# --- SIT and ip6tnl -------------------------------------------------------------------------------------------


def six_over(kind: str, tunnel: IpTunnel, via: str = "") -> PathResult:
    """Send IPv6 between the nodes over a tunnel of that kind (n2's is its mirror)."""
    made = cluster(vxlan=False)
    for node, mine, theirs in ((made.n1, "fd01::1", "fd02::1"), (made.n2, "fd02::1", "fd01::1")):
        swapped = tunnel if node is made.n1 else replace(tunnel, local=tunnel.remote, remote=tunnel.local)
        node.link("t0", kind=kind, tunnel=swapped, mtu=1400, noarp=True)
        node.address("t0", f"{mine}/128")
        gateway = via if node is made.n1 else via.replace("3.87", "3.86")
        node.route(f"{theirs}/128", gateway, "t0")
        node.listen(80, ip="::")
    return made.world.walk("fd01::1", "fd02::1")


def test_sit_carries_ipv6_over_ipv4() -> None:
    """Protocol 41 between the nodes' IPv4 addresses."""
    result = six_over("sit", IpTunnel(local=N1, remote=N2))
    assert result.verdict is Verdict.PASS
    assert outer(result) == "41 192.168.3.86 > 192.168.3.87"


def test_sit_without_a_remote_takes_it_from_the_gateway() -> None:
    """An IPv4-compatible gateway (::a.b.c.d) is the remote."""
    result = six_over("sit", IpTunnel(), via="::192.168.3.87")
    assert result.verdict is Verdict.PASS


def test_ip6tnl_goes_over_ipv6() -> None:
    """The outer packets of ip6tnl are IPv6, and found by the nodes' IPv6 addresses."""
    made = cluster(vxlan=False)
    ends = {"n1": "fd03::1", "n2": "fd03::2"}
    for node, other, pods in ((made.n1, "n2", "10.244.2.0/24"), (made.n2, "n1", "10.244.1.0/24")):
        node.address("eth0", f"{ends[node.name]}/64")
        tunnel = IpTunnel(6, number(ends[node.name]), number(ends[other]))
        node.link("t0", kind="ip6tnl", tunnel=tunnel, mtu=1400, noarp=True)
        node.routes = [r for r in node.routes if str(r.destination) != pods]
        node.route(pods, dev="t0")
    result = walked(made)
    assert outer(result) == "ipencap fd03::1 > fd03::2"
    assert result.outcome is Outcome.CONNECTED


# --- GRE -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "two", "passes"),
    [
        ({}, {}, True),
        ({"out_key": 5, "in_key": 5}, {"out_key": 5, "in_key": 5}, True),
        ({"out_key": 5, "in_key": 6}, {"out_key": 6, "in_key": 5}, True),
        ({"out_key": 5, "in_key": 5}, {"out_key": 6, "in_key": 6}, False),
        ({"out_key": 5}, {}, False),
        ({}, {"in_key": 0}, False),
        ({}, {"remote": number("192.168.3.99")}, False),
        ({}, {"in_checked": 1}, False),
        ({"out_checked": 1}, {"in_checked": 1}, True),
        ({"out_checked": 1}, {}, False),
        ({"out_checked": 3}, {}, False),
        ({"out_checked": 2}, {}, True),
    ],
)
def test_gre_keys_and_ends_must_match(one: dict[str, int], two: dict[str, int], passes: bool) -> None:
    """A device with a key takes only that key, one without takes none; so it is with checksums."""
    result = walked(gre(one, two))
    assert (result.verdict is Verdict.PASS) is passes
    if not passes:
        assert cause(result) == "tunnel-not-listening"


def test_frames_do_not_go_to_a_device_for_packets() -> None:
    """Gretap sends Ethernet frames, which a gre device does not take."""
    made = gre()
    made.n2.change("gre1", kind="gretap")
    assert cause(walked(made)) == "tunnel-not-listening"


def test_multipoint_gre_finds_its_remote_by_the_neighbour() -> None:
    """A neighbour entry whose link layer address is an IPv4 address names the remote."""
    made = gre({"remote": 0}, {"remote": 0})
    for node, other, pod in ((made.n1, "n2", "10.244.2.10"), (made.n2, "n1", "10.244.1.10")):
        node.neighbours.append(
            Neighbour(node.index("gre1"), ip_address(pod), UNDERLAY[other], NeighbourState.PERMANENT)
        )
    assert walked(made).verdict is Verdict.PASS


# --- Geneve --------------------------------------------------------------------------------------------------


def test_geneve_resolves_neighbours_over_itself() -> None:
    """ARP goes over the tunnel: the far end's device answers for its address."""
    result = walked(geneve())
    assert result.verdict is Verdict.PASS, result.branches[0].fatal_walk.last
    assert outer(result) == "udp 192.168.3.86 > 192.168.3.87"


@pytest.mark.parametrize("two", [{"vni": 8}, {"remote": number("192.168.3.99")}, {"port": 6082}])
def test_geneve_takes_only_what_its_own_remote_sends(two: dict[str, int]) -> None:
    """geneve_lookup(): VNI and the sender's address; a device whose remote is another node takes nothing."""
    made = geneve(None, two)
    made.n1.neighbour("gnv0", "10.244.2.0", made.n2.dev("gnv0").mac)
    assert cause(walked(made)) == "tunnel-not-listening"


def test_external_geneve_is_opaque() -> None:
    """Who fills in the metadata (Cilium) decides, and was not read."""
    made = geneve({"external": True})
    made.n1.neighbour("gnv0", "10.244.2.0", made.n2.dev("gnv0").mac)
    assert walked(made).branches[0].disposition is Disposition.OPAQUE
    assert isinstance(made.n1.dev("gnv0").tunnel, Geneve)


# --- WireGuard -----------------------------------------------------------------------------------------------


def test_wireguard_sends_to_the_peer_of_the_destination() -> None:
    """Allowed IPs pick the peer; ports are the two listen ports."""
    result = walked(wireguard())
    assert result.verdict is Verdict.PASS
    assert outer(result) == "udp 192.168.3.86 > 192.168.3.87"
    step = next(s for s in result.branches[0].forward.steps if s.kind is StepKind.ENCAPSULATE)
    assert step.evidence[0].text == "wg0: peer key-of-n2"


def test_wireguard_drops_a_source_that_its_peer_may_not_use() -> None:
    """The pod's address must be among the allowed IPs that n2 has for n1."""
    allowed = (ip_network("10.244.2.10/32"), ip_network("10.244.1.0/24"))
    made = wireguard(peer=only("n2", allowed_ips=allowed))
    assert walked(made).verdict is Verdict.PASS
    made = wireguard(peer=only("n2", allowed_ips=(ip_network("10.244.1.99/32"),)))
    assert cause(walked(made)) == "wireguard-source-refused"


def test_without_a_peer_the_client_is_told() -> None:
    """wg_xmit() answers with an ICMP error where no peer has the destination."""
    result = walked(wireguard(peer=only("n1", allowed_ips=())))
    assert (cause(result), result.outcome) == ("wireguard-no-peer", Outcome.UNREACHABLE)


def test_a_peer_is_known_from_its_own_packets() -> None:
    """The answering node has no endpoint for the client's: it learns it from the request. It cannot begin."""
    made = wireguard(peer=only("n2", endpoint=None))
    assert walked(made).verdict is Verdict.PASS
    result = made.walk(made.b, made.a)
    assert (cause(result), result.outcome) == ("wireguard-endpoint-missing", Outcome.UNREACHABLE)


def test_the_longest_allowed_network_wins() -> None:
    """A peer with a default route does not take what another has more closely."""
    made = wireguard()
    (device,) = made.n1.more["wireguard"]
    other = replace(
        device.peers[0], public_key="elsewhere", endpoint=None, allowed_ips=(ip_network("0.0.0.0/0"),)
    )
    made.n1.more["wireguard"] = (replace(device, peers=(other, *device.peers)),)
    assert walked(made).verdict is Verdict.PASS


def test_the_outer_packet_has_the_devices_mark() -> None:
    """The inner mark stays inside; fwmark is what rules see on the outer packet."""
    made = wireguard(device=only("n1", fwmark=0xCA6C))
    made.n1.iptables(filter_table("-A FORWARD -j MARK --set-mark 0x1", table="mangle"))
    made.n1.iptables(filter_table("-A OUTPUT -p udp -m mark ! --mark 0xca6c -j DROP"))
    assert walked(made).verdict is Verdict.PASS


def test_peers_that_were_not_read_are_unknown() -> None:
    """A node that did not answer for WireGuard leaves its peers unknown."""
    made = wireguard()
    made.n1.more["wireguard"] = ()
    made.n1.gaps["wireguard"] = "denied: root is needed"
    result = walked(made)
    assert (result.verdict, cause(result)) == (Verdict.UNKNOWN, "evidence-incomplete")


def test_another_listen_port_is_not_taken() -> None:
    """The peer's endpoint names a port that the far end does not listen on."""
    assert cause(walked(wireguard(device=only("n2", listen_port=51821)))) == "tunnel-not-listening"


# --- tunnels in tunnels --------------------------------------------------------------------------------------


def test_tunnels_that_lead_over_each_other_end() -> None:
    """Two tunnels whose remotes are reached over the other one: a loop, found, and no exception."""
    made = ipip()
    made.n1.link("ipip1", kind="ipip", tunnel=IpTunnel(remote=number("198.51.100.1")), mtu=1400, noarp=True)
    made.n1.link("ipip2", kind="ipip", tunnel=IpTunnel(remote=number("198.51.100.2")), mtu=1400, noarp=True)
    made.n1.route("198.51.100.1/32", dev="ipip2")
    made.n1.route("198.51.100.2/32", dev="ipip1")
    made.n1.routes = [r for r in made.n1.routes if str(r.destination) != "10.244.2.0/24"]
    made.n1.route("10.244.2.0/24", dev="ipip1")
    assert (walked(made).disposition, cause(walked(made))) == (Disposition.LOOP, "tunnel-loop")


def test_a_tunnel_inside_of_a_tunnel() -> None:
    """IPIP whose remote is reached over WireGuard: two outer packets, one inside the other."""
    made = wireguard()
    for node, other, pods in ((made.n1, "n2", "10.244.2.0/24"), (made.n2, "n1", "10.244.1.0/24")):
        tunnel = IpTunnel(remote=number(UNDERLAY[other]), local=number(UNDERLAY[node.name]))
        node.link("ipip1", kind="ipip", tunnel=tunnel, mtu=1300, noarp=True)
        node.routes = [r for r in node.routes if str(r.destination) != pods]
        node.route(pods, dev="ipip1")
    result = walked(made)
    depths = {step.depth for step in result.branches[0].forward.steps}
    assert depths == {0, 1}
    made.n1.rule(100, fwmark=0, fwmask=0xFFFF, table=77)
    made.n1.route(f"{UNDERLAY['n2']}/32", dev="wg0", table=77)
    made.n1.rule(101, table=254)
    made.n1.rule(0, table=255)
    (device,) = made.n1.more["wireguard"]
    made.n1.more["wireguard"] = (replace(device, fwmark=1),)
    result = walked(made)
    assert result.outcome is Outcome.CONNECTED, result.branches[0].fatal_walk.last
    assert {step.depth for step in result.branches[0].forward.steps} == {0, 1, 2}


ENDS = st.sampled_from([0, N1, N2, number("10.244.2.10"), number("127.0.0.1"), 1])


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["ipip", "sit", "gre", "gretap", "ip6gre", "ip6gretap", "ip6tnl"]),
    st.builds(
        IpTunnel,
        st.sampled_from([4, 6]),
        ENDS,
        ENDS,
        st.integers(0, 9),
        in_key=st.none() | st.integers(0, 3),
        out_key=st.none() | st.integers(0, 3),
        pmtudisc=st.booleans(),
        ignore_df=st.booleans(),
        protocol=st.integers(0, 255),
    ),
    st.integers(0, 1 << 32),
    st.booleans(),
)
def test_no_tunnel_makes_the_walk_raise(kind: str, tunnel: IpTunnel, mtu: int, gateway: bool) -> None:
    """Whatever a node tells of its tunnel, the walk ends with a verdict."""
    made = between("t0", lambda _me, _other: {"kind": kind, "tunnel": tunnel, "mtu": mtu}, gateway=gateway)
    assert walked(made).verdict in set(Verdict)
