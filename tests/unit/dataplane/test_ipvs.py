"""IPVS in the walk: which hooks see what, who is chosen, and what comes back."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from skoopctl.dataplane.choice import ChoiceKind
from skoopctl.dataplane.conntrack import Balanced, CtState, Entry, Table, Tracking
from skoopctl.dataplane.packet import Packet, Ports, Tuple5
from skoopctl.dataplane.rules.netfilter import run_hook
from skoopctl.dataplane.rules.ruling import Action
from skoopctl.dataplane.rules.scheduling import _SCHEDULERS
from skoopctl.dataplane.trace import Disposition, Outcome, PathResult, Verdict
from skoopctl.kernel.ipvs import Forwarding, Ipvs, RealServer, Template, VirtualService
from skoopctl.kernel.tunnel import IpTunnel
from tests.support.broken import SERVICE, balance
from tests.support.worlds import At, Cluster, cluster, filter_table, packet, third_node

B, C = "10.244.2.10", "10.244.1.11"


def service(*servers: str, way: str = "-m", scheduler: str = "rr", letter: str = "-t", more: str = "") -> str:
    """Write a service at port 80 with servers at port 80, each of weight 1."""
    name = f"{letter} {SERVICE}:80"
    lines = [f"-A {name} -s {scheduler} {more}"]
    lines += [f"-a {name} -r {address}:80 {way} -w 1" for address in servers]
    return "\n".join(lines)


def balanced(*servers: str, **more: str) -> Cluster:
    """Make a cluster in which n1 balances the service to servers."""
    made = cluster()
    balance(made, service(*servers, **more), SERVICE)
    return made


def outcomes(result: PathResult) -> dict[str, float]:
    """Return the share of each outcome."""
    return {outcome.value: round(share, 3) for outcome, share in result.outcomes().items()}


# --- masquerading ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("server", [B, C])
def test_a_service_leads_to_its_server_and_back(server: str) -> None:
    """A server elsewhere and one on this node's bridge answer in the service's name, and see the client."""
    made = balanced(server)
    made.n1.set("net/bridge/bridge-nf-call-iptables", 1)
    result = made.walk(made.a, SERVICE)
    assert (result.verdict, result.unknowns) == (Verdict.PASS, ())
    (branch,) = result.branches
    assert branch.seen_source == "10.244.1.10"
    assert branch.responder == {B: "b", C: "c"}[server]


def test_each_server_gets_its_turn() -> None:
    """Two servers are two branches of equal weight; one that is dead fails for its share."""
    result = balanced(B, "10.244.2.99").walk("10.244.1.10", SERVICE)
    assert result.verdict is Verdict.MIXED
    assert outcomes(result) == {"connected": 0.5, "unreachable": 0.5}
    assert {branch.choices for branch in result.branches} == {(f"{B}:80",), ("10.244.2.99:80",)}


@pytest.mark.parametrize("unread", [False, True])
def test_thresholds_that_were_not_read_are_assumed_not_to_be_reached(unread: bool) -> None:
    """/proc/net/ip_vs does not show thresholds: the verdict rests on there being none, and says so."""
    made = balanced(B)
    found: Ipvs = made.n1.more["ipvs"]
    (only,) = found.services
    servers = tuple(replace(server, upper=None if unread else 0) for server in only.servers)
    made.n1.more["ipvs"] = replace(found, services=(replace(only, servers=servers),))
    result = made.walk(made.a, SERVICE)
    assert result.verdict is Verdict.PASS
    assert any("thresholds were not read" in text for text in result.assumptions) is unread


def test_the_hooks_that_a_request_meets() -> None:
    """INPUT's filter sees the service, OUTPUT and POSTROUTING the server; FORWARD sees neither."""
    made = balanced(B)
    rule = "-A {} -d {} -p tcp -j DROP"
    expected = {
        ("INPUT", SERVICE): "timeout",
        ("INPUT", B): "connected",
        ("OUTPUT", SERVICE): "connected",
        ("OUTPUT", B): "timeout",
        ("FORWARD", SERVICE): "connected",
        ("FORWARD", B): "connected",
    }
    for (chain, address), outcome in expected.items():
        made = balanced(B)
        made.n1.iptables(filter_table(rule.format(chain, address)))
        assert outcomes(made.walk(made.a, SERVICE)) == {outcome: 1.0}, (chain, address)


