"""A node's rounds become its series: each whose it is, nothing twice, nothing that is not known."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from skoopctl.cluster.cluster import Cluster
from skoopctl.cluster.objects import Node, Pod
from skoopctl.errors import UsageError
from skoopctl.evidence.item import ItemStatus
from skoopctl.probes.catalogue import PROBES
from skoopctl.probes.node_series import NodeSeries
from skoopctl.probes.sample import Availability, Entity, State
from tests.unit.probes.rounds import (
    HOST_NETNS,
    case,
    cgroup,
    folders,
    item,
    lacking,
    node_round,
    place,
    places,
    tcp,
    uid,
)

OPENS = "kubeskoop_tcp_activeopens"


def values(series: NodeSeries, metric: str) -> dict[tuple[str, ...], int | float]:
    """Return the values of one metric by the pod's namespace and name; a label that is taken twice fails."""
    found: dict[tuple[str, ...], int | float] = {}
    for sample in series.values():
        if sample.metric.name == metric:
            assert sample.labels not in found
            found[sample.labels] = sample.value
    return {labels[1:]: value for labels, value in found.items()}


def cluster(*pods: Pod, nodes: Mapping[str, Node] | None = None) -> Cluster:
    """Return the API's objects."""
    return Cluster(nodes=nodes or {}, pods={(pod.namespace, pod.name): pod for pod in pods})


def watched(*probes: str) -> NodeSeries:
    """Return the series of a node that has said nothing yet."""
    return NodeSeries("n1", probes or ("tcp",))


def test_the_node_and_its_pods_have_their_own_numbers() -> None:
    """The host's namespace is the node itself, with empty labels; a pod has the name that its folder tells."""
    series = watched()
    known = folders({uid(1): "shop_web-0"})
    series.apply(node_round(1, known, places(place(7, uid(1))), tcp(HOST_NETNS, opens=5), tcp(7, opens=6)))
    assert values(series, OPENS) == {("", ""): 5, ("shop", "web-0"): 6}
    assert series.entities() == (
        Entity("", "", "", HOST_NETNS),
        Entity("shop", "web-0", uid(1), 7),
    )


def test_the_order_of_items_does_not_matter() -> None:
    """Numbers that come before it is told whose they are find their owner all the same."""
    series = watched()
    series.apply(node_round(1, tcp(7, opens=6), places(place(7, uid(1))), folders({uid(1): "shop_web-0"})))
    assert values(series, OPENS) == {("shop", "web-0"): 6}


def test_a_pod_without_a_name_is_never_the_node() -> None:
    """A pod that neither the API nor the folders name is 'unknown' with its UID."""
    series = watched()
    series.apply(
        node_round(1, lacking("pods", ItemStatus.ABSENT, "no folder"), places(place(7, uid(1))), tcp(7))
    )
    assert values(series, OPENS) == {("unknown", uid(1)): 1}
    assert series.availability()["tcp"].state is State.DEGRADED


def test_a_namespace_of_nobody_is_not_shown() -> None:
    """A namespace without a pod's process has no series, not even if the node sends its items."""
    series = watched()
    series.apply(node_round(1, places(place(7)), tcp(HOST_NETNS), tcp(7)))
    assert values(series, OPENS) == {("", ""): 1}


def test_the_api_names_pods_when_it_comes() -> None:
    """The API's name replaces what was there before, in the same round, and goes when the API does."""
    series = watched()
    series.apply(node_round(1, places(place(7, uid(1))), tcp(7)))
    series.name_pods(cluster(Pod("shop", "web-0", uid(1))))
    assert values(series, OPENS) == {("shop", "web-0"): 1}
    series.name_pods(None)
    assert values(series, OPENS) == {("unknown", uid(1)): 1}


def test_a_static_pod_is_known_by_its_hash() -> None:
    """The cgroup of a static pod has the hash of its file, which the API's mirror pod has as an annotation."""
    series = watched()
    digest = "0123456789abcdef0123456789abcdef"
    series.apply(node_round(1, places(place(7, digest)), tcp(7)))
    series.name_pods(cluster(Pod("kube-system", "etcd-n1", uid(9), config_hash=digest)))
    assert values(series, OPENS) == {("kube-system", "etcd-n1"): 1}


