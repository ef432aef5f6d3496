"""Inspections of a whole cluster: silent on a healthy one, and each says what its subject has wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from skoopctl.checks.finding import Severity
from skoopctl.checks.inspections import INSPECTIONS, THRESHOLDS, Inspected, Noted
from skoopctl.checks.inspections.members import node_hosts
from skoopctl.checks.inspections.mesh import pairs, pod_of_each_node
from skoopctl.checks.inspections.services import sample, service_ports
from skoopctl.checks.snapshot import Snapshot
from skoopctl.cluster.cluster import Cluster as Objects
from skoopctl.cluster.objects import Endpoint, EndpointPort, EndpointSlice, Pod, Service, ServicePort
from skoopctl.kernel.iptables import Backend
from skoopctl.kernel.netns import Gap
from tests.support.broken import SERVICE, drop_vxlan, snapshot_of, unknown_match, web, without_route
from tests.support.broken import hairpin as break_hairpin
from tests.support.worlds import Cluster, cluster, filter_table

CONNTRACK = "net/netfilter/nf_conntrack"
NEIGHBOURS = "net/ipv4/neigh/default/gc_thresh3"


def inspect(name: str, snapshot: Snapshot, **thresholds: float) -> tuple[list[Noted], Inspected]:
    """Make one inspection; a threshold's name has underscores here."""
    inspected = Inspected(snapshot, {key.replace("_", "-"): value for key, value in thresholds.items()})
    return list(INSPECTIONS[name].run(inspected)), inspected


def ids(name: str, snapshot: Snapshot, **thresholds: float) -> list[str]:
    """Return the ids that an inspection finds, in order of the places."""
    found, _ = inspect(name, snapshot, **thresholds)
    return [noted.finding.id for noted in sorted(found, key=lambda n: str(n.finding.where))]


def with_service(made: Cluster, *, endpoint: str = "10.244.2.10", rules: str = "10.244.2.10:80") -> Snapshot:
    """Return a cluster with a DNS-like service whose slice and whose rules name an endpoint each."""
    for node in (made.n1, made.n2):
        to_it = f"-d {SERVICE}/32 -p tcp -j DNAT --to-destination {rules}"
        own = "-s 10.244.2.10/32 -d 10.244.2.10/32 -j MASQUERADE"
        lines = (f"-A PREROUTING {to_it}", f"-A OUTPUT {to_it}", f"-A POSTROUTING {own}")
        node.iptables(filter_table(*lines, table="nat"))
    snapshot = snapshot_of(made, web())
    cut = EndpointSlice("demo", "web-1", "web", (Endpoint((endpoint,)),), (EndpointPort("http", "TCP", 80),))
    return replace(snapshot, cluster=replace(snapshot.cluster, slices=(cut,)))


@pytest.mark.parametrize("name", sorted(INSPECTIONS))
def test_a_healthy_cluster_has_no_findings(name: str) -> None:
    """No inspection cries wolf, and each says how much it has looked at."""
    found, inspected = inspect(name, snapshot_of(cluster()))
    assert [(n.finding.id, n.finding.summary) for n in found] == []
    assert inspected.looked


def test_every_threshold_has_an_inspection_that_asks_for_it() -> None:
    """No threshold can be set in vain."""
    asked: set[str] = set()

    class Noting(Inspected):
        def threshold(self, name: str) -> float:
            asked.add(name)
            return super().threshold(name)

    made = cluster()
    for node in (made.n1, made.n2):
        node.set(f"{CONNTRACK}_count", 1)
        node.set(f"{CONNTRACK}_max", 10)
        node.set(NEIGHBOURS, 1000)
    for each in INSPECTIONS.values():
        list(each.run(Noting(snapshot_of(made))))
    assert asked == set(THRESHOLDS)


# --- tables ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("used", "expected"),
    [
        (79, []),
        (80, ["conntrack-table-filling"]),
        (99, ["conntrack-table-filling"]),
        (100, ["conntrack-table-full"]),
    ],
)
def test_conntracks_table_counts(used: int, expected: list[str]) -> None:
    """From 80 % on it is filling, at 100 % it is full: then new connections are dropped."""
    made = cluster()
    made.n1.set(f"{CONNTRACK}_count", used)
    made.n1.set(f"{CONNTRACK}_max", 100)
    assert ids("conntrack", snapshot_of(made)) == expected


def test_a_threshold_of_the_plan_counts() -> None:
    """A plan may ask to be told earlier."""
    made = cluster()
    made.n1.set(f"{CONNTRACK}_count", 30)
    made.n1.set(f"{CONNTRACK}_max", 100)
    assert ids("conntrack", snapshot_of(made), conntrack_usage=0.3) == ["conntrack-table-filling"]