@pytest.mark.parametrize(("address", "outcome"), [(SERVICE, "connected"), (B, "timeout")])
def test_postrouting_sees_the_server(address: str, outcome: str) -> None:
    """Mangle's POSTROUTING meets the packet with the server's address."""
    made = balanced(B)
    made.n1.iptables(filter_table(f"-A POSTROUTING -d {address}/32 -p tcp -j DROP", table="mangle"))
    assert outcomes(made.walk(made.a, SERVICE)) == {outcome: 1.0}


def test_the_answer_passes_forward_before_it_is_translated() -> None:
    """FORWARD's filter sees the server's address in the answer: IPVS comes after it."""
    for source, outcome in ((B, "timeout"), (SERVICE, "connected")):
        made = balanced(B)
        made.n1.iptables(filter_table(f"-A FORWARD -s {source}/32 -j DROP"))
        assert outcomes(made.walk(made.a, SERVICE)) == {outcome: 1.0}


def test_no_nat_status_bit_is_set() -> None:
    """``--ctstate DNAT`` does not match, though the reply's tuple is the server's."""
    made = balanced(B)
    made.n1.iptables(filter_table("-A OUTPUT -p tcp -m conntrack --ctstate DNAT -j DROP"))
    assert made.walk(made.a, SERVICE).verdict is Verdict.PASS
    made = balanced(B)
    made.n1.iptables(filter_table(f"-A OUTPUT -p tcp -m conntrack --ctreplsrc {B} -j DROP"))
    assert outcomes(made.walk(made.a, SERVICE)) == {"timeout": 1.0}


@pytest.mark.parametrize(("conntrack", "seen"), [(1, "10.244.1.0"), (0, "10.244.1.10")])
def test_without_conntrack_nothing_masquerades(conntrack: int, seen: str) -> None:
    """vs/conntrack = 0 makes the packet UNTRACKED: POSTROUTING's NAT does not see it."""
    made = balanced(B)
    made.n1.set("net/ipv4/vs/conntrack", conntrack)
    made.n1.iptables(filter_table("-A POSTROUTING -p tcp -j MASQUERADE", table="nat"))
    result = made.walk(made.a, SERVICE)
    assert result.verdict is Verdict.PASS
    assert {branch.seen_source for branch in result.branches} == {seen}


def test_an_unread_switch_is_unknown_only_where_it_matters() -> None:
    """Whether IPVS keeps conntrack's entry matters to a rule that masquerades, not to the outcome here."""
    made = balanced(B)
    del made.n1.sysctls["net/ipv4/vs/conntrack"]
    assert made.walk(made.a, SERVICE).verdict is Verdict.PASS
    made.n1.iptables(filter_table("-A OUTPUT -m conntrack --ctstate UNTRACKED -j DROP"))
    result = made.walk(made.a, SERVICE)
    assert result.verdict is Verdict.UNKNOWN
    assert "net.ipv4.vs.conntrack of n1 was not read" in result.unknowns


def test_an_answer_that_does_not_come_back_through_the_node_is_a_stranger() -> None:
    """A client on n2 that asks n1 for a server on n2 gets its answer directly, from the wrong address."""
    made = cluster()
    balance(made, service(B).replace(SERVICE, "192.168.3.86"))
    d = made.world.pod("n2", "d")
    made.world.veth(d, "eth0", made.n2, "veth-d")
    made.n2.port("veth-d", "cni0")
    d.address("eth0", "10.244.2.11/24")
    d.route("default", "10.244.2.1", "eth0")
    result = made.walk(d, "192.168.3.86")
    assert (result.verdict, result.outcome) == (Verdict.FAIL, Outcome.TIMEOUT)
    made.n1.iptables(filter_table("-A POSTROUTING -p tcp --dport 80 -j MASQUERADE", table="nat"))
    assert made.walk(d, "192.168.3.86").verdict is Verdict.PASS


