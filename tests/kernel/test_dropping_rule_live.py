"""The rule that dropped a packet: real rules drop real packets, and the model says which rule it was."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from skoopctl.bpf.events import BpfEvent
from skoopctl.bpf.program import BpfRequest
from skoopctl.checks.snapshot import Snapshot
from skoopctl.events.dropped import Answer, Said, key_of, rules_that_drop
from skoopctl.kernel.build import build_host
from tests.kernel.bpf_watch import Watch
from tests.kernel.dropping_rules import Draw
from tests.lab.node_host import NodeHost
from tests.support.flow_stage import ADDRESSES, CLIENT, ROUTER, SERVER, Stage, Wanted, staged
from tests.unit.events.made import named

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="loading programs needs root"),
]

ENOUGH_S = 120.0
TCP4, UDP4, TCP6, UDP6 = Wanted("tcp", 4), Wanted("udp", 4), Wanted("tcp", 6), Wanted("udp", 6)
PING4, PING6 = Wanted("icmp", 4), Wanted("icmp", 6)
C4, S4 = ADDRESSES[4]
C6, S6 = ADDRESSES[6]
MANUAL = f"-s {C4} -j DROP"
PLACES = (CLIENT, ROUTER, SERVER)
FLUSH = """
for t in iptables-nft ip6tables-nft iptables-legacy ip6tables-legacy; do
  for table in raw mangle filter; do $t -w -t $table -F; $t -w -t $table -X; done
  for chain in INPUT FORWARD OUTPUT; do $t -w -P $chain ACCEPT; done
done
nft flush ruleset
"""


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """Return client, router and server for the tests of this file."""
    with staged() as made:
        # What one test leaves half open or half closed is not sent again, to be dropped by the next one's rules.
        made.run(CLIENT, "sysctl -qw net.ipv4.tcp_orphan_retries=1")
        made.run(SERVER, "sysctl -qw net.ipv4.tcp_orphan_retries=1 net.ipv4.tcp_synack_retries=0")
        yield made


@pytest.fixture(autouse=True)
def clean(stage: Stage) -> Iterator[None]:
    """Take all rules away after each test."""
    yield
    for place in PLACES:
        stage.run(place, FLUSH)


@dataclass(frozen=True)
class Case:
    """Commands in one of the namespaces, a flow of the client's that they drop, and the rule that does."""

    name: str
    where: str
    commands: str
    flow: Wanted
    hook: str
    location: str
    backend: str = "iptables-nft"


