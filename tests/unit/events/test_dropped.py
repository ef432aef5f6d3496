"""Which rule dropped a packet: one, one of some, none, or unknown with the reason; and never a guess."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from skoopctl.checks.snapshot import Snapshot
from skoopctl.cluster.cluster import Cluster
from skoopctl.cluster.objects import Node
from skoopctl.events import dropped
from skoopctl.events.dropped import Answer, Said, key_of, rules_that_drop
from skoopctl.events.event import End, Event
from skoopctl.kernel.conntrack import Connection, Direction, connection_table
from tests.support.recorded import load
from tests.support.worlds import Box, World, filter_table
from tests.unit.events.made import NODE, event

CLIENT, SERVER = "10.0.0.1", "10.0.1.2"


def node(*rules: str, **more: Any) -> Box:
    """Return a node that forwards from eth0 to cni0, with these rules in its table ``filter``."""
    box = World().host(NODE)
    for name, address in (("eth0", "10.0.0.9/24"), ("cni0", "10.0.1.1/24")):
        box.link(name, kind="bridge" if name == "cni0" else "veth")
        box.address(name, address)
    box.iptables(filter_table(*rules, **more))
    return box


def model(box: Box) -> Snapshot:
    """Return a snapshot of one node."""
    world = World()
    world.boxes.append(box)
    return Snapshot(world.hosts())


def loss(box: Box, **more: Any) -> Event:
    """Return the drop of a SYN at FORWARD; ``more`` are its fields."""
    fields: dict[str, Any] = {
        "reason": "NETFILTER_DROP",
        "hook": "FORWARD",
        "netns": box.inode,
        "ifindex": box.index("eth0"),
        "protocol": "TCP",
        "source": End(CLIENT, 40000),
        "destination": End(SERVER, 80),
        "tcp_flags": "SYN",
    }
    return event(**{**fields, **more})


def answer(snapshot: Snapshot, happened: Event) -> Answer:
    """Return the answer for one event."""
    (found,) = rules_that_drop(snapshot, [happened]).values()
    return found


DROP = "-A FORWARD -s 10.0.0.1/32 -o cni0 -j DROP"


def test_the_rule_is_named_with_chain_number_counter_and_backend() -> None:
    """The answer is one line that people can find again on the node."""
    box = node("[0:0] -A FORWARD -p udp -j DROP", f"[12:720] {DROP}")
    found = answer(model(box), loss(box))
    assert found.said is Said.RULE
    assert found.text == f"dropped by filter FORWARD rule 2: {DROP} [12 packets], iptables-nft"


def test_a_packet_that_goes_elsewhere_has_not_this_rule() -> None:
    """The device that a forwarded packet would leave by is taken from the routes."""
    box = node(DROP.replace("cni0", "eth0"))
    assert answer(model(box), loss(box)).said is Said.NONE


def test_a_counter_of_zero_is_told() -> None:
    """A rule that has counted nothing is named, with the doubt."""
    box = node(f"[0:0] {DROP}")
    assert "its counter is 0" in answer(model(box), loss(box)).text


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"node": "node9"}, "node9 was not collected"),
        ({"hook": ""}, "do not tell in which hook"),
        ({"netns": 5}, "the namespace 5 of node1 is not in the snapshot"),
        ({"ifindex": 77}, "the device 77 is not in the snapshot"),
        ({"source": None}, "does not tell the packet's addresses"),
        ({"protocol": "Xyz"}, "protocol Xyz is not known"),
        ({"hook": "arp input"}, "rules for ARP"),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else "",
)
def test_what_cannot_be_told_says_why(change: dict[str, Any], reason: str) -> None:
    """An event that cannot be matched with the snapshot is unknown, with the reason, and blames no rule."""
    box = node(DROP)
    found = answer(model(box), replace(loss(box), **change))
    assert found.said is Said.UNKNOWN
    assert reason in found.text
    assert not found.rules


def test_rules_that_were_not_read_are_unknown() -> None:
    """Where a rule set could not be read, what was read is not blamed."""
    box = node(DROP)
    box.gaps["nft"] = "timeout"
    found = answer(model(box), loss(box))
    assert found.said is Said.UNKNOWN
    assert "nft" in found.text


def test_other_drops_are_not_asked_for() -> None:
    """Only what rules of netfilter have dropped has an answer."""
    box = node(DROP)
    others = [loss(box, reason="NO_SOCKET"), replace(loss(box), kind="retransmit")]
    assert rules_that_drop(model(box), others) == {}
    assert [key_of(other) for other in others] == [None, None]


def test_equal_packets_have_one_answer() -> None:
    """Events of one flow share an answer, whatever their times and counts."""
    box = node(DROP)
    many = [replace(loss(box), wall_ns=n) for n in range(100)]
    found = rules_that_drop(model(box), [*many, loss(box, destination=End(SERVER, 81))])
    assert len(found) == 2


def test_more_packets_than_are_looked_up_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """The most frequent packets are looked up; the others are counted as unknown, and say why."""
    monkeypatch.setattr(dropped, "MAX_KEYS", 1)
    box = node(DROP)
    often, seldom = loss(box), loss(box, destination=End(SERVER, 81))
    found = rules_that_drop(model(box), [seldom, often, often])
    assert found[key_of(often)].said is Said.RULE  # type: ignore[index]
    assert found[key_of(seldom)].said is Said.UNKNOWN  # type: ignore[index]
    assert "not looked up" in found[key_of(seldom)].text  # type: ignore[index]


def test_a_namespace_that_is_another_pods_now_is_unknown() -> None:
    """When the inode of a pod's namespace was used again, the new owner's rules are not blamed."""
    box = node(DROP)
    snapshot = model(box)
    snapshot.__dict__["labels"] = {(NODE, box.inode): "shop/new"}
    found = answer(snapshot, loss(box, namespace="shop", pod="old"))
    assert found.said is Said.UNKNOWN
    assert "was shop/old's, and is shop/new's" in found.text
    assert answer(snapshot, loss(box, namespace="shop", pod="new")).said is Said.RULE


@pytest.mark.parametrize("name", ["by-address", "by-host-name", "its-own-name"])
def test_a_node_is_found_by_its_other_names(name: str) -> None:
    """Events have the API's name of a node, and a collection the inventory's: both are the same host."""
    box = node(DROP)
    hosts = {NODE: replace(model(box).hosts[NODE], hostname="its-own-name")}
    known = (
        Node("by-address", (("Hostname", "x"), ("InternalIP", "10.0.0.9"))),
        Node("by-host-name", (("Hostname", NODE),)),
    )
    snapshot = Snapshot(hosts, Cluster(nodes={each.name: each for each in known}))
    assert answer(snapshot, replace(loss(box), node=name)).said is Said.RULE
    assert answer(snapshot, replace(loss(box), node="another")).said is Said.UNKNOWN


def test_names_of_nodes_may_be_given() -> None:
    """Who knows a node by both its names says so; nothing in the snapshot has to tell it then."""
    box = node(DROP)
    happened = replace(loss(box), node="of-the-api")
    (found,) = rules_that_drop(model(box), [happened], {"of-the-api": NODE}).values()
    assert found.said is Said.RULE


def test_a_kernel_without_reasons_is_asked_too() -> None:
    """Before 5.17 a drop has no reason; that rules did it is known by the hook."""
    box = node(DROP)
    assert answer(model(box), loss(box, reason="", function="nf_hook_slow")).said is Said.RULE


def test_a_full_table_of_connections_is_named() -> None:
    """Conntrack drops first packets itself when its table is full: that is no rule, and is told as what it is."""
    box = node("-A FORWARD -p udp -j ACCEPT")
    box.set("net/netfilter/nf_conntrack_max", 10)
    box.set("net/netfilter/nf_conntrack_count", 10)
    found = answer(model(box), loss(box, hook="PREROUTING"))
    assert found.said is Said.RULE
    assert found.rules[0].backend == "conntrack"
    assert "nf_conntrack_count = 10" in found.text
    assert "is full" in found.rules[0].condition


def test_neighbour_discovery_is_not_tracked() -> None:
    """A rule that drops what conntrack does not track is found for ICMPv6, and says what it was."""
    box = node()
    box.tables.clear()
    box.address("eth0", "fd00::9/64")
    rules = "-A INPUT -p ipv6-icmp -m icmp6 --icmpv6-type 135 -m conntrack --ctstate UNTRACKED -j DROP"
    box.iptables(filter_table(rules), family=6)
    ends = {"source": End("fd00::1"), "destination": End("fd00::9"), "protocol": "ICMPv6", "tcp_flags": ""}
    found = answer(model(box), loss(box, hook="INPUT", **ends))
    assert found.said is Said.RULE
    assert "a neighbour solicitation" in found.rules[0].condition


ESTABLISHED = "-A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT"


def test_a_first_packet_is_new() -> None:
    """A SYN is NEW, so that a rule for known connections does not weaken the answer."""
    box = node(ESTABLISHED, policy="DROP")
    found = answer(model(box), loss(box))
    assert found.said is Said.RULE
    assert not found.rules[0].condition
    assert found.rules[0].rule.location == "filter FORWARD policy"


def test_a_later_packet_depends_on_what_conntrack_knew() -> None:
    """Of an ACK the answer says what conntrack must have taken it for."""
    box = node(ESTABLISHED, policy="DROP")
    found = answer(model(box), loss(box, tcp_flags="ACK,PSH"))
    assert found.said is Said.RULE
    assert "conntrack took it for" in found.rules[0].condition
    assert "ESTABLISHED" not in found.rules[0].condition


def test_the_collected_connection_is_supposed_first() -> None:
    """Where conntrack's table has the packet's connection, its state stands in the answer."""
    box = node("-A FORWARD -m conntrack --ctstate ESTABLISHED -j DROP")
    ends = (ip_address(CLIENT), ip_address(SERVER), 40000, 80)
    back = (ip_address(SERVER), ip_address(CLIENT), 80, 40000)
    known = Connection(6, Direction(*ends), Direction(*back), seen_reply=True, tcp_state="ESTABLISHED")
    box.more["conntrack"] = connection_table((known,))
    found = answer(model(box), loss(box, tcp_flags="ACK"))
    assert found.said is Said.RULE
    assert found.rules[0].condition == "conntrack took it for ESTABLISHED, as its table says"


def test_two_rules_that_may_have_done_it_are_both_named() -> None:
    """When the state decides between two rules and nobody tells it, the answer is both."""
    box = node(
        "-A FORWARD -m conntrack --ctstate INVALID -j DROP",
        "-A FORWARD -p tcp -m tcp --dport 80 -j DROP",
    )
    found = answer(model(box), loss(box, tcp_flags="ACK"))
    assert found.said is Said.ONE_OF
    assert [blame.rule.location for blame in found.rules] == [
        "filter FORWARD rule 2",
        "filter FORWARD rule 1",
    ]
    assert "one of" in found.text


def test_flags_that_are_left_out_are_told() -> None:
    """A rule that asks for flags beyond the model's leaves a note in the answer."""
    box = node("-A FORWARD -p tcp -m tcp --tcp-flags FIN FIN -j ACCEPT", DROP)
    assert "TCP flags" in answer(model(box), loss(box, tcp_flags="ACK,FIN")).text


