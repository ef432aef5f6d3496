"""Starting hosts and pods through ``programs/spawn.py``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from skoopctl.lab.cgroups import GROUP, pod_cgroup
from skoopctl.lab.commands import NETNS_DIR, find_program, program_argv, run
from skoopctl.lab.logins import HOST_DIR, host_files
from skoopctl.lab.network import ADMIN_SYSCTLS, NODE_SYSCTLS, OUTSIDE_SYSCTLS, POD_SYSCTLS, SWITCH_SYSCTLS
from skoopctl.lab.statefile import STATE_DIR
from skoopctl.lab.topology import ADMIN_NETNS, OUTSIDE_NAME, SWITCH_NETNS, LabPod, Plan, host_netns


def start_hosts(plan: Plan, cgroup: Path | None) -> dict[str, int]:
    """Start every host's SSH server as process 1 of its namespaces; return their process ids."""
    sshd = find_program("sshd")
    hosts = [
        {
            "name": host,
            "netns": str(NETNS_DIR / host_netns(host)),
            "cgroups": [str(cgroup / host)] if cgroup else [],
            "unified": cgroup is not None and (cgroup / "cgroup.controllers").exists(),
            "pod_logs": [f"{pod.namespace}_{pod.name}_{pod.uid}" for pod in plan.pods if pod.node == host],
            "sysctls": OUTSIDE_SYSCTLS if host == OUTSIDE_NAME else NODE_SYSCTLS,
            "files": host_files(host),
            "argv": [sshd, "-D", "-e", "-f", f"{HOST_DIR}/sshd_config"],
            "log": str(STATE_DIR / "hosts" / f"{host}.log"),
        }
        for host in plan.host_names
    ]
    namespaces = [
        {"name": name, "netns": str(NETNS_DIR / name), "sysctls": sysctls}
        for name, sysctls in ((SWITCH_NETNS, SWITCH_SYSCTLS), (ADMIN_NETNS, ADMIN_SYSCTLS))
    ]
    return _spawn({"namespaces": namespaces, "hosts": hosts})


def start_pods(pods: Iterable[LabPod], hosts: dict[str, int], cgroup: Path | None) -> dict[str, int]:
    """Start a process for each pod on its host; return their process ids by ``namespace/name``."""
    specs = [
        {
            "name": pod.key,
            "host_pid": hosts[pod.node],
            "host_network": pod.host_network,
            "cgroups": [str(pod_cgroup(cgroup, pod))] if cgroup else [],
            "sysctls": POD_SYSCTLS,
            "argv": responder_argv(pod),
        }
        for pod in pods
    ]
    return _spawn({"pods": specs})


def responder_argv(pod: LabPod) -> list[str]:
    """Return the command line of a pod's process; it names the pod's UID for nodes without control groups."""
    arguments = [pod.name]
    for number in pod.answers:
        arguments += ["--tcp", str(number), "--udp", str(number)]
    return program_argv("responder", *arguments, "--uid", pod.uid)


def _spawn(request: dict[str, Any]) -> dict[str, int]:
    """Run the spawning program."""
    answer: dict[str, int] = json.loads(run(program_argv("spawn"), stdin=json.dumps(request)))
    return answer


def identity_source(cgroup: Path | None) -> str:
    """Say from what a pod's UID can be read on the lab's hosts."""
    return str(cgroup) if cgroup else f"command line (no control group {GROUP} could be made)"
