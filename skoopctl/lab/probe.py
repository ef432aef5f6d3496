"""What real connections get: many flows at once from a pod, a node or the outside host."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from skoopctl.errors import LabError
from skoopctl.lab.commands import NETNS_DIR, environment, program_argv

GRACE_S = 20.0


class Outcome(StrEnum):
    """What a client sees."""

    CONNECTED = "connected"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class Flow:
    """Where to: ``tcp`` or ``udp``, an IPv4 address and a port."""

    protocol: str
    address: str
    port: int


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What became of a flow.

    ``who`` is the name of the pod or host that answered and ``seen`` the source address that it saw; both are
    empty when nothing answered or the server speaks another protocol. ``errno`` is a name such as
    ``EHOSTUNREACH``.
    """

    flow: Flow
    outcome: Outcome
    who: str = ""
    seen: str = ""
    errno: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """Where flows can start. ``name`` is ``pod/NAMESPACE/NAME``, ``node/NAME`` or ``outside``.

    ``netns`` is a name of ``ip netns`` or a path below /proc.
    """

    name: str
    address: str
    netns: str


def probe_sources(
    flows: Mapping[Source, Sequence[Flow]], *, timeout_s: float = 1.5
) -> dict[str, tuple[ProbeResult, ...]]:
    """Try all flows of all sources at once; return the results by the source's name, in the flows' order.

    Every flow has a socket, and so a source port, of its own; the whole costs about one timeout.
    """
    running = [(source, list(wanted), _start(source, wanted, timeout_s)) for source, wanted in flows.items()]
    try:
        return {source.name: _finish(source, wanted, child, timeout_s) for source, wanted, child in running}
    finally:
        for _, _, child in running:
            if child.poll() is None:
                child.kill()
            child.communicate()


def _start(source: Source, flows: Sequence[Flow], timeout_s: float) -> subprocess.Popen[str]:
    """Start the prober in the source's namespace and hand it its flows."""
    path = source.netns if source.netns.startswith("/") else str(NETNS_DIR / source.netns)
    child = subprocess.Popen(
        ["nsenter", f"--net={path}", "--", *program_argv("prober")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        start_new_session=True,
    )
    rows = [[flow.protocol, flow.address, flow.port] for flow in flows]
    assert child.stdin is not None  # noqa: S101 - it was asked for as a pipe
    try:
        child.stdin.write(json.dumps({"timeout_s": timeout_s, "flows": rows}))
        child.stdin.close()
    except BrokenPipeError:
        pass
    child.stdin = None
    return child


def _finish(
    source: Source, flows: Sequence[Flow], child: subprocess.Popen[str], timeout_s: float
) -> tuple[ProbeResult, ...]:
    """Collect one prober's answer."""
    try:
        out, said = child.communicate(timeout=timeout_s + GRACE_S)
    except subprocess.TimeoutExpired:
        raise LabError(f"the prober of {source.name} does not end") from None
    if child.returncode:
        last = (said.strip().splitlines() or [f"exit status {child.returncode}"])[-1]
        raise LabError(
            f"cannot probe from {source.name}: {last}", hint="is the lab still up? skoopctl lab status"
        )
    rows = json.loads(out)
    return tuple(_result(flow, row) for flow, row in zip(flows, rows, strict=True))


def _result(flow: Flow, row: Sequence[str]) -> ProbeResult:
    """Turn one row of the prober's answer into a result."""
    outcome = Outcome(row[0])
    if outcome is Outcome.UNREACHABLE:
        return ProbeResult(flow, outcome, errno=row[1])
    return ProbeResult(flow, outcome, who=row[1], seen=row[2])
