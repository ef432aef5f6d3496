"""The whole chain in the lab: traffic of known amount, node program, push, a real Prometheus, every expression."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from docs.dashboards.asked import Asked, board_of, choices, filled, queries
from skoopctl.lab import Lab, LabOptions
from skoopctl.lab.commands import run_in
from skoopctl.lab.hand import Hand
from skoopctl.lab.stand import Stand, stand_beside
from skoopctl.probes.catalogue import PROBES
from tests.lab.conftest import Labs
from tests.support.rdma_tree import rdma_tree

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(
        not all(map(shutil.which, ("prometheus", "prometheus-pushgateway"))),
        reason="prometheus and prometheus-pushgateway are not installed (.ci/packages --tests)",
    ),
]

ROOT = Path(__file__).parents[2]
VICTIM, CALLER, BYSTANDER = "tools/local-a", "tools/web-a", "tools/web-c"
"""The first two are on node1-c4."""
UDP, TCP, CLOSED, OPEN = 5353, 9999, 4444, 8080
FAMILIES = '{__name__=~"kubeskoop_(tcp|tcpext|udp|ip)_.*",k8s_pod!=""}'
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
NOT_HERE = {
    "kubeskoop_packetloss_total": "comes with the eBPF probes",
    "kubeskoop_rdma_qp": "comes by netlink from a real device; the decoder is tested with a recorded answer",
    "kubeskoop_rdma_mr": "the same",
}

Series = dict[tuple[str, str], float]


@dataclass
class Scene:
    """A lab with a stand beside it, and hands in three of its pods."""

    lab: Lab
    stand: Stand
    folder: Path
    hands: dict[str, Hand] = field(default_factory=dict)

    def address(self, pod: str) -> str:
        """Return a pod's address."""
        return self.lab.source(pod).address

    def traffic(self, over: threading.Event) -> None:
        """Make traffic that goes well and traffic that goes badly, until it is over."""
        source = self.lab.source(BYSTANDER)
        rule = f"INPUT -p tcp --dport {OPEN} -m statistic --mode nth --every 25 --packet 0 -j DROP".split()
        run_in(source.netns, ["iptables-nft", "-A", *rule])
        try:
            while not over.wait(0.05):
                victim = self.address(VICTIM)
                self.hands[CALLER].ask("call", to=[self.address(BYSTANDER), OPEN], count=20, timeout_s=5)
                self.hands[CALLER].ask("datagrams", to=[victim, UDP], count=50, size=512)
                self.hands[CALLER].ask("knock", to=[victim, TCP], count=5)
        finally:
            run_in(source.netns, ["iptables-nft", "-D", *rule])

    def counted(self) -> Series:
        """Return the counters of TCP, UDP and IP of all pods, by metric and pod."""
        return {
            (labels["__name__"], f"{labels['k8s_namespace']}/{labels['k8s_pod']}"): value
            for labels, value in self.stand.ask(FAMILIES)
        }

    def settled(self) -> None:
        """Wait until rounds of every node that began after now are in Prometheus."""
        done = {labels["node"]: value for labels, value in self.stand.ask("skoopctl_push_node_rounds_total")}
        for node in self.lab.nodes:
            after = f'skoopctl_push_node_rounds_total{{node="{node.name}"}} > {done[node.name] + 2}'
            self.stand.wait_for(after, f"two more rounds of {node.name}")

    def changed(self, act: Callable[[], object]) -> Series:
        """Return what grew while something was done, and by how much."""
        self.settled()
        before = self.counted()
        act()
        self.settled()
        after = self.counted()
        assert before.keys() == after.keys()
        return {key: after[key] - before[key] for key in before if after[key] != before[key]}

    def kernel(self, pod: str, file: str, name: str) -> int:
        """Return a number of /proc/PID/net/snmp or netstat of a pod, as the kernel has it now."""
        lines = Path(f"/proc/{self.lab.pids[pod]}/net/{file}").read_text().splitlines()
        tables = {
            a.split()[0] + word: int(value)
            for a, b in zip(lines[::2], lines[1::2], strict=True)
            for word, value in zip(a.split()[1:], b.split()[1:], strict=True)
        }
        return tables[name]


