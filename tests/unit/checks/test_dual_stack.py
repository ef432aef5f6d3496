"""Names that have addresses of both families: the ends of a flow get addresses that fit."""

from __future__ import annotations

import pytest

from skoopctl.checks.diagnose import Question, diagnose
from skoopctl.checks.snapshot import Snapshot
from skoopctl.cluster.cluster import Cluster as Objects
from skoopctl.cluster.objects import Node, Pod, Service, ServicePort
from skoopctl.dataplane.trace import Verdict
from skoopctl.errors import TargetError
from tests.support.broken import dual_stack
from tests.support.worlds import UNDERLAY, cluster, filter_table


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    """Return a dual-stack cluster with a service that both families translate."""
    made = cluster(vxlan=False)
    dual_stack(made)
    for family, (vip, endpoint) in {
        4: ("10.96.0.1/32", "10.244.2.10:80"),
        6: ("fd96::1/128", "[fd00:2::10]:80"),
    }.items():
        rule = f"-A PREROUTING -d {vip} -p tcp -j DNAT --to-destination {endpoint}"
        made.n1.iptables(filter_table(rule, table="nat"), family=family)
    pods = {
        ("demo", name): Pod("demo", name, node=node, ips=ips)
        for name, node, ips in (
            ("a", "n1", ("10.244.1.10", "fd00:1::10")),
            ("b", "n2", ("10.244.2.10", "fd00:2::10")),
        )
    }
    addresses = (("InternalIP", UNDERLAY["n2"]), ("InternalIP", "fd00:9::2"))
    service = Service(
        "demo", "web", cluster_ips=("10.96.0.1", "fd96::1"), ports=(ServicePort("http", "TCP", 80),)
    )
    return Snapshot(
        made.world.hosts(), Objects({"n2": Node("n2", addresses)}, pods, {("demo", "web"): service})
    )


@pytest.mark.parametrize(
    ("source", "destination", "protocol", "flow"),
    [
        ("pod/demo/a", "pod/demo/b", "tcp", ("10.244.1.10", "10.244.2.10")),
        ("pod/demo/a", "fd00:2::10", "tcp", ("fd00:1::10", "fd00:2::10")),
        ("fd00:1::10", "pod/demo/b", "tcp", ("fd00:1::10", "fd00:2::10")),
        ("fd00:1::10", "svc/demo/web", "tcp", ("fd00:1::10", "fd96::1")),
        ("10.244.1.10", "svc/demo/web", "tcp", ("10.244.1.10", "10.96.0.1")),
        ("fd00:1::10", "http://web.demo", "tcp", ("fd00:1::10", "fd96::1")),
        ("fd00:1::10", "node/n2", "icmp", ("fd00:1::10", "fd00:9::2")),
        ("pod/demo/a", "pod/demo/b", "icmp6", ("fd00:1::10", "fd00:2::10")),
        ("pod/demo/a", "svc/demo/web", "TCP", ("10.244.1.10", "10.96.0.1")),
    ],
)
def test_both_ends_are_of_one_family(
    snapshot: Snapshot, source: str, destination: str, protocol: str, flow: tuple[str, str]
) -> None:
    """An address says which family is meant; where only names are given, it is the first of each."""
    diagnosis = diagnose(Question(source, destination, protocol, 0 if "icmp" in protocol else 80), snapshot)
    assert (diagnosis.path.flow.source, diagnosis.path.flow.destination) == flow
    assert diagnosis.path.flow.protocol in {"tcp", "icmp"}
    assert diagnosis.path.verdict is Verdict.PASS


def test_icmp6_is_for_ipv6(snapshot: Snapshot) -> None:
    """The spelling of IPv6 with an address of IPv4 is a mistake, and says so."""
    with pytest.raises(TargetError, match=r"icmp6 is of IPv6, and 10\.244\.2\.10 is not"):
        diagnose(Question("pod/demo/a", "10.244.2.10", "icmp6"), snapshot)