def test_a_client_on_the_node_needs_masquerading() -> None:
    """It sends from the service's own address, which only this node has."""
    made = balanced(B)
    assert made.walk(made.n1, SERVICE).verdict is not Verdict.PASS
    made.n1.iptables(filter_table("-A POSTROUTING -p tcp --dport 80 -j MASQUERADE", table="nat"))
    assert made.walk(made.n1, SERVICE).verdict is Verdict.PASS


def test_a_server_on_the_node_itself_takes_the_packet_in_the_same_hook() -> None:
    """A local server needs no second way: conntrack confirms, the socket gets it, the answer is translated."""
    made = balanced("192.168.3.86")
    made.n1.listen(80)
    for client in (made.a, made.n1, made.b):
        if client is made.b:
            made.n2.route(f"{SERVICE}/32", "192.168.3.86", "eth0")
        assert made.walk(client, SERVICE).verdict is Verdict.PASS, client.name


def test_a_refusal_of_the_server_is_heard() -> None:
    """A server's reset, and its ICMP port unreachable for UDP, come back in the service's name."""
    for letter, protocol in (("-t", "tcp"), ("-u", "udp")):
        made = balanced(B, letter=letter)
        made.b.sockets.clear()
        result = made.walk(made.a, SERVICE, 80, protocol)
        assert (result.disposition, outcomes(result)) == (Disposition.REFUSED, {"refused": 1.0}), protocol


# --- no server ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [service(), service(B).replace("-w 1", "-w 0")])
@pytest.mark.parametrize("client", ["10.244.1.10", "192.168.3.86"])
def test_without_a_server_the_client_is_refused(text: str, client: str) -> None:
    """ICMP port unreachable, for TCP and UDP, from outside and from the node itself."""
    for letter, protocol in (("-t", "tcp"), ("-u", "udp")):
        made = cluster()
        balance(made, text.replace("-t", letter), SERVICE)
        result = made.walk(client, SERVICE, 80, protocol)
        assert (result.disposition, outcomes(result)) == (Disposition.REJECTED, {"refused": 1.0})
        last = result.branches[0].forward.last
        assert last.cause == "ipvs-no-server"
        assert last.evidence[-1].kind == "ipvs-service"


def test_another_port_of_the_address_is_the_nodes_own() -> None:
    """IPVS takes no packet for a port that is no service: the node's sockets answer."""
    made = balanced(B)
    assert made.walk(made.a, SERVICE, 81).disposition is Disposition.REFUSED
    assert made.walk(made.a, SERVICE, 22).verdict is Verdict.PASS
    assert made.walk(made.a, SERVICE, 0, "icmp").branches[0].responder == "host"


def test_an_address_that_the_node_does_not_have_is_not_balanced() -> None:
    """Without kube-ipvs0 a pod's packet is routed on; a client on the node is balanced all the same."""
    made = cluster()
    balance(made, service(B))
    made.n1.iptables(filter_table("-A POSTROUTING -p tcp --dport 80 -j MASQUERADE", table="nat"))
    assert made.walk(made.a, SERVICE).verdict is not Verdict.PASS
    assert made.walk(made.n1, SERVICE).verdict is Verdict.PASS


# --- other ways to a server -----------------------------------------------------------------------------------


@pytest.mark.parametrize("owns", [True, False])
def test_direct_routing_needs_the_address_on_the_server(owns: bool) -> None:
    """The packet keeps the service's address and goes to the server's MAC, which must own it, and answers."""
    made = balanced("192.168.3.87", way="-g")
    client = third_node(made)
    client.route(f"{SERVICE}/32", "192.168.3.86", "eth0")
    made.n2.listen(80)
    if owns:
        made.n2.address("lo", f"{SERVICE}/32")
    result = made.walk(client, SERVICE)
    assert (result.verdict is Verdict.PASS) == owns
    if owns:
        assert result.branches[0].seen_source == "192.168.3.88"