@pytest.fixture(scope="module")
def scene(labs: Labs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Build the lab and the stand, which scrapes push's page, with every probe and a made-up RDMA device."""
    folder = tmp_path_factory.mktemp("metrics")
    lab = labs.get(LabOptions())
    config = folder / "push.yaml"
    sysfs = rdma_tree(folder / "sys")
    args = {"rdma": {"sysfs": str(sysfs)}}
    probes = [{"name": name, "args": args.get(name, {})} for name in PROBES]
    config.write_text(json.dumps({"probes": probes}), encoding="utf-8")  # JSON is YAML
    silent = folder / "silent.yaml"
    silent.write_text("nodes: {hosts: {gone-c4: {ansible_host: 192.168.3.250}}}\n", encoding="utf-8")
    with stand_beside(lab, page=True, more=[str(config), "-i", str(silent)]) as stand, ExitStack() as stack:
        scene = Scene(lab, stand, folder)
        for pod in (VICTIM, CALLER, BYSTANDER):
            scene.hands[pod] = stack.enter_context(Hand(lab.source(pod)))
        scene.hands[VICTIM].ask("deafen", udp=UDP, tcp=TCP, backlog=1)
        stand.wait_for("sum(skoopctl_push_node_up) == 3", "metrics of all three nodes")
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
    changed = scene.changed(
        lambda: scene.hands[CALLER].ask("knock", to=[scene.address(VICTIM), TCP], count=20)
    )
    scene.hands[CALLER].ask(
        "knock", to=[scene.address(VICTIM), TCP], count=0
    )  # closes them: no SYN is sent any more
    settled = scene.changed(lambda: None)
    keys = [(f"kubeskoop_tcpext_{name.lower()}", VICTIM) for name in names]
    found = [changed.get(key, 0) + settled.get(key, 0) for key in keys]
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
            lambda: scene.hands[CALLER].ask("call", to=[source.address, OPEN], count=5, timeout_s=20)
        )
    finally:
        run_in(source.netns, ["iptables-nft", "-D", *rule])
    again = scene.kernel(CALLER, "snmp", "Tcp:RetransSegs") - before
    assert again >= 3
    assert changed["kubeskoop_tcp_retranssegs", CALLER] == again
    assert {pod for _, pod in troubles(changed)} <= {CALLER, BYSTANDER}


def test_conntrack_entries_are_those_of_the_nodes_own_table(scene: Scene) -> None:
    """Each node's series is the kernel's own count of that node's namespace."""
    for node in scene.lab.nodes:
        said = run_in(node.netns, ["cat", "/proc/sys/net/netfilter/nf_conntrack_max"])
        (found,) = scene.stand.ask(f'kubeskoop_conntrack_maxentries{{k8s_node="{node.name}",k8s_pod=""}}')
        assert found[1] == int(said)
    (node,) = [each for each in scene.lab.nodes if each.name == "node1-c4"]
    expr = f'kubeskoop_conntrack_entries{{k8s_node="{node.name}",k8s_pod=""}}'
    scene.settled()
    ((_, before),) = scene.stand.ask(expr)
    scene.hands[CALLER].ask("call", to=["10.96.10.1", 80], count=40, timeout_s=5)
    scene.settled()
    ((_, after),) = scene.stand.ask(expr)
    count = int(run_in(node.netns, ["cat", "/proc/sys/net/netfilter/nf_conntrack_count"]))
    assert after >= before + 30
    assert abs(after - count) <= 5, "entries of SSH come and go"


@pytest.fixture(scope="module")
def inspected(scene: Scene) -> Iterator[Scene]:
    """Have a fault found by `skoopctl run`, whose result joins the series, and traffic that goes well and badly."""
    plan = scene.folder / "plan.yaml"
    plan.write_text(PLAN, encoding="utf-8")
    scene.lab.apply_fault("input-drop")
    try:
        command = [sys.executable, "-m", "skoopctl", "run", str(plan), "-i", str(scene.lab.inventory)]
        command += ["--kubeconfig", str(scene.lab.kubeconfig), "--push", scene.stand.gateway.url, "--quiet"]
        environment = {**os.environ, "XDG_STATE_HOME": str(scene.folder), "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            command, check=False, cwd=scene.folder, capture_output=True, text=True, env=environment
        )
        assert done.returncode == 1, done.stderr
    finally:
        scene.lab.undo_fault("input-drop")
    scene.stand.wait_for("skoopctl_finding", "what the run found")
    with ThreadPoolExecutor(1) as pool:
        over = threading.Event()
        traffic = pool.submit(scene.traffic, over)
        yield scene
        over.set()
        traffic.result()