NFT_INPUT = (
    "nft add table {f} t; nft add chain {f} t in '{{ type filter hook input priority 0; policy accept; }}'; "
)
CASES = (
    Case("the manual's", SERVER, f"iptables -I INPUT {MANUAL}", TCP4, "INPUT", "filter INPUT rule 1"),
    Case(
        "legacy",
        SERVER,
        f"iptables-legacy -A INPUT -p udp --dport 1 -j DROP; iptables-legacy -A INPUT {MANUAL}",
        TCP4,
        "INPUT",
        "filter INPUT rule 2 (legacy)",
        "iptables-legacy",
    ),
    Case(
        "behind a jump, by device and port",
        ROUTER,
        "iptables -N FW; iptables -A FW -p udp -j RETURN; iptables -A FW -o r-s -p tcp --dport 80 -j DROP;"
        "iptables -A FORWARD -i r-c -j FW",
        TCP4,
        "FORWARD",
        "filter FW rule 2",
    ),
    Case(
        "a policy",
        ROUTER,
        "iptables -A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT; iptables -P FORWARD DROP",
        TCP4,
        "FORWARD",
        "filter FORWARD policy",
    ),
    Case(
        "raw", ROUTER, f"iptables -t raw -A PREROUTING {MANUAL}", UDP4, "PREROUTING", "raw PREROUTING rule 1"
    ),
    Case(
        "OUTPUT",
        CLIENT,
        f"iptables -A OUTPUT -o eth-c -d {S4} -j DROP",
        UDP4,
        "OUTPUT",
        "filter OUTPUT rule 1",
    ),
    Case(
        "mangle POSTROUTING",
        ROUTER,
        "iptables -t mangle -A POSTROUTING -o r-s -p tcp -j DROP",
        TCP4,
        "POSTROUTING",
        "mangle POSTROUTING rule 1",
    ),
    Case("IPv6", SERVER, f"ip6tables -A INPUT -s {C6} -p tcp -j DROP", TCP6, "INPUT", "filter INPUT rule 1"),
    Case(
        "IPv6 legacy FORWARD",
        ROUTER,
        "ip6tables-legacy -A FORWARD -o r-s -p udp -j DROP",
        UDP6,
        "FORWARD",
        "filter FORWARD rule 1 (legacy)",
        "iptables-legacy",
    ),
    Case(
        "IPv6 OUTPUT", CLIENT, f"ip6tables -A OUTPUT -d {S6} -j DROP", TCP6, "OUTPUT", "filter OUTPUT rule 1"
    ),
    Case(
        "IPv6 raw",
        ROUTER,
        f"ip6tables -t raw -A PREROUTING -s {C6} -p udp -j DROP",
        UDP6,
        "PREROUTING",
        "raw PREROUTING rule 1",
    ),
    Case(
        "a set of nft",
        SERVER,
        NFT_INPUT.format(f="inet")
        + "nft add set inet t bad '{ type ipv4_addr; flags interval; elements = { 10.9.1.0/24 }; }';"
        "nft add rule inet t in ip saddr @bad counter drop",
        TCP4,
        "INPUT",
        "inet t in rule 1",
        "nft",
    ),
    Case(
        "a verdict map of nft",
        SERVER,
        NFT_INPUT.format(f="ip") + "nft add rule ip t in meta l4proto vmap '{ tcp : accept, udp : drop }'",
        UDP4,
        "INPUT",
        "ip t in rule 1",
        "nft",
    ),
    Case(
        "a policy of nft",
        ROUTER,
        "nft add table ip6 t; nft add chain ip6 t fw '{ type filter hook forward priority 0; policy drop; }';"
        "nft add rule ip6 t fw meta l4proto icmpv6 accept; nft add rule ip6 t fw udp dport 53 accept",
        UDP6,
        "FORWARD",
        "ip6 t fw policy",
        "nft",
    ),
    Case(
        "ping",
        SERVER,
        "iptables -A INPUT -p icmp --icmp-type echo-request -j DROP",
        PING4,
        "INPUT",
        "filter INPUT rule 1",
    ),
    Case("REJECT", SERVER, "iptables -A INPUT -p udp -j REJECT", UDP4, "INPUT", "filter INPUT rule 1"),
    Case(
        "netdev ingress",
        ROUTER,
        "nft add table netdev t;"
        "nft add chain netdev t in '{ type filter hook ingress device r-c priority 0; policy accept; }';"
        f"nft add rule netdev t in ip saddr {C4} udp dport 80 counter drop",
        UDP4,
        "netdev ingress",
        "netdev t in rule 1",
        "nft",
    ),
)


def dropped(stage: Stage, flow: Wanted, hook: str) -> tuple[BpfEvent, Answer]:
    """Send a flow while the probe looks; return the drop of its first packet, and what the rules say of it."""
    inodes = tuple(int(stage.run(place, "stat -L -c %i /proc/self/ns/net")) for place in PLACES)
    number = {"tcp": 6, "udp": 17, "icmp": 1 if flow.family == 4 else 58}[flow.protocol]
    with Watch(BpfRequest(("packetloss",), ENOUGH_S, inodes)) as watch:
        stage.real([flow], 0.4)
        seen = watch.first(
            lambda e: e.reason_name == "NETFILTER_DROP" and e.protocol == number and e.hook == hook,
            f"a packet that rules drop in {hook}",
        )
    host = stage.collect()
    event = named(seen, host.name)
    key = key_of(event)
    assert key is not None
    return seen, rules_that_drop(Snapshot({host.name: host}), [event])[key]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_rule_that_dropped_is_found(stage: Stage, case: Case) -> None:
    """The model names the very rule that the kernel has dropped the packet by, with its backend."""
    stage.run(case.where, case.commands)
    seen, answer = dropped(stage, case.flow, case.hook)
    assert answer.said is Said.RULE, (answer.text, seen)
    assert answer.rules[0].rule.location.partition(" (handle")[0] == case.location, answer.text
    assert answer.rules[0].backend == case.backend
    assert answer.rules[0].rule.packets != 0