def test_what_did_not_change_stays() -> None:
    """A round that mentions nothing leaves all series as they were."""
    series = watched()
    series.apply(node_round(1, places(), tcp(HOST_NETNS, opens=5)))
    series.apply(node_round(2))
    assert values(series, OPENS) == {("", ""): 5}
    assert series.snapshot().mono_ns == 2 * 10**9


def test_a_namespace_that_ended_is_gone() -> None:
    """The series of a pod end with its namespace."""
    series = watched()
    series.apply(node_round(1, places(place(7, uid(1))), tcp(HOST_NETNS), tcp(7)))
    series.apply(node_round(2, places(), gone=[7]))
    assert values(series, OPENS) == {("", ""): 1}
    assert len(series.entities()) == 1


def test_round_one_begins_anew() -> None:
    """After a reconnection nothing is left of what the node said before."""
    series = watched()
    series.apply(node_round(1, places(place(7, uid(1))), tcp(HOST_NETNS), tcp(7)))
    series.apply(node_round(1, places(), tcp(HOST_NETNS, opens=9)))
    assert values(series, OPENS) == {("", ""): 9}


def test_an_item_that_fails_takes_its_series_along() -> None:
    """A number that is not known any more has no series, and comes back when it is read again."""
    series = watched()
    series.apply(node_round(1, places(), tcp(HOST_NETNS)))
    series.apply(node_round(2, lacking("snmp", ItemStatus.TIMEOUT, "too slow", HOST_NETNS)))
    assert values(series, OPENS) == {}
    assert series.availability()["tcp"] == Availability(State.UNAVAILABLE, "snmp: timeout: too slow")
    series.apply(node_round(3, tcp(HOST_NETNS, opens=4)))
    assert values(series, OPENS) == {("", ""): 4}
    assert series.availability()["tcp"] == Availability(State.AVAILABLE)


def test_what_cannot_be_decoded_says_why() -> None:
    """Garbage in one item makes its probe unavailable, with the decoder's words, and raises nothing."""
    series = watched()
    series.apply(node_round(1, places(), item("snmp", "Tcp: ActiveOpens\nTcp: many\n", HOST_NETNS)))
    assert series.availability()["tcp"] == Availability(State.UNAVAILABLE, "snmp: 'many' is not a number")


def test_some_namespaces_that_fail_degrade_a_probe() -> None:
    """Of three namespaces, one was not read: the probe says how many, and why."""
    series = watched()
    denied = lacking("snmp", ItemStatus.DENIED, "not root", 8)
    pods = folders({uid(1): "a_b", uid(2): "a_c"})
    who = places(place(7, uid(1)), place(8, uid(2)))
    series.apply(node_round(1, pods, who, tcp(HOST_NETNS), tcp(7), denied))
    expected = Availability(State.DEGRADED, "1 of 3 namespaces: snmp: denied: not root")
    assert series.availability()["tcp"] == expected


def test_nothing_is_known_before_the_first_round() -> None:
    """Availability is unknown, and there are no series, as long as the node has said nothing."""
    series = watched("tcp", "fd")
    assert {each.state for each in series.availability().values()} == {State.UNKNOWN}
    assert list(series.values()) == []
    assert series.last is None


def test_a_module_that_is_not_loaded_makes_a_probe_unavailable() -> None:
    """The node's own words say which module it is."""
    series = watched("ipvs")
    series.apply(
        node_round(1, places(), lacking("ipvs-stats", ItemStatus.ABSENT, "module ip_vs is not loaded"))
    )
    expected = Availability(State.UNAVAILABLE, "ipvs-stats: absent: module ip_vs is not loaded")
    assert series.availability()["ipvs"] == expected


def test_pods_on_the_host_network_have_what_is_counted_by_cgroup() -> None:
    """Such a pod has I/O and TCP states of its own, told apart by cgroup, and nothing else."""
    series = watched("tcp", "io", "tcpsummary")
    states = f"-\t1\t9\t0\t0\t0\n{cgroup(uid(5))}\t1\t4\t0\t0\t0\n"
    io = f"{cgroup(uid(5))}\t1\t10\t20\t30\t40\n-\t5\t1\t2\t3\t4\n"
    changes = (
        folders({uid(5): "kube-system_proxy-x"}),
        places(host_uids=[uid(5)]),
        tcp(HOST_NETNS),
        item("tcp-states", states, HOST_NETNS),
        item("cgroup-io", io),
    )
    series.apply(node_round(1, *changes))
    pod = ("kube-system", "proxy-x")
    assert values(series, "kubeskoop_tcpsummary_tcpestablishedconn") == {("", ""): 9, pod: 4}
    assert values(series, "kubeskoop_io_readbytes") == {("", ""): 3, pod: 30}
    assert values(series, OPENS) == {("", ""): 1}
    assert series.entities()[1] == Entity(*pod, uid(5), 0)