def test_neighbours_of_all_namespaces_count() -> None:
    """The table is one for a node; permanent entries do not count."""
    made = cluster()
    for last in range(5):
        made.a.neighbour("eth0", f"10.244.1.{50 + last}", f"02:00:00:00:09:{last:02}", "STALE")
        made.a.neighbour("eth0", f"10.244.1.{80 + last}", f"02:00:00:00:0a:{last:02}", "PERMANENT")
    snapshot = snapshot_of(made)
    from skoopctl.checks.inspections.tables import learned_neighbours

    used = learned_neighbours(snapshot.hosts["n1"])
    assert used >= 5
    made.n1.set(NEIGHBOURS, used + 1)
    assert ids("neighbours", snapshot_of(made)) == ["neighbour-table-filling"]
    made.n1.set(NEIGHBOURS, used)
    assert ids("neighbours", snapshot_of(made)) == ["neighbour-table-full"]


def test_a_table_that_was_not_read_is_not_counted_as_looked_at() -> None:
    """A node whose limit is unknown is no node that is well."""
    made = cluster()
    made.n1.set(NEIGHBOURS, 1000)
    _, inspected = inspect("neighbours", snapshot_of(made))
    assert inspected.looked == {"nodes": (1, 2)}


# --- nodes -------------------------------------------------------------------------------------------------------


def test_forwarding_that_is_off_is_found_on_nodes_with_pods() -> None:
    """One node forwards nothing: its pods reach nobody."""
    made = cluster()
    for box in (made.a, made.b, made.c):
        box.more["pod_uids"] = ("uid",)
    made.n2.set("net/ipv4/ip_forward", 0)
    found, _ = inspect("forwarding", snapshot_of(made))
    assert [(n.finding.id, n.finding.where.node) for n in found] == [("forwarding-off", "n2")]
    assert found[0].finding.fix is not None
    assert found[0].finding.fix.commands == ("sysctl -w net.ipv4.ip_forward=1",)


def test_a_node_that_differs_is_named() -> None:
    """Of three nodes one keeps its rules in the other store of iptables."""
    made = cluster()
    third = made.world.host("n3")
    third.iptables(filter_table("-A INPUT -s 10.9.9.9/32 -j DROP"), Backend.LEGACY)
    for node in (made.n1, made.n2):
        node.iptables(filter_table("-A INPUT -s 10.9.9.9/32 -j DROP"), Backend.NFT)
    found, _ = inspect("nodes-alike", replace(snapshot_of(made), cluster=Objects()))
    assert [(n.finding.id, n.finding.where.node) for n in found] == [("nodes-differ", "n3")]
    assert "iptables backend legacy, and 2 of 3 nodes have nft" in found[0].finding.summary


def test_hosts_outside_of_the_cluster_are_not_asked_for_its_services() -> None:
    """The API knows the nodes: a bastion in the inventory has no kube-proxy, and that is no fault."""
    made = cluster()
    made.world.host("bastion")
    snapshot = snapshot_of(made)
    assert node_hosts(snapshot) == ["n1", "n2"]
    assert node_hosts(replace(snapshot, cluster=Objects())) == ["n1", "n2", "bastion"]


def running(snapshot: Snapshot, *pods: Pod) -> Snapshot:
    """Return a snapshot with the API's pods running, and more of them."""
    all_pods = [*snapshot.cluster.pods.values(), *pods]
    objects = {(p.namespace, p.name): replace(p, phase="Running") for p in all_pods}
    return replace(snapshot, cluster=replace(snapshot.cluster, pods=objects))


def test_a_pod_whose_address_is_nowhere_is_found() -> None:
    """The API has a pod that no namespace of its node is."""
    snapshot = running(snapshot_of(cluster()), Pod("demo", "ghost", node="n1", ips=("10.244.1.99",)))
    found, inspected = inspect("pods", snapshot)
    assert [n.finding.id for n in found] == ["pod-address-missing"]
    assert "demo/ghost of n1 has the address 10.244.1.99, which is nowhere" in found[0].finding.summary
    assert inspected.looked == {"running pods": (4, 4)}


def test_a_pod_on_another_node_than_the_api_says_is_found() -> None:
    """The address is there, and on the wrong node."""
    snapshot = running(snapshot_of(cluster()), Pod("demo", "moved", node="n2", ips=("10.244.1.10",)))
    found, _ = inspect("pods", snapshot)
    assert "which is on n1" in found[0].finding.summary


