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
from tests.kernel.bpf_watch import Watch
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