def test_a_pod_on_the_host_network_without_sockets_has_none() -> None:
    """Where the kernel tells sockets' cgroups, such a pod has 0 sockets; where it does not, nothing is known."""
    series = watched("tcpsummary", "sock")
    states = "-\t1\t9\t0\t0\t0\n"
    known = folders({uid(5): "a_b"})
    series.apply(node_round(1, known, places(host_uids=[uid(5)]), item("tcp-states", states, HOST_NETNS)))
    metric = "kubeskoop_tcpsummary_tcpestablishedconn"
    assert values(series, metric) == {("", ""): 9, ("a", "b"): 0}
    untold = item("tcp-states", states, HOST_NETNS, detail="cgroups not told: Linux 5.9 is needed")
    series.apply(node_round(2, untold))
    assert values(series, metric) == {("", ""): 9}
    assert series.availability()["tcpsummary"].why == "tcp-states: cgroups not told: Linux 5.9 is needed"


def test_sockets_of_a_pod_that_visits_the_host_are_not_counted_twice() -> None:
    """A pod with its own namespace has its TCP states from there, whatever it has opened in the host's."""
    series = watched("tcpsummary")
    in_host = f"-\t1\t9\t0\t0\t0\n{cgroup(uid(1))}\t1\t4\t0\t0\t0\n"
    series.apply(
        node_round(
            1,
            folders({uid(1): "a_b"}),
            places(place(7, uid(1)), host_uids=[uid(1)]),
            item("tcp-states", in_host, HOST_NETNS),
            item("tcp-states", "-\t1\t2\t0\t0\t0\n", 7),
        )
    )
    assert values(series, "kubeskoop_tcpsummary_tcpestablishedconn") == {("", ""): 9, ("a", "b"): 2}


def test_a_visitor_from_the_host_network_does_not_own_a_namespace() -> None:
    """Of two pods in a namespace, the one that the API knows to be on the host's network is a visitor."""
    series = watched()
    series.apply(node_round(1, places(place(7, uid(1), uid(2))), tcp(7)))
    assert values(series, OPENS) == {("unknown", "netns-7"): 1}
    assert "processes of 2 pods" in series.availability()["tcp"].why
    series.name_pods(cluster(Pod("a", "b", uid(1)), Pod("kube-system", "agent", uid(2), host_network=True)))
    assert values(series, OPENS) == {("a", "b"): 1}
    assert series.availability()["tcp"] == Availability(State.AVAILABLE)


def test_namespaces_that_a_program_made_are_not_its_pods() -> None:
    """Of several namespaces with processes of one pod, its own is the one with a runtime's name."""
    series = watched()
    who = places(place(7, uid(1)), place(8, uid(1), named=False))
    series.apply(node_round(1, folders({uid(1): "a_b"}), who, tcp(7, opens=7), tcp(8, opens=8)))
    assert values(series, OPENS) == {("a", "b"): 7}
    assert "1 namespaces that its programs made are not shown" in series.availability()["tcp"].why


def test_a_device_tells_a_pods_namespace_from_a_sandbox() -> None:
    """Without names, the namespace with a device that carried something is the pod's own."""
    series = watched("netdev", "tcp")
    who = places(place(7, uid(1), named=False), place(8, uid(1), named=False))
    only_lo, carries = case("net-dev-only-lo", "net-dev", 7), case("net-dev-pod", "net-dev", 8)
    series.apply(
        node_round(1, folders({uid(1): "a_b"}), who, only_lo, carries, tcp(7, opens=7), tcp(8, opens=8))
    )
    assert values(series, OPENS) == {("a", "b"): 8}