def test_nothing_is_said_of_pods_where_addresses_were_not_read() -> None:
    """A gap is no missing pod."""
    snapshot = running(snapshot_of(cluster()), Pod("demo", "ghost", node="n1", ips=("10.244.1.99",)))
    host = replace(snapshot.hosts["n1"], gaps=(Gap("addr", "timeout", "10 s", 5),))
    snapshot = replace(snapshot, hosts={**snapshot.hosts, "n1": host})
    assert ids("pods", snapshot) == []


def test_gaps_of_every_namespace_are_evidence() -> None:
    """What was not read in any pod is told, though no path passes there."""
    made = cluster()
    made.c.gaps["route"] = "timeout"
    found, _ = inspect("evidence", snapshot_of(made))
    assert [n.finding.id for n in found] == ["evidence-incomplete"]


# --- paths -------------------------------------------------------------------------------------------------------


def test_one_rule_that_breaks_many_paths_is_one_finding() -> None:
    """A dropped tunnel breaks both directions between two nodes, and is told once, with its fix."""
    made = cluster()
    drop_vxlan(made)
    found, inspected = inspect("mesh", snapshot_of(made))
    assert [n.finding.id for n in found] == ["netfilter-drop"]
    assert found[0].affected == 2
    assert len(found[0].affects) == 2
    assert found[0].finding.fix is not None
    assert found[0].finding.fix.checked
    assert inspected.looked["pod to pod paths"] == (2, 2)


def test_a_missing_route_breaks_the_mesh_and_node_paths() -> None:
    """Each of the two inspections finds the route."""
    made = cluster(vxlan=False)
    without_route(made, "n1", "10.244.2.0/24")
    snapshot = snapshot_of(made)
    for name in ("mesh", "nodes"):
        assert set(ids(name, snapshot)) == {"pod-route-missing"}


def test_what_cannot_be_decided_is_a_warning() -> None:
    """A match that nobody can decide makes no failure of it."""
    made = cluster()
    unknown_match(made)
    found, _ = inspect("mesh", snapshot_of(made))
    assert {n.finding.severity for n in found} == {Severity.WARNING}


def test_small_mtu_of_a_device_is_found_by_mtu() -> None:
    """A device on the way that takes less than both ends send is named."""
    made = cluster(vxlan=False)
    made.n1.change("eth0", mtu=1200)
    found = ids("mtu", snapshot_of(made))
    assert found
    assert set(found) <= {"mtu-mismatch", "mtu-black-hole"}


def test_a_rule_that_breaks_one_pod_only_is_found() -> None:
    """The pod that stands for its node works, and another one does not."""
    made = cluster()
    made.c.iptables(filter_table("-A INPUT -j DROP"))
    made.a.more["pod_uids"] = made.c.more["pod_uids"] = made.b.more["pod_uids"] = ("uid",)
    snapshot = snapshot_of(made)
    found, inspected = inspect("each-pod", snapshot)
    assert {(n.finding.id, n.finding.where.namespace) for n in found} == {("netfilter-drop", "demo/c")}
    assert inspected.looked["pods"] == (3, 3)
    _, few = inspect("each-pod", snapshot, pod_limit=1)
    assert few.looked["pods"] == (1, 3)


def test_a_bridge_port_without_hairpin_is_found() -> None:
    """A pod calls itself through its service, and the bridge does not send the frame back."""
    made = cluster()
    break_hairpin(made)
    made.a.more["pod_uids"] = ("uid",)
    snapshot = snapshot_of(made, web())
    cut = EndpointSlice("demo", "w", "web", (Endpoint(("10.244.1.10",)),), (EndpointPort("http", "TCP", 80),))
    snapshot = replace(snapshot, cluster=replace(snapshot.cluster, slices=(cut,)))
    assert ids("hairpin", snapshot) == ["hairpin-off"]
    made.n1.port("veth-a", "cni0", hairpin=True)
    mended = replace(snapshot_of(made, web()), cluster=snapshot.cluster)
    found, inspected = inspect("hairpin", mended)
    assert (found, inspected.looked["endpoints"]) == ([], (1, 1))


