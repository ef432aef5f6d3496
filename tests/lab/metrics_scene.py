"""The lab with push and a real Prometheus beside it, and hands in three of its pods, for tests of metrics."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from skoopctl.lab import Lab
from skoopctl.lab.commands import run_in
from skoopctl.lab.hand import Hand
from skoopctl.lab.stand import Stand, stand_beside
from skoopctl.probes.catalogue import PROBES
from tests.services.loki_receiver import loki_receiver
from tests.support.rdma_tree import rdma_tree

VICTIM, CALLER, BYSTANDER = "tools/local-a", "tools/web-a", "tools/web-c"
"""The first two are on node1-c4."""
EVENTS = ("packetloss", "tcpreset", "tcpretrans", "virtcmdlatency")
"""The last needs kprobes, which not every machine has: it is unavailable then, and a panel shows that."""
UDP, TCP, CLOSED, OPEN = 5353, 9999, 4444, 8080
FAMILIES = '{__name__=~"kubeskoop_(tcp|tcpext|udp|ip)_.*",k8s_pod!=""}'
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
            for labels, value in self.stand.wait_for(FAMILIES, "the counters of pods")
        }

    def settled(self) -> None:
        """Wait until rounds of every node that began after now are in Prometheus."""
        rounds = {
            node.name: f'skoopctl_push_node_rounds_total{{node="{node.name}"}}' for node in self.lab.nodes
        }
        done = {name: self.value(series) for name, series in rounds.items()}
        for name, series in rounds.items():
            self.stand.wait_for(f"{series} > {done[name] + 2}", f"two more rounds of {name}")

    def value(self, series: str) -> float:
        """Return the value of the one series that a query gives; a page that came late has none for a moment."""
        ((_, value),) = self.stand.wait_for(series, series)
        return value

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


@contextmanager
def scene_in(lab: Lab, folder: Path) -> Iterator[Scene]:
    """Put a stand beside the lab, which scrapes push's page, with every probe and a made-up RDMA device."""
    config = folder / "push.yaml"
    sysfs = rdma_tree(folder / "sys")
    args = {"rdma": {"sysfs": str(sysfs)}}
    probes = [{"name": name, "args": args.get(name, {})} for name in (*PROBES, *EVENTS)]
    silent = folder / "silent.yaml"
    silent.write_text("nodes: {hosts: {gone-c4: {ansible_host: 192.168.3.250}}}\n", encoding="utf-8")
    with ExitStack() as stack:
        loki = stack.enter_context(loki_receiver())
        written = {"probes": probes, "loki": {"url": loki.url}}
        config.write_text(json.dumps(written), encoding="utf-8")  # JSON is YAML
        stand = stack.enter_context(stand_beside(lab, page=True, more=[str(config), "-i", str(silent)]))
        scene = Scene(lab, stand, folder)
        for pod in (VICTIM, CALLER, BYSTANDER):
            scene.hands[pod] = stack.enter_context(Hand(lab.source(pod)))
        scene.hands[VICTIM].ask("deafen", udp=UDP, tcp=TCP, backlog=1)
        stand.wait_for("sum(skoopctl_push_node_up) == 3", "metrics of all three nodes")
        yield scene