def test_the_answer_of_direct_routing_must_not_come_through_the_balancer() -> None:
    """The balancer has the service's address itself: a packet from there is a martian to it."""
    made = balanced("192.168.3.87", way="-g")
    made.n2.listen(80)
    made.n2.address("lo", f"{SERVICE}/32")
    result = made.walk(made.a, SERVICE)
    assert result.branches[0].fatal_walk.last.cause == "own-source"


@pytest.mark.parametrize(
    ("device", "owns", "passes"), [(True, True, True), (False, True, False), (True, False, False)]
)
def test_a_tunnel_needs_a_device_and_the_address_at_its_end(device: bool, owns: bool, passes: bool) -> None:
    """IPVS wraps the packet itself; the server unwraps it, has the service's address, and answers directly."""
    made = balanced("192.168.3.87", way="-i")
    client = third_node(made)
    client.route(f"{SERVICE}/32", "192.168.3.86", "eth0")
    made.n2.listen(80)
    if device:
        made.n2.link("tunl0", kind="ipip", tunnel=IpTunnel(), mtu=1480, noarp=True)
    if owns:
        made.n2.address("lo", f"{SERVICE}/32")
    result = made.walk(client, SERVICE)
    assert (result.verdict is Verdict.PASS) == passes
    if passes:
        assert result.branches[0].seen_source == "192.168.3.88"
    made.n1.iptables(filter_table("-A OUTPUT -p ipencap -d 192.168.3.87/32 -j DROP"))
    assert made.walk(client, SERVICE).branches[0].forward.last.cause == "netfilter-drop"


def test_other_tunnels_of_ipvs_are_named_and_not_followed() -> None:
    """A server behind GUE is OPAQUE; one on the node itself needs no tunnel."""
    made = balanced(B, way="-i --tun-type gue --tun-port 6080")
    result = made.walk(made.a, SERVICE)
    assert result.verdict is Verdict.UNKNOWN
    assert f"IPVS sends to {B} in a gue tunnel, which is not followed" in result.unknowns
    made = balanced("192.168.3.86", way="-i")
    made.n1.listen(80)
    assert made.walk(made.a, SERVICE).verdict is Verdict.PASS


def test_an_answer_to_one_packet_mode_is_not_translated() -> None:
    """A connection of ``-o`` is not kept, so nobody gives the answer the service's address."""
    made = balanced(B, letter="-u", more="-o")
    result = made.walk(made.a, SERVICE, 80, "udp")
    assert (result.verdict, result.outcome) == (Verdict.FAIL, Outcome.TIMEOUT)


def test_a_mark_names_a_service_for_every_port() -> None:
    """A service by mark takes what mangle marks, and port 0 of a server keeps the packet's.

    The mark stays on VXLAN's outer packet, and so does the note that IPVS has dealt with it.
    """
    made = cluster()
    balance(made, f"-A -f 7 -s rr\n-a -f 7 -r {B}:0 -m -w 1", SERVICE)
    assert made.walk(made.a, SERVICE).verdict is not Verdict.PASS
    mark = f"-A PREROUTING -d {SERVICE}/32 -j MARK --set-xmark 0x7/0xffffffff"
    made.n1.iptables(filter_table(mark, table="mangle"))
    assert made.walk(made.a, SERVICE).verdict is Verdict.PASS


# --- schedulers -----------------------------------------------------------------------------------------------


def server(weight: int, active: int = 0, upper: int = 0) -> RealServer:
    """Make a server that is known by its weight."""
    return RealServer(ip_address(f"10.0.0.{weight}"), 80, weight=weight, active=active, upper=upper, lower=0)


SERVERS = (server(1), server(3), server(0), server(5, active=9, upper=9))


