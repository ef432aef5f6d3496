"""Kill parts of a running metrics pipeline at random, start each anew, and keep what that cost.

Random is a seeded lot: a soak that fails is repeated with its seed.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

from tests.services.push_process import Pushing
from tests.services.servers import DEADLINE_S, free_port, wait_until

INTERVAL_S = 2.0


@dataclass(frozen=True)
class Outage:
    """From when to when a part was away, by our clock; everything that a kill itself costs."""

    what: str
    began: float
    ended: float


@dataclass
class Server:
    """A gateway or a Prometheus that is killed and started anew on its port."""

    command: list[str]
    port: int
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        wait_until(self._ready, f"{self.command[0]} to be ready")

    def kill(self) -> None:
        """Kill it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def _ready(self) -> bool:
        with contextlib.suppress(OSError), urlopen(f"{self.url}/-/ready", timeout=2) as answer:  # noqa: S310 - ours
            return bool(answer.status == 200)
        return False

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"


def gateway_in(folder: Path) -> Server:
    """Return a gateway that keeps its groups over kills: what is stale in it comes back with it."""
    port = free_port()
    kept = [f"--persistence.file={folder / 'groups'}", "--persistence.interval=1s"]
    command = ["prometheus-pushgateway", f"--web.listen-address=127.0.0.1:{port}", *kept]
    return Server(command, port, folder / "gateway.log")


def prometheus_in(folder: Path, gateway: Server) -> Server:
    """Return a Prometheus that scrapes the gateway every second."""
    port = free_port()
    config = folder / "prometheus.yml"
    config.write_text(
        f"""
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: pushgateway
    honor_labels: true
    static_configs: [{{targets: ["127.0.0.1:{gateway.port}"]}}]
""",
        encoding="utf-8",
    )
    command = [
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    return Server(command, port, folder / "prometheus.log")


@dataclass
class Chaos:
    """The pipeline, what may be killed in it, and what has been."""

    service: Pushing
    gateway: Server
    programs: Callable[[], set[int]]
    """The processes on nodes that a kill may meet: node programs, and servers of their sessions."""
    leave: Callable[[], None]
    """Take a node out of the inventory."""
    lot: random.Random
    outages: list[Outage] = field(default_factory=list)
    left: bool = False
    ahead: list[Callable[[], None]] = field(default_factory=list)
    """What is killed next: each kind once, in an order that is drawn by lot, and so on."""

    def strike(self) -> None:
        """Kill one part, start it anew, and wait until it is there."""
        if not self.ahead:
            self.ahead = [self._gateway, self._push, self._programs]
            self.lot.shuffle(self.ahead)
        action = self.ahead.pop()
        began = time.time()
        action()
        self.outages.append(Outage(action.__name__.strip("_"), began, time.time()))

    def rest(self, seconds: float) -> None:
        """Let the pipeline run."""
        end = time.monotonic() + seconds
        wait_until(lambda: time.monotonic() >= end, "the rest's end")

    def _gateway(self) -> None:
        self.gateway.kill()
        if not self.left:
            self.left = True
            self.leave()
            self.service.signal(signal.SIGHUP)
        self.rest(self.lot.uniform(0.2, 2 * INTERVAL_S))
        self.gateway.start()
        # Being found again is part of the outage: the next try comes after at most an interval.
        wait_until(lambda: self.service.value("skoopctl_push_gateway_up") == 1, "the gateway to be found")

    def _push(self) -> None:
        assert self.service.process is not None
        self.service.process.kill()
        self.service.process.wait()
        self.rest(self.lot.uniform(0, INTERVAL_S))
        self.service.start()
        wait_until(lambda: self.service.get("/livez")[0] == 200, "push to be up")

    def _programs(self) -> None:
        for pid in self.lot.sample(sorted(self.programs()), k=1):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def pipeline(
    folder: Path, service: Pushing, chaos: Callable[[Server], Chaos]
) -> Iterator[tuple[Chaos, Server]]:
    """Run gateway and Prometheus until the end of the block, and have push ready to be started."""
    gateway = gateway_in(folder)
    prometheus = prometheus_in(folder, gateway)
    try:
        gateway.start()
        service.write(
            gateway={"url": gateway.url, "timeout": 2}, listen={"address": f"127.0.0.1:{service.port}"}
        )
        prometheus.start()
        yield chaos(gateway), prometheus
    finally:
        if service.process is not None:
            service.process.terminate()
            try:
                service.process.wait(DEADLINE_S)
            finally:
                service.process.kill()
        prometheus.kill()
        gateway.kill()
