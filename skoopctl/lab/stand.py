"""Debian's Prometheus and Pushgateway with ``skoopctl push`` between them and the lab: all on loopback, all ours.

Everything is below the lab's own folder and carries the lab's marker, so that ``skoopctl lab down`` removes it
too, and each process ends with the one that started it, however that ended.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, build_opener

from skoopctl.errors import LabError
from skoopctl.lab.commands import SYSTEM_PATH, environment
from skoopctl.lab.lab import Lab
from skoopctl.lab.statefile import STATE_DIR
from skoopctl.report.assets import reports_folder

DEADLINE_S = 60.0
STOP_S = 10.0
INTERVAL_S = 1
CLUSTER = "lab"
PACKAGES = {"prometheus": "prometheus", "prometheus-pushgateway": "prometheus-pushgateway"}
_OURS = Path(__file__).resolve().parents[2]
"""Where the package is, so that push is the one that this is part of."""
_RUNS_ONLY = {
    "source_labels": ["__name__"],
    "regex": "skoopctl_(findings?|hosts|paths?|path_expected|inspection_fault|run_.*)",
    "action": "keep",
}
_OPENER = build_opener(ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class Part:
    """One process of the stand."""

    name: str
    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def check(self, *, ending_s: float = 0.0) -> None:
        """Raise `LabError` if it has ended, or ends within some seconds: it may be about to."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(ending_s)
            said = self.log.read_text("utf-8", "replace").strip().splitlines()
            last = said[-1] if said else "it said nothing"
            raise LabError(
                f"{self.name} ended with {self.process.returncode}: {last[:300]}", hint="try once more"
            )


@dataclass(frozen=True, slots=True)
class Stand:
    """A gateway, a Prometheus and a push that run."""

    gateway: Part
    push: Part
    prometheus: Part

    @property
    def parts(self) -> tuple[Part, ...]:
        """All of them, in the order in which they were started."""
        return (self.gateway, self.push, self.prometheus)

    def check(self) -> None:
        """Raise `LabError` if one of them has ended."""
        for part in self.parts:
            part.check()

    def ask(self, expr: str) -> list[tuple[dict[str, str], float]]:
        """Return the answer of an instant query: labels and values."""
        self.prometheus.check()
        try:
            answer = _get(f"{self.prometheus.url}/api/v1/query?{urlencode({'query': expr})}")
        except LabError:
            self.prometheus.check(ending_s=1.0)
            raise
        return [(row["metric"], float(row["value"][1])) for row in answer["data"]["result"]]

    def wait_for(self, expr: str, what: str) -> list[tuple[dict[str, str], float]]:
        """Wait until a query has an answer, and return it. Raises `LabError` when it gets none in time."""
        found: list[tuple[dict[str, str], float]] = _until(lambda: self.ask(expr), what, self.check)
        return found


def require_servers() -> None:
    """Raise `LabError` if Prometheus or the Pushgateway is missing, with the line that installs them."""
    missing = [name for name in PACKAGES if not shutil.which(name, path=SYSTEM_PATH)]
    if missing:
        packages = " ".join(PACKAGES[name] for name in missing)
        raise LabError(f"missing programs: {', '.join(missing)}", hint=f"apt-get install {packages}")


@contextmanager
def stand_beside(lab: Lab, *, page: bool = False, more: Sequence[str] = ()) -> Iterator[Stand]:
    """Run all three beside a lab until the end of the block; push ends before the gateway, and politely.

    Prometheus scrapes the gateway; with ``page``, push's own page, and the gateway for runs only. ``more``
    is put behind the command line of push: a configuration, further hosts.
    """
    require_servers()
    folder = STATE_DIR / "stand"
    folder.mkdir(mode=0o700)
    started: list[Part] = []
    try:
        gateway = _start(started, folder, "prometheus-pushgateway", _gateway_argv)
        push = _start(
            started, folder, "push", lambda port: [*_push_argv(port, lab, gateway), *more], ready="/healthz"
        )
        asked = push if page else None
        prometheus = _start(
            started, folder, "prometheus", lambda port: _prometheus_argv(port, folder, gateway, asked)
        )
        yield Stand(gateway, push, prometheus)
    finally:
        for part in reversed(started):
            _end(part)
        shutil.rmtree(folder, ignore_errors=True)


def _gateway_argv(port: int) -> list[str]:
    # Debian's keeps its groups in a file of the system unless it is told to keep them in memory.
    return ["prometheus-pushgateway", f"--web.listen-address=127.0.0.1:{port}", "--persistence.file="]


def _push_argv(port: int, lab: Lab, gateway: Part) -> list[str]:
    return [
        *(sys.executable, "-m", "skoopctl", "push"),
        *("-i", str(lab.inventory), "-l", "nodes", "--kubeconfig", str(lab.kubeconfig), "--cluster", CLUSTER),
        *("--interval", str(INTERVAL_S), "--gateway", gateway.url, "--listen", f"127.0.0.1:{port}"),
    ]


def _prometheus_argv(port: int, folder: Path, gateway: Part, page: Part | None) -> list[str]:
    jobs = (
        [_job(page), {**_job(gateway), "metric_relabel_configs": [_RUNS_ONLY]}] if page else [_job(gateway)]
    )
    config = {
        "global": {"scrape_interval": f"{INTERVAL_S}s", "evaluation_interval": f"{INTERVAL_S}s"},
        "rule_files": [str(path) for path in sorted((reports_folder() / "prometheus").glob("*.yaml"))],
        "scrape_configs": jobs,
    }
    file = folder / "prometheus.json"  # JSON is YAML
    file.write_text(json.dumps(config), encoding="utf-8")
    return [
        "prometheus",
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        "--storage.tsdb.retention.size=256MB",
        f"--web.listen-address=127.0.0.1:{port}",
    ]


def _job(part: Part) -> dict[str, Any]:
    target = {"targets": [part.url.removeprefix("http://")], "labels": {"cluster": CLUSTER}}
    return {"job_name": part.name, "honor_labels": True, "static_configs": [target]}


def _start(
    started: list[Part],
    folder: Path,
    name: str,
    argv: Callable[[int], Sequence[str]],
    *,
    ready: str = "/-/ready",
) -> Part:
    """Start one process on a free port of loopback, and wait until it says that it is ready."""
    port = _free_port()
    log = folder / f"{name}.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *argv(port)],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env={**environment(), "PYTHONPATH": str(_OURS)},
            start_new_session=True,
        )
    part = Part(name, f"http://127.0.0.1:{port}", process, log)
    started.append(part)
    _until(lambda: _ready(part.url + ready), f"{name} to be ready", part.check)
    return part


def _end(part: Part) -> None:
    """Ask a process to end, and end it if it does not."""
    part.process.terminate()
    try:
        part.process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        part.process.kill()
        part.process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _ready(url: str) -> bool:
    try:
        with _OPENER.open(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _get(url: str) -> Any:
    try:
        with _OPENER.open(url, timeout=10) as answer:
            return json.load(answer)
    except (URLError, OSError, ValueError) as error:
        raise LabError(f"Prometheus does not answer: {error}", hint="try once more") from None


def _until(condition: Callable[[], Any], what: str, alive: Callable[[], None]) -> Any:
    """Wait for a condition, as long as those who can bring it about live."""
    end = time.monotonic() + DEADLINE_S
    while not (said := condition()):
        alive()
        if time.monotonic() > end:
            raise LabError(f"waited {DEADLINE_S:g} s for {what}", hint="is this machine very busy?")
        time.sleep(0.1)
    return said
