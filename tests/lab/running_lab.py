"""Talking to a running lab: over SSH, through the command line, and looking for what it leaves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from skoopctl.lab import Backend, IptablesFlavour, Lab, LabOptions, ProxyMode
from skoopctl.lab.cgroups import GROUP, hierarchies
from skoopctl.lab.commands import run_in
from skoopctl.lab.processes import lab_netns_names, lab_processes
from skoopctl.lab.statefile import STATE_DIR

MODES = [
    LabOptions(),
    LabOptions(proxy=ProxyMode.NFTABLES),
    LabOptions(backend=Backend.HOST_GW),
    LabOptions(iptables=IptablesFlavour.LEGACY),
]
DEADLINE_S = 60.0
TIMEOUT_S, PATIENCE_S = 0.8, 10.0
"""How long a flow is tried that must not come through, and one that must be answered."""
CLEAN: dict[str, object] = {"state": False, "namespaces": [], "processes": [], "cgroups": [], "mounts": []}
"""What a lab must leave."""


def named(options: LabOptions) -> str:
    """Return a test's id."""
    return f"{options.proxy}-{options.backend}-{options.iptables}"


def ssh(lab: Lab, host: str, command: str) -> str:
    """Run a command on a host over SSH, with OpenSSH's own client and a strict host key check."""
    address = {node.name: node.address for node in lab.nodes}.get(host, "192.168.3.99")
    options = [
        "StrictHostKeyChecking=yes",
        f"UserKnownHostsFile={STATE_DIR / 'known_hosts'}",
        "GlobalKnownHostsFile=/dev/null",
        "IdentitiesOnly=yes",
        "BatchMode=yes",
    ]
    flags = [part for option in options for part in ("-o", option)]
    argv = ["ssh", "-F", "none", "-i", str(STATE_DIR / "id_ed25519"), *flags, f"root@{address}", command]
    return run_in("skoop-lab", argv)


def remains() -> dict[str, object]:
    """Return what a lab leaves on the machine; zombies are their parent's business."""
    return {
        "state": STATE_DIR.exists(),
        "namespaces": lab_netns_names(),
        "processes": [Path(f"/proc/{pid}/cmdline").read_text() for pid in lab_processes()],
        "cgroups": [str(root) for root in hierarchies() if (root / GROUP).exists()],
        "mounts": [line for line in Path("/proc/mounts").read_text().splitlines() if "skoop-lab" in line],
    }


def machines_network() -> str:
    """Return the machine's own links, addresses, routes, rules and neighbours."""
    lines = []
    for command in ("-br link", "-br addr", "route show table all", "rule"):
        done = subprocess.run(["ip", *command.split()], capture_output=True, text=True, check=True)
        lines.append(done.stdout)
    return "\n".join(lines)


def skoopctl(*arguments: str) -> subprocess.Popen[str]:
    """Start the command line in a process group of its own."""
    code = "from skoopctl.cli.app import main; main()"
    return subprocess.Popen(
        [sys.executable, "-u", "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