def test_two_namespaces_that_look_alike_are_nobodys_guess() -> None:
    """When nothing tells which of two namespaces is the pod's, both are shown as unknown."""
    series = watched()
    who = places(place(7, uid(1)), place(8, uid(1)))
    series.apply(node_round(1, folders({uid(1): "a_b"}), who, tcp(7, opens=7), tcp(8, opens=8)))
    assert values(series, OPENS) == {
        ("unknown", f"{uid(1)}-netns-7"): 7,
        ("unknown", f"{uid(1)}-netns-8"): 8,
    }


def test_two_pods_of_one_name_do_not_share_their_series() -> None:
    """While a pod ends and its successor begins, the name is the one's that the API knows, or else nobody's."""
    series = watched()
    names = folders({uid(1): "a_b", uid(2): "a_b"})
    series.apply(node_round(1, names, places(place(7, uid(1)), place(8, uid(2))), tcp(7), tcp(8)))
    assert values(series, OPENS).keys() == {("unknown", uid(1)), ("unknown", uid(2))}
    series.name_pods(cluster(Pod("a", "b", uid(2))))
    assert values(series, OPENS).keys() == {("unknown", uid(1)), ("a", "b")}


def test_folders_that_are_no_pods_name_nobody() -> None:
    """A folder that does not look like the kubelet's is left out: what a node says may be hostile."""
    series = watched()
    hostile = folders({uid(1): 'a"} 1_b'})
    series.apply(node_round(1, hostile, places(place(7, uid(1))), tcp(7)))
    assert values(series, OPENS).keys() == {("unknown", uid(1))}


def test_names_that_stand_for_no_name_are_nobodys() -> None:
    """Folders that call pods by other pods' UIDs in the namespace 'unknown' do not make two series of one name."""
    series = watched()
    hostile = folders({uid(1): f"unknown_{uid(2)}", uid(3): f"unknown_{uid(1)}"})
    who = places(*(place(netns, uid(netns)) for netns in (1, 2, 3)))
    series.apply(node_round(1, hostile, who, tcp(1), tcp(2), tcp(3)))
    assert values(series, OPENS).keys() == {("unknown", uid(netns)) for netns in (1, 2, 3)}


def test_softnet_is_the_nodes_once() -> None:
    """A host-wide probe has one series for the node, whatever pods there are."""
    series = watched("softnet")
    series.apply(node_round(1, places(place(7, uid(1))), case("softnet-4.18", "softnet")))
    assert values(series, "kubeskoop_softnet_processed") == {("", ""): 11}


def test_sock_is_of_each_namespace_and_memory_of_the_node() -> None:
    """Sockets in use and orphans are there for pods, as dashboards ask; memory, which is one, for the node only."""
    series = watched("sock")
    changes = [folders({uid(1): "a_b"}), places(place(7, uid(1)))]
    for netns in (HOST_NETNS, 7):
        changes += [case("sockstat-pod", "sockstat", netns), case("sockstat-pod", "sockstat6", netns)]
        changes.append(item("tcp-states", "-\t4\t1\t0\t0\t1\n", netns))
    series.apply(node_round(1, *changes))
    assert values(series, "kubeskoop_sock_inuse") == {("", ""): 11, ("a", "b"): 11}
    assert values(series, "kubeskoop_sock_orphan") == {("", ""): 1, ("a", "b"): 1}
    assert values(series, "kubeskoop_sock_mem") == {("", ""): 347}


def test_conntrack_is_of_each_namespace_that_has_it() -> None:
    """A pod without conntrack has no series and does not degrade the probe."""
    series = watched("conntrack")
    series.apply(
        node_round(
            1,
            folders({uid(1): "a_b"}),
            places(place(7, uid(1))),
            case("conntrack-6.18-busy", "conntrack-stats", HOST_NETNS),
            lacking("conntrack-proc", ItemStatus.ABSENT, "conntrack-stats tells it", HOST_NETNS),
            lacking("conntrack-count", ItemStatus.ABSENT, "no conntrack", HOST_NETNS),
            *(
                lacking(each, ItemStatus.ABSENT, "no conntrack", 7)
                for each in ("conntrack-stats", "conntrack-proc", "conntrack-count")
            ),
        )
    )
    assert values(series, "kubeskoop_conntrack_insertfailed") == {("", ""): 55}
    assert values(series, "kubeskoop_conntrack_ignore") == {}
    assert series.availability()["conntrack"] == Availability(State.AVAILABLE)


