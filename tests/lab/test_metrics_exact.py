"""Traffic of known amount changes exactly the series that it should, of exactly the pods that it should."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from skoopctl.lab import LabOptions
from skoopctl.lab.commands import run_in
from tests.lab.conftest import Labs
from tests.lab.metrics_scene import BYSTANDER, CALLER, CLOSED, OPEN, TCP, UDP, VICTIM, Scene, Series, scene_in
from tests.services.servers import wait_until

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(
        not all(map(shutil.which, ("prometheus", "prometheus-pushgateway"))),
        reason="prometheus and prometheus-pushgateway are not installed (.ci/packages --tests)",
    ),
]

TROUBLES = {
    "kubeskoop_udp_rcvbuferrors",
    "kubeskoop_udp_sndbuferrors",
    "kubeskoop_udp_noports",
    "kubeskoop_udp_inerrors",
    "kubeskoop_tcp_attemptfails",
    "kubeskoop_tcp_estabresets",
    "kubeskoop_tcp_outrsts",
    "kubeskoop_tcp_retranssegs",
    "kubeskoop_tcp_inerrs",
    "kubeskoop_tcpext_listendrops",
    "kubeskoop_tcpext_listenoverflows",
    "kubeskoop_tcpext_tcpsynretrans",
    "kubeskoop_tcpext_tcprcvqdrop",
    "kubeskoop_tcpext_tcpbacklogdrop",
    "kubeskoop_tcpext_pfmemallocdrop",
}
"""What the panels of drops show: traffic that goes well changes none of them."""


@pytest.fixture(scope="module")
def scene(labs: Labs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Put a stand beside the lab."""
    with scene_in(labs.fresh(LabOptions()), tmp_path_factory.mktemp("metrics")) as scene:
        yield scene


def troubles(changed: Series) -> Series:
    """Keep what counts trouble."""
    return {key: value for key, value in changed.items() if key[0] in TROUBLES}


def test_datagrams_for_a_full_socket_are_counted_for_exactly_that_pod(scene: Scene) -> None:
    """1,000 datagrams that nobody reads: as many receive buffer errors as the kernel dropped, there and only there."""
    dropped = scene.hands[VICTIM].ask("dropped")["dropped"]
    changed = scene.changed(
        lambda: scene.hands[CALLER].ask("datagrams", to=[scene.address(VICTIM), UDP], count=1000, size=512)
    )
    lost = scene.hands[VICTIM].ask("dropped")["dropped"] - dropped
    assert 900 < lost <= 1000
    assert troubles(changed) == {
        ("kubeskoop_udp_rcvbuferrors", VICTIM): lost,
        ("kubeskoop_udp_inerrors", VICTIM): lost,
    }
    assert changed["kubeskoop_udp_outdatagrams", CALLER] == 1000
    assert {pod for _, pod in changed} == {VICTIM, CALLER}


def test_refused_connections_are_counted_on_both_sides(scene: Scene) -> None:
    """50 connects to a closed port: 50 failures at the caller, 50 resets sent by the other pod, nothing elsewhere."""
    changed = scene.changed(
        lambda: scene.hands[CALLER].ask("call", to=[scene.address(BYSTANDER), CLOSED], count=50, timeout_s=5)
    )
    assert troubles(changed) == {
        ("kubeskoop_tcp_attemptfails", CALLER): 50,
        ("kubeskoop_tcp_outrsts", BYSTANDER): 50,
    }
    assert changed["kubeskoop_tcp_activeopens", CALLER] == 50
    assert {pod for _, pod in changed} == {CALLER, BYSTANDER}


def test_a_full_accept_queue_is_counted_for_the_pod_that_does_not_accept(scene: Scene) -> None:
    """20 connections to a listener that never accepts: overflows and drops there, repeated SYNs at the caller."""
    names = ("ListenOverflows", "ListenDrops")
    before = [scene.kernel(VICTIM, "netstat", f"TcpExt:{name}") for name in names]

    def knock() -> None:
        scene.hands[CALLER].ask("knock", to=[scene.address(VICTIM), TCP], count=20)
        scene.settled()  # SYNs are repeated meanwhile
        scene.hands[CALLER].ask("knock", to=[scene.address(VICTIM), TCP], count=0)  # and no more from here on

    changed = scene.changed(knock)
    found = [changed.get((f"kubeskoop_tcpext_{name.lower()}", VICTIM), 0) for name in names]
    now = [scene.kernel(VICTIM, "netstat", f"TcpExt:{name}") for name in names]
    assert found == [new - old for new, old in zip(now, before, strict=True)]
    assert found[0] >= 10
    assert {key[0] for key in troubles(changed) if key[1] == CALLER} >= {"kubeskoop_tcpext_tcpsynretrans"}
    assert {pod for _, pod in troubles(changed)} == {VICTIM, CALLER}


def test_segments_that_a_rule_drops_are_counted_as_sent_again(scene: Scene) -> None:
    """Every third segment to a pod is dropped: the series grows by what the kernel sent again, at the caller."""
    source = scene.lab.source(BYSTANDER)
    rule = f"INPUT -p tcp --dport {OPEN} -m statistic --mode nth --every 3 --packet 0 -j DROP".split()
    before = scene.kernel(CALLER, "snmp", "Tcp:RetransSegs")
    run_in(source.netns, ["iptables-nft", "-A", *rule])
    try:
        changed = scene.changed(
            lambda: scene.hands[CALLER].ask("call", to=[source.address, OPEN], count=12, timeout_s=20)
        )
    finally:
        run_in(source.netns, ["iptables-nft", "-D", *rule])
    again = scene.kernel(CALLER, "snmp", "Tcp:RetransSegs") - before
    # An acknowledgement that is lost is made up for by the next: of sixty segments enough must be sent again.
    assert again >= 3
    assert changed["kubeskoop_tcp_retranssegs", CALLER] == again
    assert {pod for _, pod in troubles(changed)} <= {CALLER, BYSTANDER}


def test_conntrack_entries_are_those_of_the_nodes_own_table(scene: Scene) -> None:
    """Each node's series is the kernel's own count of that node's namespace."""
    for node in scene.lab.nodes:
        said = run_in(node.netns, ["cat", "/proc/sys/net/netfilter/nf_conntrack_max"])
        series = f'kubeskoop_conntrack_maxentries{{k8s_node="{node.name}",k8s_pod=""}}'
        assert scene.value(series) == int(said)
    (node,) = [each for each in scene.lab.nodes if each.name == "node1-c4"]
    expr = f'kubeskoop_conntrack_entries{{k8s_node="{node.name}",k8s_pod=""}}'
    scene.settled()
    before = scene.value(expr)
    # Entries of calls before may end meanwhile: those of fifty refused ones, and some more.
    scene.hands[CALLER].ask("call", to=["10.96.10.1", 80], count=400, timeout_s=5)
    scene.settled()
    assert scene.value(expr) >= before + 300

    def agrees() -> bool:
        count = int(run_in(node.netns, ["cat", "/proc/sys/net/netfilter/nf_conntrack_count"]))
        return abs(scene.value(expr) - count) <= 5  # entries of SSH come and go

    # Those of calls before may end together, between a round and this look.
    wait_until(agrees, "a round that counts what the table has")