PLAN = """\
plan: live
cluster: lab
hosts: nodes
inspections: [mesh]
paths:
  - {name: tools reach demo, from: pod/tools/tools-74bdbfc69d-q4h8h, to: pod/tools/demo-5bf67dcbc9-hxtmt, port: 8080}
"""


def _theirs() -> list[dict[str, str]]:
    with (ROOT / "tests/fixtures/metrics/kubeskoop-dashboards.tsv").open(encoding="utf-8") as stream:
        rows = csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [row for row in rows if row["row"] != "(variable)"]


@pytest.mark.parametrize("row", _theirs(), ids=lambda row: f"{row['dashboard']}-{row['expression'][:70]}")
def test_every_expression_of_kubeskoops_dashboards_has_data_from_the_lab(
    row: dict[str, str], scene: Scene
) -> None:
    """With a node and a pod of the lab chosen, each query has an answer, but those that stand in the table."""
    expr = filled(row["expression"], {"node": "node1-c4", "namespace": "tools", "pod": "web-a"})
    if set(re.findall(r"kubeskoop_\w+", expr)) & NOT_HERE.keys():
        assert scene.stand.ask(expr) == []
        return
    scene.stand.wait_for(expr, f"an answer to {expr}")


BOARDS = {path.stem: board_of(path) for path in sorted((ROOT / "reports/grafana").glob("*.json"))}
OURS = [(name, asked) for name, board in BOARDS.items() for asked in queries(board)]
CHOSEN = {"skoopctl-nodes": {"node": "node1-c4"}, "skoopctl-pods": {"namespace": "tools", "pod": "web-a"}}
NOTHING_THERE = {
    ("Pods in trouble", "D"): "no device of the lab drops anything",
    ("Bytes read from disks", "B"): "no pod of the lab uses a disk",
    ("Bytes written to disks", "B"): "the same",
}
"""Queries that show only what is above nothing, and rightly show nothing here."""


@pytest.mark.parametrize(("board", "asked"), OURS, ids=lambda value: getattr(value, "panel", value))
def test_every_expression_of_our_dashboards_has_data_from_the_lab(
    board: str, asked: Asked, inspected: Scene
) -> None:
    """With traffic, trouble, a silent node and a run that found something, each query has an answer."""
    now = time.time()
    url = inspected.stand.prometheus.url
    values = choices(url, BOARDS[board], CHOSEN.get(board, {}), (now - 3600, now)) | {
        "__rate_interval": "15s"
    }
    expr = filled(asked.expr, values)
    if set(re.findall(r"kubeskoop_\w+", expr)) & NOT_HERE.keys() or (
        (asked.panel, asked.ref) in NOTHING_THERE
    ):
        assert inspected.stand.ask(expr) == []
        return
    inspected.stand.wait_for(expr, f"an answer to {expr}")


def test_alerts_stand_for_the_trouble_that_there_is(inspected: Scene) -> None:
    """The deaf pod, its caller and the silent node have their alerts; pods that are well have none."""
    for name, labels in (
        ("SkoopctlUdpReceiveBuffer", 'k8s_pod="local-a"'),
        ("SkoopctlListenOverflows", 'k8s_pod="local-a"'),
        ("SkoopctlNodeSilent", 'node="gone-c4"'),
    ):
        expr = f'ALERTS{{alertname="{name}",{labels}}}'
        inspected.stand.wait_for(expr, f"the alert {name}")
    of_pods = {labels["k8s_pod"] for labels, _ in inspected.stand.ask('ALERTS{k8s_pod!=""}')}
    assert of_pods <= {"local-a", "web-a", "web-c"}
