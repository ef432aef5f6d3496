"""A fix that is printed as checked works on the real kernel: its commands are run, and the flow passes then."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from skoopctl.checks.diagnose import Question, diagnose
from skoopctl.checks.finding import Finding, Fix
from skoopctl.checks.snapshot import Snapshot
from skoopctl.dataplane.trace import Verdict
from tests.support.flow_stage import ADDRESSES, CLIENT, ROUTER, SERVER, Stage, Wanted, staged

pytestmark = pytest.mark.lab

ACCEPT_NDP = "for n in 135 136; do ip6tables -A INPUT -p icmpv6 --icmpv6-type $n -j ACCEPT; done;"


@dataclass(frozen=True)
class Broken:
    """What is broken, where, and which flow it stops; ``cause`` is the finding to be named."""

    cause: str
    where: str
    command: str
    flow: Wanted
    name: str = ""


CASES = [
    Broken("netfilter-drop", SERVER, "iptables -A INPUT -p tcp --dport 80 -j DROP", Wanted("tcp", 4)),
    Broken("netfilter-drop", SERVER, ACCEPT_NDP + "ip6tables -A INPUT -j DROP", Wanted("udp", 6), "IPv6"),
    Broken("netfilter-drop", ROUTER, "ip6tables -P FORWARD DROP", Wanted("tcp", 6), "policy"),
    Broken("netfilter-drop", SERVER, "iptables -A OUTPUT -p icmp -j DROP", Wanted("icmp", 4), "answer"),
    Broken(
        "netfilter-drop",
        ROUTER,
        "nft add table inet f; nft add chain inet f c '{ type filter hook forward priority 0; }';"
        "nft add rule inet f c meta l4proto udp drop",
        Wanted("udp", 4),
        "nft",
    ),
    Broken(
        "netfilter-reject",
        ROUTER,
        "ip6tables -A FORWARD -p udp -j REJECT --reject-with icmp6-adm-prohibited",
        Wanted("udp", 6),
    ),
    Broken("ndp-filtered", SERVER, "ip6tables -A INPUT -p icmpv6 -j DROP", Wanted("tcp", 6)),
    Broken("ndp-filtered", CLIENT, "ip6tables -A OUTPUT -p icmpv6 -j DROP", Wanted("tcp", 6), "OUTPUT"),
    Broken("echo-ignored", SERVER, "sysctl -qw net.ipv6.icmp.echo_ignore_all=1", Wanted("icmp", 6)),
    Broken("forwarding-off", ROUTER, "sysctl -qw net.ipv4.ip_forward=0", Wanted("tcp", 4)),
    Broken("forwarding-off", ROUTER, "sysctl -qw net.ipv6.conf.all.forwarding=0", Wanted("udp", 6), "IPv6"),
    Broken("blackhole-route", ROUTER, "ip -6 route add prohibit fd09:2::2", Wanted("tcp", 6)),
    Broken(
        "blackhole-route",
        ROUTER,
        "ip rule add from 10.9.1.2 pref 9 blackhole",
        Wanted("icmp", 4),
        "policy rule",
    ),
    Broken("no-route", CLIENT, "ip -6 route del default", Wanted("tcp", 6)),
    Broken("no-route", CLIENT, "ip route del default", Wanted("udp", 4), "IPv4"),
    Broken(
        "rp-filter",
        ROUTER,
        # The way back of what the router itself answers (ARP) is another than that of the server's answers.
        "sysctl -qw net.ipv4.conf.r-c.rp_filter=1; ip route add 10.9.1.2 dev r-s;"
        "ip rule add from 10.9.2.2 lookup 77; ip route add 10.9.1.0/24 dev r-c table 77",
        Wanted("udp", 4),
    ),
    Broken(
        "wrong-mac",
        CLIENT,
        "ip neigh replace 10.9.1.1 lladdr 02:00:00:00:00:99 dev eth-c nud permanent",
        Wanted("tcp", 4),
    ),
]


@pytest.mark.parametrize("broken", CASES, ids=lambda b: f"{b.cause} {b.name}".strip())
def test_a_checked_fix_works(broken: Broken) -> None:
    """The cause is named, its fix is checked in the model, and with its commands the real flow passes."""
    with staged() as stage:
        stage.run(broken.where, broken.command)
        finding, fix = _diagnosed(stage, broken)
        assert stage.real([broken.flow]) != ["connected"]
        assert fix.checked, finding.summary
        for command in fix.commands:
            stage.host.run(command)
        # A question for a neighbour that was under way ends as it would have before: the next one is asked anew.
        stage.real([broken.flow], 3.0)
        assert stage.real([broken.flow], expected=["connected"]) == ["connected"], fix.commands


def _diagnosed(stage: Stage, broken: Broken) -> tuple[Finding, Fix]:
    host = stage.collect()
    flow = broken.flow
    question = Question(
        ADDRESSES[flow.family][0], flow.destination, flow.protocol, 0 if flow.protocol == "icmp" else 80
    )
    diagnosis = diagnose(question, Snapshot({host.name: host}))
    assert diagnosis.path.verdict is Verdict.FAIL
    finding = diagnosis.findings[0]
    assert finding.id == broken.cause
    assert finding.fix is not None
    return finding, finding.fix
