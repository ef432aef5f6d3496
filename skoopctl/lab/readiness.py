"""Waiting for the lab to be ready: for states that can be seen, never for a time."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from skoopctl.errors import LabError
from skoopctl.lab.commands import NETNS_DIR
from skoopctl.lab.statefile import STATE_DIR
from skoopctl.lab.topology import Plan, host_netns

LISTEN = "0A"
DEADLINE_S = 20.0
SSH_PORT = 22


def wait_for_listeners(plan: Plan, pids: Mapping[str, int]) -> None:
    """Wait until every host's SSH server and every pod's responder listens."""
    wanted = {host: {SSH_PORT} for host in plan.host_names}
    wanted.update({pod.key: set(pod.answers) for pod in plan.pods if pod.answers})
    deadline = time.monotonic() + DEADLINE_S
    while True:
        wanted = {name: ports for name, ports in wanted.items() if not ports <= listening(pids[name])}
        if not wanted:
            return
        for name in wanted:
            if not Path(f"/proc/{pids[name]}/ns").exists():
                raise LabError(f"{name} died while it started: {_last_words(name)}")
        if time.monotonic() > deadline:
            raise LabError(f"no listener within {DEADLINE_S:g} s: {_describe(wanted)}")
        time.sleep(0.01)


def dead_members(plan: Plan, pids: Mapping[str, int]) -> list[str]:
    """Return the hosts and pods that no longer run: whose process is not in the right namespace."""
    inside = {host: _inode(str(NETNS_DIR / host_netns(host))) for host in plan.host_names}
    dead = [host for host, inode in inside.items() if not inode or _inode(_ns(pids, host, "net")) != inode]
    for pod in plan.pods:
        inode = _inode(_ns(pids, pod.key, "pid"))
        if not inode or inode != _inode(_ns(pids, pod.node, "pid")):
            dead.append(pod.key)
    return dead


def _ns(pids: Mapping[str, int], name: str, kind: str) -> str:
    """Return the path of a namespace of a host or pod."""
    return f"/proc/{pids.get(name, 0)}/ns/{kind}"


def _inode(path: str) -> int:
    """Return a file's inode number, or 0 if it is not there."""
    try:
        return Path(path).stat().st_ino
    except OSError:
        return 0


def listening(pid: int) -> set[int]:
    """Return the TCP ports that are listened on in a process's network namespace (proc(5), net/tcp)."""
    try:
        lines = Path(f"/proc/{pid}/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    except OSError:
        return set()
    rows = (line.split() for line in lines)
    return {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == LISTEN}


def _describe(wanted: Mapping[str, set[int]]) -> str:
    """Name who does not listen on what."""
    return ", ".join(f"{name} on {', '.join(map(str, sorted(ports)))}" for name, ports in wanted.items())


def _last_words(name: str) -> str:
    """Return the last line of a host's log."""
    try:
        lines = (
            (STATE_DIR / "hosts" / f"{name}.log").read_text(encoding="utf-8", errors="replace").splitlines()
        )
    except OSError:
        return "no log"
    return lines[-1] if lines else "it said nothing"