def test_processes_that_may_not_be_read_degrade_a_probe() -> None:
    """What could be read is shown, and how many could not be is said."""
    series = watched("io")
    io = item(
        "cgroup-io", "-\t5\t1\t2\t3\t4\n", status=ItemStatus.DENIED, detail="3 processes cannot be read"
    )
    series.apply(node_round(1, places(), io))
    assert values(series, "kubeskoop_io_readbytes") == {("", ""): 3}
    expected = Availability(State.DEGRADED, "cgroup-io: denied: 3 processes cannot be read")
    assert series.availability()["io"] == expected


def test_devices_of_the_node_have_series_and_cables_to_pods_do_not() -> None:
    """The bridge is a device of the node; the veths beside it are not, nor is anything of a pod."""
    series = watched("netdev")
    changes = [places(place(7, uid(1)))]
    for netns in (HOST_NETNS, 7):
        changes += [case("devices-host", "net-dev", netns), case("devices-host", "link", netns)]
    series.apply(node_round(1, *changes))
    found = [s for s in series.values() if s.metric.name == "skoopctl_device_receive_bytes_total"]
    assert [(sample.labels, sample.value) for sample in found] == [(("n1", "br7"), 1)]


def test_a_node_without_devices_of_its_own_lacks_nothing() -> None:
    """A node with nothing but cables to pods has no series of devices, and the probe is available."""
    series = watched("netdev")
    only_lo = case("net-dev-only-lo", "net-dev", HOST_NETNS)
    series.apply(node_round(1, places(), only_lo, case("devices-host", "link", HOST_NETNS)))
    assert {sample.metric.name.split("_")[0] for sample in series.values()} == {"kubeskoop"}
    assert series.availability()["netdev"] == Availability(State.AVAILABLE)


def test_a_node_is_called_as_the_api_calls_it() -> None:
    """The API's node with the inventory's name or address gives k8s_node; two of them, or none, do not."""
    series = NodeSeries("bastion-7", ["tcp"], address="10.0.0.7")
    series.apply(node_round(1, places(), tcp(HOST_NETNS)))
    one = Node("worker-7", (("InternalIP", "10.0.0.7"),))
    series.name_pods(cluster(nodes={"worker-7": one}))
    assert {sample.labels[0] for sample in series.values()} == {"worker-7"}
    other = Node("worker-8", (("ExternalIP", "10.0.0.7"),))
    series.name_pods(cluster(nodes={"worker-7": one, "worker-8": other}))
    assert {sample.labels[0] for sample in series.values()} == {"bastion-7"}


def test_without_places_nobody_is_told_apart() -> None:
    """A node that does not tell of its namespaces has its own series, by its identity, and says what is missing."""
    series = watched()
    identity = item("identity", f'{{"root_netns": {HOST_NETNS}}}')
    series.apply(node_round(1, identity, lacking("places", ItemStatus.DENIED, "no"), tcp(HOST_NETNS), tcp(7)))
    assert values(series, OPENS) == {("", ""): 1}
    assert series.availability()["tcp"] == Availability(State.DEGRADED, "places: denied: no")


@pytest.mark.parametrize("payload", [b"", b"null", b"[1]", b'[{"inode": "x"}]', b"[" * 5000, b"\xff"])
def test_hostile_places_are_refused(payload: bytes) -> None:
    """Whatever places hold, nothing is raised, and the probe says that it could not be read."""
    series = watched()
    series.apply(node_round(1, item("places", payload), tcp(7)))
    assert series.availability()["tcp"].state is State.UNAVAILABLE


def test_items_of_other_probes_are_ignored() -> None:
    """Items that no chosen probe needs change nothing."""
    series = watched("udp")
    series.apply(node_round(1, places(), case("netstat-4.18", "netstat", HOST_NETNS)))
    assert list(series.values()) == []


def test_unknown_probes_are_refused() -> None:
    """A probe that does not exist is a usage error."""
    with pytest.raises(UsageError, match="no probe 'tpc'"):
        watched("tpc")


def test_all_probes_at_once() -> None:
    """Every probe can be asked for together with the others, and each has its say about the node."""
    series = watched(*PROBES)
    series.apply(node_round(1, places()))
    assert series.availability().keys() == PROBES.keys()