@pytest.mark.parametrize(
    ("name", "flags", "kind", "expected"),
    [
        ("rr", "", ChoiceKind.CHANCE, {1: 1.0, 3: 1.0}),
        ("wrr", "", ChoiceKind.CHANCE, {1: 1.0, 3: 3.0}),
        ("lc", "", ChoiceKind.CHANCE, {1: 1.0, 3: 1.0}),
        ("wlc", "", ChoiceKind.CHANCE, {1: 1.0, 3: 3.0}),
        ("sed", "", ChoiceKind.CHANCE, {1: 1.0, 3: 3.0}),
        ("nq", "", ChoiceKind.CHANCE, {1: 1.0, 3: 3.0}),
        ("sh", "", ChoiceKind.UNKNOWN, {1: 1.0, 3: 1.0, None: 1.0}),
        ("sh", "sh-fallback", ChoiceKind.UNKNOWN, {1: 1.0, 3: 1.0}),
        ("dh", "", ChoiceKind.UNKNOWN, {1: 1.0, 3: 1.0, None: 1.0}),
        ("mh", "", ChoiceKind.UNKNOWN, {1: 1.0, 3: 1.0, None: 1.0}),
        ("mh", "mh-fallback", ChoiceKind.UNKNOWN, {1: 1.0, 3: 1.0}),
        ("lblc", "", ChoiceKind.UNKNOWN, {1: 1.0, 3: 1.0}),
        ("fo", "", ChoiceKind.CHANCE, {3: 1.0}),
        ("ovf", "", ChoiceKind.CHANCE, {3: 1.0}),
        ("none", "", ChoiceKind.CHANCE, {}),
    ],
)
def test_who_a_scheduler_may_choose(
    name: str, flags: str, kind: ChoiceKind, expected: dict[int | None, float]
) -> None:
    """Weight 0 and a full server take nothing; hashes may name them all the same."""
    made = VirtualService(4, 6, 1, 80, name, flags=frozenset(flags.split()), servers=SERVERS)
    kind_here, weigh = _SCHEDULERS[name]
    assert kind_here is kind
    assert {s.weight if s else None: share for s, share in weigh(made)} == expected


def test_a_hash_leaves_the_server_unknown() -> None:
    """With sh all servers are walked: alike ends do not matter, different ones are UNKNOWN."""
    alike = balanced(B, C, scheduler="sh")
    alike.n1.set("net/bridge/bridge-nf-call-iptables", 1)
    assert alike.walk(alike.a, SERVICE).verdict is Verdict.PASS
    result = balanced(B, "10.244.2.99", scheduler="sh").walk("10.244.1.10", SERVICE)
    assert result.verdict is Verdict.UNKNOWN
    assert any("the scheduler sh takes one of its servers, unknown which" in text for text in result.unknowns)
    assert balanced(B, scheduler="sh").walk("10.244.1.10", SERVICE).verdict is Verdict.PASS


def test_weights_are_shares() -> None:
    """Wrr sends three of four connections to a server of weight three."""
    made = cluster()
    text = service(B, "10.244.2.99", scheduler="wrr").replace(f"{B}:80 -m -w 1", f"{B}:80 -m -w 3")
    balance(made, text, SERVICE)
    assert outcomes(made.walk(made.a, SERVICE)) == {"connected": 0.75, "unreachable": 0.25}


# --- persistence ----------------------------------------------------------------------------------------------


def with_template(
    *, client: str = "10.244.1.10", server: str = B, weight: int = 1, expire: int = 0
) -> Cluster:
    """Make a persistent service of a live and a dead server, with a template for the live one."""
    text = service(B, "10.244.2.99", more="-p 600").replace(f"{B}:80 -m -w 1", f"{B}:80 -m -w {weight}")
    made = cluster()
    balance(made, text, SERVICE)
    made.n1.set("net/ipv4/vs/expire_quiescent_template", expire)
    source, vip = int(ip_address(client)), int(ip_address(SERVICE))
    template = Template(6, source, vip, 80, ip_address(server), 80)
    made.n1.more["ipvs"] = replace(made.n1.more["ipvs"], templates=(template,))
    return made


def test_a_template_keeps_a_client_at_its_server() -> None:
    """Only the client that it is for goes one way; to others both servers are open."""
    made = with_template()
    assert made.walk(made.a, SERVICE).verdict is Verdict.PASS
    assert made.walk(made.c, SERVICE).verdict is Verdict.MIXED


