"""Debian's Pushgateway and Prometheus, each started for a test on a port of its own, on loopback."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import urlopen

DEADLINE_S = 60.0
ANSWER_S = 60.0
"""How long one answer of a server may take on a busy machine."""
FIRST_PORT, PORTS_EACH = 20_000, 500
"""Below the kernel's own (ip_local_port_range), and some for each process of the tests."""
_TURNS = itertools.count()


def wait_until(condition: Callable[[], Any], what: str) -> Any:
    """Wait until a condition holds, and return what it said."""
    end = time.monotonic() + DEADLINE_S
    while not (said := condition()):
        assert time.monotonic() < end, f"waited {DEADLINE_S:g} s for {what}"
        time.sleep(0.05)
    return said


def free_port() -> int:
    """Return a port that nobody listens on now: one of our own, which no other process of the tests gives away."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    for _ in range(PORTS_EACH):
        port = FIRST_PORT + worker * PORTS_EACH + (os.getpid() + next(_TURNS)) % PORTS_EACH
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError(f"no port is free from {FIRST_PORT} on")


@contextlib.contextmanager
def running(program: str, port: int, *arguments: str, log: Path, ready: str = "/-/ready") -> Iterator[str]:
    """Run a server until the end of the block; its base URL is given once it is ready."""
    found = shutil.which(program)
    assert found is not None, f"{program} is missing: .ci/packages --tests installs it"
    url = f"http://127.0.0.1:{port}"
    with (
        log.open("wb") as stream,
        subprocess.Popen(
            [found, *arguments], stdout=stream, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
        ) as process,
    ):
        try:
            wait_until(lambda: process.poll() is not None or _answers(url + ready), f"{program} to be ready")
            assert process.poll() is None, log.read_text(errors="replace")
            yield url
        finally:
            process.kill()


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=2) as answer:  # noqa: S310 - our own server on loopback
            return answer.status == 200
    except HTTPError as error:
        return error.code == 401  # it is up, and wants a password
    except OSError:
        return False


@contextlib.contextmanager
def pushgateway(folder: Path, *arguments: str) -> Iterator[str]:
    """Run a Pushgateway."""
    port = free_port()
    listen = f"--web.listen-address=127.0.0.1:{port}"
    # Debian's keeps its groups in a file of the system unless it is told to keep them in memory.
    if not any(argument.startswith("--persistence.file") for argument in arguments):
        arguments = ("--persistence.file=", *arguments)
    with running("prometheus-pushgateway", port, listen, *arguments, log=folder / "gateway.log") as url:
        yield url


@contextlib.contextmanager
def prometheus(folder: Path, gateway: str, rules: Path) -> Iterator[str]:
    """Run a Prometheus that scrapes a gateway every second and evaluates rules as often."""
    port = free_port()
    config = folder / "prometheus.yml"
    config.write_text(
        f"""
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [{rules}]
scrape_configs:
  - job_name: pushgateway
    honor_labels: true
    static_configs: [{{targets: ["{gateway.removeprefix("http://")}"]}}]
""",
        encoding="utf-8",
    )
    arguments = (
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    with running("prometheus", port, *arguments, log=folder / "prometheus.log") as url:
        yield url


def query(url: str, expression: str) -> dict[tuple[tuple[str, str], ...], float]:
    """Return the answer of an instant query: values by labels, without those that a scrape adds."""
    with urlopen(f"{url}/api/v1/query?query={quote(expression)}", timeout=ANSWER_S) as answer:  # noqa: S310 - loopback
        rows = json.load(answer)["data"]["result"]
    found = {}
    for row in rows:
        labels = {k: v for k, v in row["metric"].items() if k not in {"__name__", "job", "instance"}}
        found[tuple(sorted(labels.items()))] = float(row["value"][1])
    return found


def alerts(url: str) -> set[tuple[str, str]]:
    """Return the alerts that fire or are pending: name and summary."""
    with urlopen(f"{url}/api/v1/alerts", timeout=ANSWER_S) as answer:  # noqa: S310 - loopback
        rows = json.load(answer)["data"]["alerts"]
    return {(row["labels"]["alertname"], row["annotations"]["summary"]) for row in rows}
