"""What a dump of rules holds that cannot be read, or is foreign, is a finding of the hosts on the path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from skoopctl.checks.diagnose import Question, diagnose
from skoopctl.checks.diagnosis import Diagnosis
from skoopctl.checks.finding import Severity
from skoopctl.checks.snapshot import Snapshot
from skoopctl.dataplane.trace import Verdict
from skoopctl.kernel.host_facts import decode_identity
from skoopctl.kernel.iptables import Backend
from tests.support.worlds import Cluster, cluster, filter_table, third_node

ACCEPT: list[dict[str, Any]] = [{"accept": None}]


def nft(name: str, *exprs: list[Any], family: str = "inet", hook: str = "forward") -> list[dict[str, Any]]:
    """Return the objects of a table with one base chain."""
    place = {"family": family, "table": name}
    base = place | {"name": "c", "type": "filter", "hook": hook, "prio": 10, "policy": "accept"}
    rules = [{"rule": place | {"chain": "c", "handle": n, "expr": e}} for n, e in enumerate(exprs, 1)]
    return [{"table": {"family": family, "name": name}}, {"chain": base}, *rules]


def both_backends(made: Cluster) -> None:
    """Put rules into both of iptables' stores."""
    made.n1.iptables(filter_table("-A FORWARD -s 10.9.9.9/32 -j DROP"), Backend.LEGACY)
    made.n1.iptables(filter_table("-A FORWARD -s 10.9.9.8/32 -j DROP"), Backend.NFT)


def without_arguments(made: Cluster) -> None:
    """Show a rule of iptables by nft only."""
    made.n1.nftables(*nft("odd", [{"xt": {"type": "match", "name": "nfacct"}}, {"counter": None}]))


def missing_chain(made: Cluster) -> None:
    """Name a chain that is not there, behind a match that never holds."""
    never = {"match": {"op": "==", "left": {"meta": {"key": "mark"}}, "right": 99}}
    made.n1.nftables(*nft("odd", [never, {"jump": {"target": "gone"}}]))


def missing_set(made: Cluster) -> None:
    """Name a set that is not there, in a rule that only counts."""
    lookup = {
        "match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "@gone"}
    }
    made.n1.nftables(*nft("odd", [lookup, {"counter": None}]))


def unreadable(made: Cluster) -> None:
    """Cut a rule in the middle of a quoted comment; it is for another address."""
    made.n1.iptables(filter_table('-A OUTPUT -d 10.9.9.9/32 -m comment --comment "cut'))


def changed(made: Cluster) -> None:
    """Let nft show more rules of a chain than iptables-save."""
    made.n1.iptables(filter_table("-A FORWARD -s 10.9.9.8/32 -j DROP"), Backend.NFT)
    made.n1.more["nft_counts"] = {("ip", "filter"): {"FORWARD": 2}}


def firewalld(made: Cluster) -> None:
    """Put firewalld beside Kubernetes."""
    made.n1.nftables(*nft("firewalld", ACCEPT))


def docker(made: Cluster) -> None:
    """Put docker's chains beside Kubernetes."""
    made.n1.iptables(
        filter_table(":DOCKER - [0:0]", "-A FORWARD -o docker0 -j DOCKER", "-A DOCKER -j RETURN")
    )


def arp(made: Cluster) -> None:
    """Filter ARP."""
    made.n1.nftables(*nft("a", [{"drop": None}], family="arp", hook="input"))


DAMAGES: list[tuple[str, Callable[[Cluster], None], str]] = [
    ("two-iptables", both_backends, "iptables-legacy and iptables-nft"),
    ("xt-without-arguments", without_arguments, "One rule"),
    ("rule-names-missing", missing_chain, "One rule"),
    ("rule-names-missing", missing_set, "One rule"),
    ("rule-unreadable", unreadable, "cannot be read"),
    ("rules-changed", changed, "changed while they were read"),
    ("foreign-rules", firewalld, "firewalld"),
    ("foreign-rules", docker, "docker"),
    ("arp-rules", arp, "for ARP"),
]


def asked(damage: Callable[[Cluster], None]) -> Diagnosis:
    """Damage the first node, and ask whether a pod there reaches one of the second."""
    made = cluster()
    damage(made)
    return diagnose(Question("10.244.1.10", "10.244.2.10", "tcp", 80), Snapshot(made.world.hosts()))


@pytest.mark.parametrize(("identifier", "damage", "words"), DAMAGES, ids=lambda v: getattr(v, "__name__", ""))
def test_a_finding_for_information(identifier: str, damage: Callable[[Cluster], None], words: str) -> None:
    """What decides nothing is told for information, with its place, and the verdict stays."""
    diagnosis = asked(damage)
    (finding,) = [f for f in diagnosis.findings if f.id == identifier]
    assert diagnosis.path.verdict is Verdict.PASS
    assert finding.severity is Severity.INFO
    assert not finding.cause
    assert finding.where.node == "n1"
    assert words in finding.summary
    assert finding.evidence


def test_a_healthy_cluster_has_no_such_finding() -> None:
    """Rules that are whole and Kubernetes' own are not worth a word."""
    diagnosis = asked(lambda made: made.n1.iptables(filter_table("-A FORWARD -j ACCEPT"), Backend.NFT))
    assert diagnosis.findings == ()


def test_hosts_off_the_path_are_not_looked_at() -> None:
    """A node that the flow does not pass can hold what it likes."""

    def elsewhere(made: Cluster) -> None:
        third_node(made).nftables(*nft("firewalld", ACCEPT))

    assert asked(elsewhere).findings == ()


def test_a_hook_that_the_flow_does_not_pass_is_not_told_of() -> None:
    """A foreign chain at INPUT does not concern a packet that is forwarded, but for the tunnel's own."""
    diagnosis = asked(lambda made: made.a.nftables(*nft("firewalld", ACCEPT, hook="forward")))
    assert diagnosis.findings == ()


def test_each_host_is_searched_once() -> None:
    """The second flow through a host costs no search: it gets the same findings."""
    made = cluster()
    firewalld(made)
    snapshot = Snapshot(made.world.hosts())
    first, second = (
        diagnose(Question("10.244.1.10", "10.244.2.10", "tcp", 80), snapshot).findings for _ in range(2)
    )
    assert [id(f) for f in first] == [id(f) for f in second]


@pytest.mark.parametrize(("apart_s", "told"), [(0, 0), (100, 0), (121, 1), (3600, 1)])
def test_dumps_that_are_far_apart_are_told_of(apart_s: int, told: int) -> None:
    """Two nodes on the path whose clocks are more than two minutes apart are a finding, with both times."""
    hosts = cluster().world.hosts()
    hosts = {
        name: replace(host, clock_s=1_700_000_000.0 + (apart_s if name == "n2" else 0))
        for name, host in hosts.items()
    }
    diagnosis = diagnose(Question("10.244.1.10", "10.244.2.10", "tcp", 80), Snapshot(hosts))
    found = [f for f in diagnosis.findings if f.id == "dumps-apart"]
    assert len(found) == told
    assert all(f"{apart_s} s apart" in f.summary and len(f.evidence) == 2 for f in found)


def test_the_clock_is_read_from_the_identity() -> None:
    """The node program's wall clock becomes the host's."""
    assert decode_identity(b'{"wall_ns": 1700000000500000000}').clock_s == 1_700_000_000.5