@pytest.mark.parametrize("degree", [0, 1, 2, 3, 4, 9])
@pytest.mark.parametrize("number", [0, 1, 2, 3, 7, 20])
def test_pairs_are_a_ring_both_ways(number: int, degree: int) -> None:
    """Every node is tried as often as every other, never with itself, in both directions, no pair twice."""
    nodes = [f"n{n}" for n in range(number)]
    found = pairs(nodes, degree)
    assert len(set(found)) == len(found)
    assert all(a != b and (b, a) in found for a, b in found)
    counts = {node: sum(a == node for a, _ in found) for node in nodes}
    assert len(set(counts.values())) <= 1
    if number > 1 and degree > 0:
        assert set(counts.values()) <= set(range(1, number))


def test_the_pod_that_stands_for_a_node_listens_where_that_is_asked() -> None:
    """A pod with a port is chosen, of the API's own pods."""
    snapshot = snapshot_of(cluster())
    assert pod_of_each_node(snapshot)["n1"].address in {"10.244.1.10", "10.244.1.11"}
    assert {each.port for each in pod_of_each_node(snapshot, listening=True).values()} == {80}


# --- services ----------------------------------------------------------------------------------------------------


def test_a_service_that_works_has_no_findings() -> None:
    """Rules and slices agree, and the endpoint answers."""
    snapshot = with_service(cluster())
    assert ids("services", snapshot) == []
    assert ids("endpoints", snapshot) == []


def test_rules_that_send_elsewhere_are_stale() -> None:
    """kube-proxy still sends to a pod that is no endpoint any more: it works, and is wrong."""
    snapshot = with_service(cluster(), endpoint="10.244.1.10")
    assert set(ids("endpoints", snapshot)) == {"stale-endpoint"}


def test_a_service_without_its_port_in_the_rules_is_found() -> None:
    """A node whose rules do not know the service sends the packet nowhere."""
    snapshot = with_service(cluster(), rules="10.244.2.99:80")
    assert "stale-endpoint" in ids("endpoints", snapshot)
    assert ids("services", snapshot)


def test_a_local_policy_is_not_asked_of_nodes_without_an_endpoint() -> None:
    """InternalTrafficPolicy Local drops there on purpose."""
    made = cluster()
    snapshot = with_service(made)
    local = replace(web(), internal_traffic_policy="Local")
    cut = replace(snapshot.cluster.slices[0], endpoints=(Endpoint(("10.244.2.10",), node="n2"),))
    snapshot = replace(
        snapshot, cluster=replace(snapshot.cluster, services={("demo", "web"): local}, slices=(cut,))
    )
    made.n1.iptables(filter_table("-A OUTPUT -d 10.96.0.9/32 -j DROP"))
    _, inspected = inspect("services", snapshot)
    assert inspected.looked["paths to services"][1] == 2


def test_dns_is_found_by_its_name() -> None:
    """The service kube-dns on port 53 is asked, others are not."""
    snapshot = with_service(cluster())
    dns = Service(
        "kube-system", "kube-dns", cluster_ips=("10.96.0.10",), ports=(ServicePort("dns", "UDP", 53),)
    )
    cut = EndpointSlice(
        "kube-system", "d", "kube-dns", (Endpoint(("10.244.2.10",)),), (EndpointPort("dns", "UDP", 53),)
    )
    objects = Objects(
        snapshot.cluster.nodes, snapshot.cluster.pods, {("kube-system", "kube-dns"): dns}, (cut,)
    )
    found, inspected = inspect("dns", replace(snapshot, cluster=objects))
    assert inspected.looked["DNS service ports"] == (1, 1)
    assert inspected.looked["paths to DNS"][1] == 4
    assert found, "no rule translates it: it must not work"


def test_a_cluster_without_dns_is_not_called_well() -> None:
    """Nothing to look at is said: 0 of 1."""
    _, inspected = inspect("dns", snapshot_of(cluster()))
    assert inspected.looked["DNS service ports"] == (0, 1)


def test_a_sample_of_services_is_the_same_every_time() -> None:
    """A limit takes the same ones on every run, whatever order they come in."""
    ports = tuple(ServicePort(f"p{n}", "TCP", n) for n in range(1, 41))
    service = Service("demo", "many", cluster_ips=("10.96.1.1",), ports=ports)
    published = [(service, port) for port in ports]
    chosen = sample(published, 7)
    assert len(chosen) == 7
    assert sample(list(reversed(published)), 7) == chosen
    assert sample(published, 100) == published


def test_services_without_ready_endpoints_are_left_to_kubernetes() -> None:
    """They are refused on purpose: no path of theirs is walked."""
    snapshot = with_service(cluster())
    cut = replace(snapshot.cluster.slices[0], endpoints=(Endpoint(("10.244.2.10",), ready=False),))
    assert service_ports(replace(snapshot, cluster=replace(snapshot.cluster, slices=(cut,)))) == []