def test_a_template_outlives_the_weight_but_not_the_server() -> None:
    """Weight 0 keeps its clients, unless expire_quiescent_template is on; a server that is gone keeps none."""
    made = with_template(weight=0)
    assert made.walk(made.a, SERVICE).verdict is Verdict.PASS
    made = with_template(weight=0, expire=1)
    assert outcomes(made.walk(made.a, SERVICE)) == {"unreachable": 1.0}
    assert with_template(server="10.244.2.55").walk("10.244.1.10", SERVICE).verdict is Verdict.MIXED


# --- what was not read -----------------------------------------------------------------------------------------


def test_a_service_that_could_not_be_read_whole_is_unknown() -> None:
    """A damaged server line, or services that are missing, make both ways possible."""
    made = balanced(B)
    found: Ipvs = made.n1.more["ipvs"]
    made.n1.more["ipvs"] = Ipvs((replace(found.services[0], damaged=True),))
    result = made.walk(made.a, SERVICE)
    assert result.verdict is Verdict.UNKNOWN
    assert f"a server of -t {SERVICE}:80 on n1 could not be read" in result.unknowns
    made = balanced(B)
    made.n1.gaps["ip_vs"] = "truncated: cut"
    result = made.walk(made.a, SERVICE, 22)
    assert result.verdict is Verdict.UNKNOWN
    assert result.unknowns[0].startswith(f"whether IPVS of n1 has a service {SERVICE}:22 was not read")


# --- -m ipvs ---------------------------------------------------------------------------------------------------


def request() -> Packet:
    """Make a request as IPVS sends it on: to the server, and marked as dealt with."""
    return packet("10.0.0.1", "10.0.0.9", dport=8080, ipvs=True)


def matched(match: str, item: Packet) -> bool:
    """Tell whether ``-m ipvs`` with these options matches a packet at FORWARD, where IPVS schedules nothing."""
    made = balanced(B)
    made.n1.iptables(filter_table(f"-A FORWARD -m ipvs {match} -j DROP"))
    table = Table()
    table.balanced.append(CONNECTION)
    return run_hook(At(made.n1).scene(item, connections=table)).ruling.action is Action.DROP


CLIENT = Tuple5(6, int(ip_address("10.0.0.1")), Ports(32768, 60999), int(ip_address(SERVICE)), Ports.of(80))
CONNECTION = Balanced(CLIENT, int(ip_address("10.0.0.9")), Ports.of(8080), Forwarding.MASQ.value)


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ("--ipvs", True),
        ("! --ipvs", False),
        (f"--vaddr {SERVICE}", True),
        (f"! --vaddr {SERVICE}", False),
        ("--vaddr 10.96.0.0/16", True),
        ("--vaddr 10.97.0.0/16", False),
        ("--vport 80", True),
        ("--vport 8080", False),
        ("--vproto 6", True),
        ("--vproto 17", False),
        (f"--vproto 6 --vaddr {SERVICE} --vport 80", True),
        (f"--vproto 6 --vaddr {SERVICE} --vport 81", False),
        ("--vmethod MASQ", True),
        ("--vmethod GATE", False),
        ("--vdir ORIGINAL", True),
        ("--vdir REPLY", False),
        ("--vportctl 21", False),
    ],
)
def test_matches_on_the_connection(match: str, expected: bool) -> None:
    """A request that has the server's address already is found by its connection."""
    item = request()
    entry = Entry(CLIENT, item.tuple5.inverse())
    item.tracking = Tracking(CtState.NEW, entry)
    assert matched(match, item) == expected


@pytest.mark.parametrize("match", ["--ipvs", f"--vaddr {SERVICE}", f"! --vaddr {SERVICE}", "! --vport 99"])
def test_other_packets_match_nothing(match: str) -> None:
    """A packet that IPVS has not dealt with does not match, not even inverted."""
    assert not matched(match, packet("10.0.0.1", "10.0.0.9", dport=8080))
