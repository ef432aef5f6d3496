"""The difference of two snapshots, in terms of the model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from skoopctl.changes import Change, Difference, difference
from skoopctl.changes.difference import KIND_NAMES
from skoopctl.checks.diagnosis import Coverage, HostCoverage
from skoopctl.checks.snapshot import Snapshot
from skoopctl.cluster.cluster import Cluster as Objects
from skoopctl.cluster.objects import Endpoint, EndpointPort, EndpointSlice, Node, Pod
from skoopctl.dataplane.edit import edit_netns, with_link_up, with_sysctls, without_route
from skoopctl.kernel.address import Address
from skoopctl.kernel.conntrack import Connection, Direction, connection_table
from skoopctl.kernel.ipset import IpSet, Member, Net
from skoopctl.kernel.ipvs import Ipvs
from skoopctl.kernel.ipvs_text import decode_ipvsadm
from skoopctl.kernel.netns import Host, NetNamespace
from skoopctl.kernel.route import Route
from skoopctl.report.difference import change_words
from tests.support.broken import snapshot_of
from tests.support.worlds import Cluster, cluster, filter_table

Damage = Callable[[Cluster], Any]
RULES = ("-A FORWARD -s 10.0.0.0/8 -j ACCEPT", "-A FORWARD -j LOG", "-A FORWARD -p udp -j DROP")


def made(damage: Damage = lambda _: None) -> Snapshot:
    """Build the small cluster with something done to it."""
    built = cluster()
    for box in built.world.boxes:
        box.more["programs"] = ()
    damage(built)
    return snapshot_of(built)


def told(found: Difference) -> list[str]:
    """Return the changes as lines: where, kind or place, sign, words."""
    return [
        _line(section.host, section.namespace, each) for section in found.sections for each in section.changes
    ]


def _line(host: str, namespace: str, change: Change) -> str:
    where = " ".join(filter(None, (host, namespace, change.place or change.kind)))
    return f"{where} {change.sign.mark} {change_words(change)}"


def test_a_snapshot_does_not_differ_from_itself() -> None:
    """The same evidence twice is no difference, and all of it was compared."""
    found = difference(made(), made())
    assert told(found) == []
    assert (found.hosts, found.namespaces, found.objects, found.differs) == (2, 5, True, False)


CASES: dict[str, tuple[Damage, list[str]]] = {
    "a device's properties are named one by one": (
        lambda c: c.a.change("eth0", mtu=1400, up=False),
        ["n1 demo/a link ~ eth0: state up → down, mtu 1450 → 1400"],
    ),
    "an address that is new": (
        lambda c: c.a.address("eth0", "10.244.1.99/32"),
        [
            "n1 demo/a address + 10.244.1.99/32 dev eth0",
            "n1 demo/a route + local 10.244.1.99/32 dev eth0",
        ],
    ),
    "a sysctl has its name of sysctl(8)": (
        lambda c: c.n1.set("net/bridge/bridge-nf-call-iptables", 1),
        ["n1 host sysctl + net.bridge.bridge-nf-call-iptables = 1"],
    ),
    "a permanent neighbour": (
        lambda c: c.a.neighbour("eth0", "10.244.1.77", "02:00:00:00:00:77"),
        ["n1 demo/a neighbour + 10.244.1.77 dev eth0 lladdr 02:00:00:00:00:77 PERMANENT"],
    ),
    "a socket that listens": (lambda c: c.a.listen(8080), ["n1 demo/a socket + tcp 0.0.0.0:8080"]),
    "a new chain comes with its rules": (
        lambda c: c.n1.iptables(filter_table("-A MINE -j DROP", chains="MINE")),
        ["n1 host iptables filter MINE + chain", "n1 host iptables filter MINE + 1: -A MINE -j DROP"],
    ),
    "a set and its members": (
        lambda c: c.n1.more.update(
            ipsets={"bad": IpSet("bad", "hash:net", 4, (Member((Net(int(ip_address("10.1.0.0")), 16),)),))}
        ),
        [
            "n1 host ipset + create bad hash:net family inet",
            "n1 host ipset + add bad 10.1.0.0/16",
        ],
    ),
    "a virtual service and its server": (
        lambda c: c.n1.more.update(
            ipvs=Ipvs(
                decode_ipvsadm("-A -t 10.96.0.1:80 -s rr\n-a -t 10.96.0.1:80 -r 10.244.1.10:80 -m\n").services
            )
        ),
        [
            "n1 host ipvs + -A -t 10.96.0.1:80 -s rr",
            "n1 host ipvs + -a -t 10.96.0.1:80 -r 10.244.1.10:80 -m -w 1",
        ],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_one_change(name: str) -> None:
    """What was done to the kernel is what is told, in its own words, and nothing else."""
    damage, expected = CASES[name]
    assert told(difference(made(), made(damage))) == expected


@pytest.mark.parametrize("name", CASES)
def test_the_other_way_round(name: str) -> None:
    """From B to A, what was added is removed and what changed changes back."""
    damage, expected = CASES[name]
    there, back = difference(made(), made(damage)), difference(made(damage), made())
    assert len(told(back)) == len(expected)
    assert {each.value: there.counts[each] for each in there.counts} == {
        {"added": "removed", "removed": "added"}.get(each.value, each.value): back.counts[each]
        for each in back.counts
    }


def chain(*rules: str, **more: str) -> Snapshot:
    """Build the small cluster with rules in FORWARD of n1."""
    return made(lambda c: c.n1.iptables(filter_table(*rules, **more)))


def test_rules_are_told_with_their_places() -> None:
    """A rule in the middle that went, and the policy of its chain."""
    found = difference(chain(*RULES), chain(RULES[0], RULES[2], policy="DROP"))
    assert "n1 host iptables filter FORWARD - 2: -A FORWARD -j LOG" in told(found)
    assert "n1 host iptables filter FORWARD ~ policy ACCEPT  →  policy DROP" in told(found)


def test_counters_are_no_difference() -> None:
    """The same rules after a million packets are the same rules."""
    text = filter_table(*(f"[0:0] {rule}" for rule in RULES))
    busy = text.replace("[0:0]", "[1000000:99999999]")
    before, after = (made(lambda c, t=t: c.n1.iptables(t)) for t in (text, busy))  # type: ignore[misc]
    assert told(difference(before, after)) == []


def test_the_order_of_chains_never_matters() -> None:
    """Chains in another order are the same table."""
    one, other = "A B", "B A"
    rules = ("-A A -j DROP", "-A B -j ACCEPT")
    assert told(difference(chain(*rules, chains=one), chain(*rules[::-1], chains=other))) == []


def test_what_kube_proxy_shuffles_is_told_only_when_asked_for() -> None:
    """Rules of KUBE-SERVICES in another order are no change, but with everything volatile they are."""
    rules = [f"-A KUBE-SERVICES -d 10.96.0.{n}/32 -j ACCEPT" for n in (1, 2, 3)]
    before, after = (chain(*each, chains="KUBE-SERVICES") for each in (rules, rules[::-1]))
    assert told(difference(before, after)) == []
    assert difference(before, after, volatile=True).differs


def test_an_empty_table_is_not_news() -> None:
    """A built-in chain without rules that accepts is what a tool leaves by being started."""
    assert told(difference(made(), chain())) == []


def nft(counter: int, *ports: int) -> Snapshot:
    """Build the small cluster with an nft table on n1: a counted rule, and a set of ports."""
    place = {"family": "inet", "table": "fw"}
    match = {
        "match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": "@ports"}
    }
    counted = {"counter": {"packets": counter, "bytes": counter}}
    objects = (
        {"table": {"family": "inet", "name": "fw"}},
        {"set": place | {"name": "ports", "type": "inet_service", "elem": list(ports)}},
        {"chain": place | {"name": "in", "type": "filter", "hook": "input", "prio": 0, "policy": "accept"}},
        {"rule": place | {"chain": "in", "handle": counter, "expr": [match, counted, {"drop": None}]}},
    )
    return made(lambda c: c.n1.nftables(*objects))


def test_nft_is_compared_without_counters_and_handles() -> None:
    """Of an nft table, the element that its set lost is the only difference."""
    assert told(difference(nft(1, 80, 443), nft(77, 443))) == ["n1 host nft inet fw ports - element 80"]


def test_inodes_and_the_order_of_namespaces_do_not_matter() -> None:
    """After a restart, every namespace has another inode: pods are known again by their names."""
    before = made()
    after = replace(before, hosts={name: _renumbered(host) for name, host in before.hosts.items()})
    assert told(difference(before, after)) == []
    assert difference(before, after).namespaces == 5


def _renumbered(host: Host) -> Host:
    moved = {
        inode + 7000: replace(netns, inode=inode + 7000) for inode, netns in reversed(host.namespaces.items())
    }
    return replace(host, root=host.root + 7000, namespaces=moved)


def test_a_pod_that_is_gone_is_one_line() -> None:
    """A namespace that is not there any more is told once, not by everything that was in it."""
    before = made()
    key = before.owner("10.244.1.11")
    assert key is not None
    left = {inode: each for inode, each in before.hosts["n1"].namespaces.items() if inode != key[1]}
    after = replace(before, hosts={**before.hosts, "n1": replace(before.hosts["n1"], namespaces=left)})
    assert told(difference(before, after)) == ["n1 netns - network namespace demo/c"]


def test_objects_are_compared_by_what_decides() -> None:
    """A pod on another node, an endpoint that went, a node that is not ready: each in one line."""
    slices = EndpointSlice(
        "demo",
        "web-x1",
        "web",
        (Endpoint(("10.2.0.1",)), Endpoint(("10.2.0.2",))),
        (EndpointPort("", "TCP", 80),),
    )
    nodes = {"n1": Node("n1", ready=True)}
    pods = {("demo", "a"): Pod("demo", "a", node="n1")}
    before = Objects(nodes, pods, slices=(slices,))
    after = Objects(
        {"n1": Node("n1", ready=False)},
        {("demo", "a"): Pod("demo", "a", node="n2")},
        slices=(replace(slices, name="web-x2", endpoints=slices.endpoints[:1]),),
    )
    assert told(difference(Snapshot({}, before), Snapshot({}, after))) == [
        "node ~ n1: ready yes → no",
        "pod ~ demo/a: node n1 → n2",
        "endpoint - demo/web 10.2.0.2:80/TCP: ready yes serving yes",
    ]


def connections(number: int) -> Snapshot:
    """Build the small cluster with connections on n1."""
    ends = ip_address("10.0.0.1"), ip_address("10.0.0.2")
    entries = tuple(
        Connection(6, Direction(*ends, 4000 + n, 80), Direction(*ends[::-1], 80, 4000 + n))
        for n in range(number)
    )
    return made(lambda c: c.n1.more.update(conntrack=connection_table(entries)))


def test_what_changes_by_itself_counts_only_when_asked_for() -> None:
    """Connections come and go: they are compared with everything volatile, and not without."""
    assert told(difference(connections(1), connections(2))) == []
    assert difference(connections(1), connections(2), volatile=True).counts.total() == 1


def gap(part: str, why: str = "denied: not allowed") -> Callable[[NetNamespace], NetNamespace]:
    """Return an edit that makes a part of a namespace unread."""
    return lambda netns: replace(netns, gaps={**netns.gaps, part: why})


def edited(snapshot: Snapshot, *edits: Callable[[NetNamespace], NetNamespace]) -> Snapshot:
    """Return a snapshot with edits of n1's own namespace."""
    hosts = dict(snapshot.hosts)
    for edit in edits:
        hosts = edit_netns(hosts, ("n1", hosts["n1"].root), edit)
    return replace(snapshot, hosts=hosts)


