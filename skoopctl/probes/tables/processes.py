"""io and fd: what the processes of a pod read and write, and what they hold open."""

from __future__ import annotations

from skoopctl.probes.metric import Probe, Scope
from skoopctl.probes.reading import GAUGE, Row, readings

_BY_CGROUP = "by cgroup, v1 and v2; KubeSkoop finds no processes on cgroup v2 and shows 0"

IO_READINGS = readings(
    "io",
    "cgroup-io",
    (
        Row("readsyscall", "System calls that read.", differs=_BY_CGROUP, where="syscr"),
        Row("writesyscall", "System calls that wrote.", differs=_BY_CGROUP, where="syscw"),
        Row("readbytes", "Bytes read from storage.", differs=_BY_CGROUP, where="read_bytes"),
        Row("writebytes", "Bytes written to storage.", differs=_BY_CGROUP, where="write_bytes"),
    ),
)

FD_READINGS = readings(
    "fd",
    "cgroup-fd",
    (
        Row(
            "openfd",
            "Open file descriptors, those of one file, pipe or socket counted once a container.",
            GAUGE,
            differs=f"{_BY_CGROUP}; it also gives this one twice, which breaks its page",
            where="links in /proc/PID/fd",
        ),
        Row(
            "opensocket",
            "Open sockets.",
            GAUGE,
            differs=_BY_CGROUP,
            where="links in /proc/PID/fd to socket:",
        ),
    ),
)

IO = Probe(
    "io",
    "processes: system calls and bytes of storage",
    Scope.CGROUP,
    ("cgroup-io",),
    tuple(reading.metric for reading in IO_READINGS),
    "/proc/PID/io of every process",
    "one small file a process, 0.01 ms each",
    "root: another user's /proc/PID/io is closed",
)
FD = Probe(
    "fd",
    "processes: open file descriptors and sockets",
    Scope.CGROUP,
    ("cgroup-fd",),
    tuple(reading.metric for reading in FD_READINGS),
    "/proc/PID/fd of every process",
    "dear where processes hold much open: a link is read for each descriptor; 0.02 ms for a process with five",
    "root: another user's /proc/PID/fd is closed",
)