def test_the_packet_is_taken_as_nat_has_left_it(stage: Stage) -> None:
    """Behind DNAT the event has the new address, and the rule for that one is found, not that for the old."""
    stage.run(
        ROUTER,
        f"iptables -t nat -A PREROUTING -d 10.9.9.9 -p udp --dport 53 -j DNAT --to {S4}:80;"
        f"iptables -A FORWARD -d 10.9.9.9 -j DROP; iptables -A FORWARD -d {S4} -p udp --dport 80 -j DROP",
    )
    try:
        seen, answer = dropped(stage, Wanted("udp", 4, "10.9.9.9", 53), "FORWARD")
    finally:
        stage.run(ROUTER, "iptables -t nat -F")
    assert (seen.destination, seen.destination_port) == (S4, 80)
    assert answer.said is Said.RULE, answer.text
    assert answer.rules[0].rule.location == "filter FORWARD rule 2"
    assert not answer.rules[0].condition


def test_a_chain_behind_nat_is_found(stage: Stage) -> None:
    """A chain that runs behind NAT in the same hook sees the new address, as the event does."""
    stage.run(
        ROUTER,
        f"iptables -t nat -A PREROUTING -p udp --dport 53 -j DNAT --to {S4}:80; nft add table ip t;"
        "nft add chain ip t late '{ type filter hook prerouting priority -50; policy accept; }';"
        f"nft add rule ip t late ip daddr {S4} udp dport 80 drop",
    )
    try:
        _, answer = dropped(stage, Wanted("udp", 4, "10.9.9.9", 53), "PREROUTING")
    finally:
        stage.run(ROUTER, "iptables -t nat -F")
    assert answer.said is Said.RULE, answer.text
    assert answer.rules[0].rule.location.startswith("ip t late rule 1")


def test_a_mark_that_a_rule_gives_is_supposed(stage: Stage) -> None:
    """The event has no mark; a rule that asks for one is found where another rule gives it, and says so."""
    stage.run(
        ROUTER,
        f"iptables -t mangle -A PREROUTING -s {C4} -j MARK --set-xmark 0x8000/0x8000;"
        "iptables -A FORWARD -m mark --mark 0x8000/0x8000 -j DROP",
    )
    _, answer = dropped(stage, UDP4, "FORWARD")
    assert answer.said is Said.RULE, answer.text
    assert answer.rules[0].rule.location == "filter FORWARD rule 1"
    assert answer.rules[0].condition == "its mark was 0x8000"


@pytest.mark.parametrize(("state", "flow"), [("ESTABLISHED", TCP4), ("INVALID", TCP4)])
def test_a_state_that_the_event_does_not_tell_is_supposed(stage: Stage, state: str, flow: Wanted) -> None:
    """Of an ACK the rule for its connection's state is found, and the state is said to be supposed."""
    if state == "INVALID":
        # Without its SYN and with nf_conntrack_tcp_loose off, conntrack cannot place the ACK.
        stage.run(
            SERVER,
            "sysctl -qw net.netfilter.nf_conntrack_tcp_loose=0;"
            "iptables -t raw -A PREROUTING -p tcp --syn -j NOTRACK; iptables -t raw -A OUTPUT -p tcp -j NOTRACK",
        )
    stage.run(SERVER, f"iptables -A INPUT -p tcp -m conntrack --ctstate {state} -j DROP")
    try:
        seen, answer = dropped(stage, flow, "INPUT")
    finally:
        stage.run(SERVER, "sysctl -qw net.netfilter.nf_conntrack_tcp_loose=1")
    assert seen.tcp_flags & 0x12 == 0x10
    assert answer.said is Said.RULE, answer.text
    assert answer.rules[0].rule.location == "filter INPUT rule 1"
    assert f"conntrack took it for {state}" in answer.rules[0].condition


def test_rules_that_the_model_cannot_decide_are_all_named(stage: Stage) -> None:
    """Where one of two rules did it and the payload would tell, the answer is both, and never one of them."""
    stage.run(
        SERVER,
        "iptables -A INPUT -p udp -m string --algo bm --string never -j DROP; iptables -A INPUT -p udp -j DROP",
    )
    _, answer = dropped(stage, UDP4, "INPUT")
    assert answer.said is Said.ONE_OF, answer.text
    assert {blame.rule.location for blame in answer.rules} == {"filter INPUT rule 1", "filter INPUT rule 2"}
    assert all("string" in blame.condition for blame in answer.rules)


