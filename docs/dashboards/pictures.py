"""Draw the pictures of docs/dashboards.md anew, from the lab: ``python -m docs.dashboards.pictures`` (root, Chromium).

The lab with push and Prometheus beside it for three minutes: calm, then a lossy pod and a deaf one; one node of the
inventory does not exist; an inspection finds a fault. Events go to the tests' own receiver, which knows as much of
Loki as the dashboard asks. Names behind the command draw these pictures only: ``events``.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from docs.dashboards.asked import board_of, choices
from docs.dashboards.drawn.__main__ import WIDTH, drawn
from docs.dashboards.drawn.frame import Shown
from skoopctl.lab import Lab, up
from skoopctl.lab.commands import run_in
from skoopctl.lab.metrics_story import SERVER, SERVER_PORT, actors_in
from skoopctl.lab.stand import INTERVAL_S, Stand, stand_beside
from skoopctl.probes.catalogue import DEFAULT_PROBES
from tests.services.loki_receiver import loki_receiver

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs" / "pictures"
CALM_S, TROUBLE_S = 60.0, 120.0
LOSS = f"INPUT -p tcp --dport {SERVER_PORT} -m statistic --mode random --probability 0.04 -j DROP".split()
FAULT = "input-drop-vxlan"
SHOWN: dict[str, tuple[str, dict[str, str], tuple[str, ...]]] = {
    "fleet": ("skoopctl-fleet", {}, ("Coverage", "Nodes", "Where packets are lost")),
    "nodes": ("skoopctl-nodes", {"node": "node1-c4"}, ("At a glance", "Pods in trouble", "Network", "TCP")),
    "pods": (
        "skoopctl-pods",
        {"namespace": "tools", "pod": "web-a"},
        ("At a glance", "Drops of TCP and IP", "UDP"),
    ),
    "events": ("skoopctl-events", {}, ("At a glance", "Over time", "Where, and why", "The events")),
    "findings": ("skoopctl-findings", {}, ()),
}
"""Picture: dashboard, variables, rows; no rows: all."""
EVENTS = ("packetloss", "tcpreset", "tcpretrans", "tcpconnect")
PLAN = """\
plan: nightly
cluster: lab
hosts: nodes
inspections: [forwarding, conntrack, mesh, dns]
paths:
  - {name: tools reach demo, from: pod/tools/tools-74bdbfc69d-q4h8h, to: pod/tools/demo-5bf67dcbc9-hxtmt, port: 8080}
  - {name: tools reach web, from: pod/tools/tools-74bdbfc69d-q4h8h, to: svc/tools/web, port: 80}
"""


def main() -> None:
    """Play, ask, draw; lab and servers are gone afterwards."""
    wanted = sys.argv[1:] or list(SHOWN)
    if unknown := set(wanted) - set(SHOWN):
        sys.exit(f"there is no picture {unknown.pop()!r}: there are {', '.join(SHOWN)}")
    lab = up()
    try:
        with tempfile.TemporaryDirectory() as name, loki_receiver() as loki:
            folder = Path(name)
            config = folder / "push.yaml"
            probes = ", ".join((*DEFAULT_PROBES, *EVENTS))
            config.write_text(f"probes: [{probes}]\nloki: {{url: '{loki.url}'}}\n", encoding="utf-8")
            gone = folder / "gone.yaml"
            gone.write_text("nodes: {hosts: {node3-c4: {ansible_host: 192.168.3.250}}}\n", encoding="utf-8")
            more = [str(config), "-i", str(gone), "--kubeconfig", str(lab.kubeconfig)]
            with stand_beside(lab, page=True, more=more) as stand:
                _play(lab, stand, folder)
                _draw(stand, folder, f"{loki.url}/loki", wanted)
    finally:
        lab.down()


def _play(lab: Lab, stand: Stand, folder: Path) -> None:
    stand.wait_for("sum(skoopctl_push_node_up) == 3", "metrics of all nodes")
    stand.wait_for(f"count(skoopctl_event_probe_up) >= {3 * len(EVENTS)}", "event probes of all nodes")
    server = lab.source(SERVER).netns
    with actors_in(lab) as actors:
        _for(CALM_S, actors.calm)
        run_in(server, ["iptables-nft", "-A", *LOSS])
        actors.deafen()
        lab.apply_fault(FAULT)
        _inspect(lab, stand, folder)
        lab.undo_fault(FAULT)
        _for(TROUBLE_S, actors.trouble)


def _for(seconds: float, beat: Callable[[], None]) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        beat()
        time.sleep(0.2)


def _inspect(lab: Lab, stand: Stand, folder: Path) -> None:
    plan = folder / "nightly.yaml"
    plan.write_text(PLAN, encoding="utf-8")
    command = [sys.executable, "-m", "skoopctl", "run", str(plan), "-i", str(lab.inventory), "--quiet"]
    command += ["--kubeconfig", str(lab.kubeconfig), "--push", stand.gateway.url]
    environment = {**os.environ, "XDG_STATE_HOME": str(folder), "PYTHONPATH": str(ROOT)}
    subprocess.run(command, cwd=folder, env=environment, check=False, capture_output=True)


def _draw(stand: Stand, folder: Path, events_url: str, wanted: list[str]) -> None:
    end = time.time()
    start = end - (CALM_S + TROUBLE_S)
    for picture in wanted:
        name, chosen, rows = SHOWN[picture]
        board = board_of(ROOT / "reports" / "grafana" / f"{name}.json")
        values = choices(stand.prometheus.url, board, chosen, (start, end))
        shown = Shown(stand.prometheus.url, start, end, 2.0, INTERVAL_S, values, events_url)
        svg = folder / f"{picture}.svg"
        svg.write_text(drawn(board, shown, rows), encoding="utf-8")
        _screenshot(svg, PICTURES / f"dashboard-{picture}.png")


def _screenshot(svg: Path, png: Path) -> None:
    """Let Chromium turn a picture into pixels."""
    found = re.search(r"height='([\d.]+)'", svg.read_text(encoding="utf-8"))
    height = int(float(found[1])) if found else WIDTH
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        f"--window-size={WIDTH},{height}",
    ]
    command = [
        "chromium",
        *flags,
        f"--user-data-dir={svg.parent / 'chromium'}",
        f"--screenshot={png}",
        svg.as_uri(),
    ]
    subprocess.run(command, check=True, capture_output=True)


if __name__ == "__main__":
    main()
