"""Control groups from which a pod's UID can be read, as on a real node.

A pod's process stands in ``…/kubepods-besteffort-pod<uid>.slice/cri-containerd-<id>.scope``, below a group of
its host that is the root of the host's cgroup namespace: seen from the host, the path is what kubelet's
systemd driver makes. One hierarchy is enough; which one can be written to is found at run time.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from skoopctl.lab.topology import LabPod, Plan

GROUP = "skoop-lab"
REMOVE_DEADLINE_S = 10.0


def hierarchies() -> list[Path]:
    """Return where hierarchies are mounted: version 2 first, then ``name=systemd``, then others."""
    found: list[tuple[int, Path]] = []
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
        _, target, kind, options = line.split()[:4]
        if kind == "cgroup2":
            found.append((0, Path(target)))
        elif kind == "cgroup" and "name=systemd" in options.split(","):
            found.append((1, Path(target)))
        elif kind == "cgroup" and "cpuset" not in options.split(","):
            found.append((2, Path(target)))
    return [path for _, path in sorted(found)]


def make_cgroups(plan: Plan) -> Path | None:
    """Make the lab's groups in the first hierarchy that allows it; return the lab's group, or None."""
    for root in hierarchies():
        base = root / GROUP
        try:
            base.mkdir(exist_ok=True)
            for host in plan.host_names:
                (base / host).mkdir(exist_ok=True)
            for pod in plan.pods:
                pod_cgroup(base, pod).mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        return base
    return None


def pod_cgroup(base: Path, pod: LabPod) -> Path:
    """Return the group of a pod's container."""
    unit = f"kubepods-besteffort-pod{pod.uid.replace('-', '_')}.slice"
    scope = f"cri-containerd-{pod.container_id}.scope"
    return base / pod.node / "kubepods.slice" / "kubepods-besteffort.slice" / unit / scope


def remove_cgroups() -> None:
    """Remove the lab's groups from every hierarchy; a group goes when its last process has gone."""
    deadline = time.monotonic() + REMOVE_DEADLINE_S
    for root in hierarchies():
        base = root / GROUP
        while base.exists() and not _remove_tree(base) and time.monotonic() < deadline:
            time.sleep(0.02)


def _remove_tree(base: Path) -> bool:
    """Remove what can be removed now, deepest first; return whether all of it went."""
    for directory, _, _ in os.walk(base, topdown=False):
        try:
            Path(directory).rmdir()
        except FileNotFoundError:
            continue
        except OSError:
            return False
    return True