def test_a_mark_that_nobody_gives_is_not_supposed() -> None:
    """A rule for a mark is not blamed as long as no rule that packets meet gives that mark."""
    unused = [
        "-A KUBE-MARK-DROP -j MARK --set-xmark 0x8000/0x8000",
        "-A FORWARD -m mark --mark 0x8000/0x8000 -j DROP",
    ]
    box = node(*unused, DROP, chains="KUBE-MARK-DROP")
    found = answer(model(box), loss(box))
    assert found.said is Said.RULE
    assert found.rules[0].rule.text == DROP


@pytest.mark.parametrize("mode", ["iptables", "nftables"])
@pytest.mark.parametrize("hook", ["FORWARD", "INPUT", "OUTPUT"])
def test_a_rule_beside_kube_proxys_is_found(mode: str, hook: str) -> None:
    """Among the rules that a real kube-proxy has written, the one that was added is found, and no other."""
    recorded = load(mode)
    name = min(recorded.hosts)
    host = recorded.hosts[name]
    netns = host.root_netns
    box = node(f"-A {hook} -p tcp -m tcp --dport 8081 -j DROP")
    added = replace(box.build().iptables[0], order=-1)
    tables = (
        *(t for t in netns.iptables if (t.name, t.family) != ("filter", 4)),
        _joined(netns.iptables, added),
    )
    changed = replace(netns, iptables=tables)
    hosts = {**recorded.hosts, name: replace(host, namespaces={**host.namespaces, netns.inode: changed})}
    device = next(link for link in netns.links.values() if not link.loopback)
    happened = replace(
        loss(box, hook=hook, destination=End("192.168.3.99", 8081)),
        node=name,
        netns=netns.inode,
        ifindex=device.index,
    )
    assert answer(Snapshot(recorded.hosts, recorded.cluster), happened).said is Said.NONE
    found = answer(Snapshot(hosts, recorded.cluster), happened)
    assert found.said is Said.RULE, found.text
    assert found.rules[0].rule.text == f"-A {hook} -p tcp -m tcp --dport 8081 -j DROP"


def _joined(tables: tuple[Any, ...], added: Any) -> Any:
    """Return a table ``filter`` with the rules of another at the ends of its chains."""
    old = next((t for t in tables if (t.name, t.family) == ("filter", 4)), None)
    if old is None:
        return added
    chains = dict(old.chains)
    for name, chain in added.chains.items():
        rules = (*chains[name].rules, *chain.rules) if name in chains else chain.rules
        numbered = tuple(replace(rule, number=n) for n, rule in enumerate(rules, 1))
        chains[name] = replace(chains.get(name, chain), rules=numbered)
    return replace(old, chains=chains)
