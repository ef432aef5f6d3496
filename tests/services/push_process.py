"""``skoopctl push`` as a process of its own, over hosts that are this machine: the real node program, without SSH."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import yaml

from tests.services.servers import ANSWER_S, free_port, wait_until

INTERVAL_S = 1
ROOT = Path(__file__).parents[2]


@dataclass
class Pushing:
    """A running service, its files, and its page."""

    folder: Path
    config: dict[str, Any]
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The page."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """What it has said."""
        file = self.folder / "push.log"
        return file.read_text(encoding="utf-8") if file.exists() else ""

    def inventory(self, names: Sequence[str]) -> None:
        """Write an inventory of hosts that are this machine."""
        hosts = {name: {"ansible_connection": "local"} for name in names}
        text = yaml.safe_dump({"all": {"hosts": hosts}})
        (self.folder / "hosts.yaml").write_text(text, encoding="utf-8")

    def write(self, **changes: Any) -> None:
        """Write the configuration with changes; ``None`` takes a key away."""
        self.config = {key: value for key, value in {**self.config, **changes}.items() if value is not None}
        (self.folder / "push.yaml").write_text(yaml.safe_dump(self.config), encoding="utf-8")

    def start(self) -> None:
        """Start it."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **self.environment}
        with (self.folder / "push.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "skoopctl", "push", str(self.folder / "push.yaml")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                cwd=self.folder,
            )

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self) -> tuple[int, float]:
        """End it as systemd does; return its exit status and how long that took."""
        assert self.process is not None
        began = time.monotonic()
        self.process.terminate()
        return self.process.wait(60), time.monotonic() - began

    def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
        """Ask the page; 0 where nobody answers."""
        try:
            request = Request(self.url + path, headers=headers or {})  # noqa: S310 - ours
            with urlopen(request, timeout=ANSWER_S) as answer:  # noqa: S310 - ours
                return answer.status, answer.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def value(self, series: str) -> float | None:
        """Return the value of a series of the page, written as there."""
        lines = self.get("/metrics")[1].splitlines()
        return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(series + " ")), None)

    def programs(self) -> set[int]:
        """Return the processes that it has started: the node programs."""
        assert self.process is not None
        found = {self.process.pid}
        parents = {int(pid): parent for pid, parent in _parents()}
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return found - {self.process.pid}


def _parents() -> Iterator[tuple[str, int]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                yield entry.name, int((entry / "stat").read_text().rpartition(")")[2].split()[1])


@contextlib.contextmanager
def pushing(folder: Path, hosts: Sequence[str] = ("n1", "n2"), **config: Any) -> Iterator[Pushing]:
    """Run it until the end of the block; rounds come from all hosts when the block begins."""
    running = Pushing(folder, {"inventories": ["./hosts.yaml"], "cluster": "c", "interval": INTERVAL_S})
    running.inventory(hosts)
    running.write(**{"listen": {"address": f"127.0.0.1:{running.port}"}, **config})
    try:
        running.start()
        if running.config["listen"].get("cert-file") is None:
            try:
                wait_until(lambda: _all_up(running, len(hosts)), "rounds of all nodes")
            except AssertionError as error:
                error.add_note(running.log + running.get("/status")[1])
                raise
        yield running
    finally:
        if running.process is not None:
            running.process.kill()
            running.process.wait()


def _all_up(running: Pushing, number: int) -> bool:
    assert running.process is not None
    assert running.process.poll() is None, running.log
    # An inventory may have more hosts than those, and two may come up at once.
    return (running.value('skoopctl_push_nodes{state="up"}') or 0) >= number