def test_what_b_could_not_see_is_not_removed() -> None:
    """Routes that were not read in B are unseen, with the reason and how many: none of them is gone."""
    before = made()
    root = before.hosts["n1"].root_netns
    after = edited(before, lambda netns: replace(netns, routes=()), gap("route"))
    found = difference(before, after)
    assert told(found) == []
    (unseen,) = (each for section in found.sections for each in section.unseen)
    assert (unseen.side, unseen.part, unseen.withheld) == ("B", "route", len(root.routes))
    assert "denied: not allowed" in unseen.reason


def test_what_a_could_not_see_is_not_new() -> None:
    """Rules that were not read in A are unseen there, not added."""
    found = difference(edited(made(), gap("iptables-nft")), chain(*RULES))
    assert told(found) == []
    assert [each.side for section in found.sections for each in section.unseen] == ["A"]


def test_sysctls_that_were_not_asked_for_are_not_new() -> None:
    """A sysctl that every kernel has, and one side only, was not read on the other: it is no change."""
    found = difference(made(), edited(made(), with_sysctls({"net/ipv4/tcp_mtu_probing": "0"})))
    assert told(found) == []
    (unseen,) = (each for section in found.sections for each in section.unseen)
    assert (unseen.side, unseen.withheld) == ("A", 1)
    assert "net/ipv4/tcp_mtu_probing" in unseen.reason