def test_a_rule_that_is_gone_is_not_made_up(stage: Stage) -> None:
    """When the rule was deleted before the collection, no rule is blamed."""
    stage.run(SERVER, f"iptables -A INPUT -p tcp --dport 81 -j DROP; iptables -A INPUT {MANUAL}")
    inode = int(stage.run(SERVER, "stat -L -c %i /proc/self/ns/net"))
    with Watch(BpfRequest(("packetloss",), ENOUGH_S, (inode,))) as watch:
        stage.real([TCP4], 0.4)
        seen = watch.first(lambda e: e.hook == "INPUT", "a packet that rules drop in INPUT")
    stage.run(SERVER, f"iptables -D INPUT {MANUAL}")
    host = stage.collect()
    event = named(seen, host.name)
    (answer,) = rules_that_drop(Snapshot({host.name: host}), [event]).values()
    assert answer.said is Said.NONE
    assert not answer.rules
    assert "may have changed" in answer.text


@pytest.mark.parametrize("seed", range(12))
def test_no_rule_is_blamed_that_dropped_nothing(stage: Stage, seed: int) -> None:
    """Among random rules, whatever is blamed has counted packets; of several, one has; and a rule is always found."""
    drawn = Draw(seed).drawn()
    stage.run(drawn.where, drawn.commands)
    seen, answer = dropped(stage, drawn.flow, drawn.hook)
    assert answer.said in {Said.RULE, Said.ONE_OF}, (answer.text, seen, drawn)
    assert any(blame.rule.packets for blame in answer.rules), (answer.text, seen, drawn)


@dataclass(frozen=True)
class Bridged:
    """A node with a bridge and two pods on it."""

    host: NodeHost
    one: int
    two: int

    def send(self, command: str) -> None:
        """Run a command in the first pod's network."""
        pid = next(p for p in self.host.run("pgrep -x sleep").split() if self.inode(p) == self.one)
        self.host.run(f"nsenter -t {pid} -n {command}")

    def inode(self, pid: str) -> int:
        """Return the network namespace of a process in the host."""
        return int(self.host.run(f"stat -L -c %i /proc/{pid}/ns/net"))


@pytest.fixture
def bridged() -> Iterator[Bridged]:
    """Return a node whose bridged packets meet iptables."""
    host = NodeHost.start()
    try:
        host.run(
            "ip link set lo up; ip link add cni0 type bridge; ip addr add 10.244.9.1/24 dev cni0; ip link set cni0 up;"
            "sysctl -qw net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1"
        )
        one, two = (host.add_pod(name, f"10.244.9.{n}") for n, name in ((2, "one"), (3, "two")))
        yield Bridged(host, one, two)
    finally:
        host.stop()


SEND = "python3 -c 'import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); {}'"


@pytest.mark.parametrize(
    ("commands", "hook", "location"),
    [
        ("iptables -A FORWARD -p udp -j DROP", "FORWARD", "filter FORWARD rule 1"),
        (
            "iptables -A FORWARD -m physdev --physdev-in vtwo -j DROP;"
            "iptables -A FORWARD -m physdev --physdev-in vone --physdev-out vtwo -p udp -j DROP",
            "FORWARD",
            "filter FORWARD rule 2",
        ),
        ("iptables -t raw -A PREROUTING -i cni0 -p udp -j DROP", "PREROUTING", "raw PREROUTING rule 1"),
        (
            "nft add table bridge t; nft add chain bridge t f '{ type filter hook forward priority 0; }';"
            "nft add rule bridge t f ip protocol udp counter drop",
            "bridge forward",
            "bridge t f rule 1",
        ),
    ],
    ids=["FORWARD", "by its ports", "PREROUTING", "nft's bridge family"],
)
def test_a_bridged_packet_has_its_rule_too(bridged: Bridged, commands: str, hook: str, location: str) -> None:
    """What br_netfilter or nft's bridge family drops between two pods of one node is found, by its ports too."""
    bridged.host.run(commands)
    with Watch(BpfRequest(("packetloss",), ENOUGH_S, (bridged.host.root_inode(),))) as watch:
        bridged.send(SEND.format('s.sendto(b"?", ("10.244.9.3", 99))'))
        seen = watch.first(
            lambda e: e.protocol == 17 and e.hook == hook, f"a datagram that is dropped in {hook}"
        )
    answered = bridged.host.ask()
    assert answered.status == 0, answered.stderr
    host = build_host(answered.evidence)
    (answer,) = rules_that_drop(Snapshot({host.name: host}), [named(seen, host.name)]).values()
    assert answer.said is Said.RULE, (answer.text, seen)
    assert answer.rules[0].rule.location.partition(" (handle")[0] == location, answer.text
