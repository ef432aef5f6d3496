"""Decode what a node says about itself: identity, namespaces with their processes, nsids, sysctls."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from skoopctl.kernel.sysctl import Sysctls

# The pod's UID in a cgroup path. The systemd driver writes
# ``…kubepods-burstable-pod<uid with _ for ->.slice/cri-containerd-….scope``, cgroupfs
# ``/kubepods/burstable/pod<uid>/…``; a static pod's "UID" is the hash of its file, without dashes.
_POD_UID = re.compile(
    r"[-/]pod([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32})(?=\.slice|[/:]|$)"
)


@dataclass(frozen=True, slots=True)
class HostIdentity:
    """Which machine this is.

    ``root`` is the inode of process 1's network namespace, 0 when not told; ``uptime_s`` is the monotonic
    clock when it answered, and ``clock_s`` the wall clock (seconds since 1970, 0 when not told).
    """

    hostname: str = ""
    kernel: str = ""
    root: int = 0
    uptime_s: float = 0.0
    clock_s: float = 0.0


@dataclass(frozen=True, slots=True)
class NamespaceFacts:
    """One namespace as the node's process list shows it; ``pid`` is one of its processes, 0 for none."""

    inode: int
    is_host: bool = False
    names: tuple[str, ...] = ()
    pod_uids: tuple[str, ...] = ()
    processes: tuple[str, ...] = ()
    pid: int = 0


def decode_identity(raw: bytes) -> HostIdentity:
    """Decode the ``identity`` item. Raises ValueError when it is not what it should be."""
    found = _load(raw, dict)
    return HostIdentity(
        str(found.get("hostname", "")),
        str(found.get("kernel", "")),
        _integer(found.get("root_netns")),
        _integer(found.get("mono_ns")) / 1e9,
        clock_s=_integer(found.get("wall_ns")) / 1e9,
    )


def decode_namespaces(raw: bytes) -> tuple[NamespaceFacts, ...]:
    """Decode the ``namespaces`` item. Raises ValueError when it is not what it should be."""
    return tuple(_facts(entry) for entry in _load(raw, list))


def decode_nsids(raw: bytes) -> dict[int, int]:
    """Decode the ``nsid`` item: inodes by nsid. Raises ValueError when it is not what it should be."""
    found = _load(raw, dict)
    if not all(isinstance(inode, int) for inode in found.values()):
        raise ValueError("an inode that is not a number")
    return {int(nsid): inode for nsid, inode in found.items()}


def decode_sysctls(text: str) -> Sysctls:
    """Decode lines of ``net/path=value``; a device's name may hold an equals sign, a value does not.

    A line of another form is left out: `foreign_sysctl_line` tells of it.
    """
    pairs = (line.rpartition("=") for line in text.split("\n") if line.startswith("net/"))
    return Sysctls({path: value.strip() for path, equals, value in pairs if equals})


def foreign_sysctl_line(text: str) -> int:
    """Return the number of the first line that is no sysctl, counted from 1, or 0."""
    for number, line in enumerate(text.split("\n"), 1):
        if line and not (line.startswith("net/") and "=" in line):
            return number
    return 0


def pod_uid(cgroup: str) -> str:
    """Return the UID of the pod that a process belongs to, by the text of its /proc/PID/cgroup; or ''.

    Where pods run inside pods (kind, virtual clusters) the innermost counts.
    """
    for line in cgroup.split("\n"):
        found = _POD_UID.findall(line)
        if found:
            return str(found[-1]).replace("_", "-")
    return ""


def _facts(entry: Any) -> NamespaceFacts:
    if not isinstance(entry, dict) or not isinstance(entry.get("inode"), int):
        raise ValueError("a namespace without an inode")  # noqa: TRY004
    processes = [p for p in _listed(entry, "processes") if isinstance(p, dict)]
    uids = (pod_uid(str(p.get("cgroup", ""))) for p in processes)
    return NamespaceFacts(
        entry["inode"],
        bool(entry.get("host", False)),
        tuple(str(name) for name in _listed(entry, "names")),
        tuple(dict.fromkeys(filter(None, uids))),
        tuple(dict.fromkeys(str(p.get("comm", "")) for p in processes)),
        next((pid for p in processes if (pid := _integer(p.get("pid")))), 0),
    )


def _integer(value: Any) -> int:
    """Return a number of a sensible size, else 0."""
    return value if isinstance(value, int) and 0 < value < 1 << 63 else 0


def _listed(entry: dict[str, Any], key: str) -> list[Any]:
    found = entry.get(key)
    return found if isinstance(found, list) else []


def _load(raw: bytes, kind: type) -> Any:
    try:
        found = json.loads(raw)
    except RecursionError as error:
        raise ValueError("JSON nested too deeply") from error
    if not isinstance(found, kind):
        raise ValueError(f"{kind.__name__} expected, found {type(found).__name__}")  # noqa: TRY004
    return found