def test_what_comes_with_an_address_is_not_told_again() -> None:
    """The kernel's own route for an address that is new is no news beside it, and other routes are."""
    route = Route(
        255, ip_network("10.9.9.9/32"), prefsrc=ip_address("10.9.9.9"), protocol=2, text="local 10.9.9.9"
    )
    address = Address(2, ip_address("10.9.9.9"), 32)
    after = edited(
        made(),
        lambda netns: replace(netns, routes=(*netns.routes, route), addresses=(*netns.addresses, address)),
    )
    assert [line for line in told(difference(made(), after)) if "route" in line] == []
    alone = edited(made(), lambda netns: replace(netns, routes=(*netns.routes, route)))
    assert told(difference(made(), alone)) == ["n1 host route + local 10.9.9.9"]


def test_a_gap_hides_only_its_own_part() -> None:
    """Beside a part that was not read, everything else is compared."""
    after = edited(made(), gap("fdb"), with_sysctls({"net/ipv4/ip_forward": "0"}))
    assert told(difference(made(), after)) == [
        "n1 host sysctl ~ net.ipv4.ip_forward = 1  →  net.ipv4.ip_forward = 0"
    ]


def test_a_host_that_did_not_answer_is_not_gone() -> None:
    """A host without evidence in B is unseen, with what its collection said."""
    before = made()
    rows = (HostCoverage("n1", "ok"), HostCoverage("n2", "unreachable", "no route to host"))
    hosts = {"n1": before.hosts["n1"]}
    found = difference(before, replace(before, hosts=hosts, coverage=Coverage(rows)))
    assert told(found) == []
    (unseen,) = (each for section in found.sections for each in section.unseen)
    assert (unseen.side, unseen.part, unseen.reason) == ("B", "host", "unreachable: no route to host")


def test_only_what_is_asked_for() -> None:
    """Kinds and hosts restrict what is compared."""
    before = made()
    root = before.hosts["n1"].root_netns
    route = next(each for each in root.routes if each.table == 254)
    device = root.link_named("eth0")
    assert device is not None
    after = edited(before, without_route(route.text), with_sysctls({"net/ipv4/ip_forward": "0"}))
    assert told(difference(before, after, kinds={"route"})) == [f"n1 host route - {route.text}"]
    assert told(difference(before, after, hosts={"n2"})) == []
    assert not difference(after, edited(after, with_link_up(device.index)), kinds={"link"}).differs


def test_kinds_have_distinct_names() -> None:
    """Each kind is asked for by a name of its own."""
    assert len(set(KIND_NAMES)) == len(KIND_NAMES)
