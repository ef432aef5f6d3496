"""Golden pictures: what each looks like is kept in ``tests/fixtures/pictures``, and compared byte by byte.

``make pictures`` draws them anew. Look at each that changed before it is committed: a picture is right because
somebody has seen it. ``tests/browser/test_pictures.py`` draws them as PNG, in ``out/browser/pictures``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from skoopctl.checks.diagnose import Question, diagnose
from skoopctl.checks.diagnosis import Coverage, Detected, Diagnosis, Endpoint, HostCoverage
from skoopctl.checks.load import snapshot_of
from skoopctl.dataplane.path import Network, walk
from skoopctl.dataplane.topology import Topology
from skoopctl.dataplane.trace import Flow
from skoopctl.evidence import read_bundle
from skoopctl.lab.story import DESTINATION, PORT, SOURCE
from skoopctl.recorded import recorded_bundle
from skoopctl.report.messages import messages
from skoopctl.report.svg import render_svg
from tests.support import recorded
from tests.unit.report import samples

FOLDER = Path(__file__).parents[2] / "fixtures" / "pictures"
RENEW = "look at what has changed; if it is meant, run 'make pictures' and commit the new files"


def _recorded(address: str, port: int) -> Diagnosis:
    """Walk from a pod of the recorded cluster: what the model says of kube-proxy's own rules."""
    cluster = recorded.load("iptables")
    host, inode, own = cluster.sources["pod-tools-a"]
    path = walk(Network(Topology(cluster.hosts)), Flow(own, address, "tcp", port), (host, inode))
    coverage = Coverage(tuple(HostCoverage(name, "ok") for name in cluster.hosts))
    ends = Endpoint("pod-tools-a", own, "pod", "pod-tools-a", host), Endpoint(address, address)
    return Diagnosis(*ends, path, (), coverage, Detected())


def _in_english(drawn: Callable[[], Diagnosis]) -> Callable[[], str]:
    return lambda: render_svg(drawn())


def manual() -> Diagnosis:
    """Diagnose the manual's example from its recorded evidence."""
    snapshot = snapshot_of(read_bundle(recorded_bundle("broken")))
    return diagnose(Question(SOURCE, DESTINATION, "tcp", PORT), snapshot)


def weighted() -> Diagnosis:
    """Ask a service whose endpoints are not chosen equally often."""
    made = samples.service()
    shares = zip(made.path.branches, (0.6, 0.3, 0.1), strict=True)
    branches = tuple(replace(branch, weight=weight) for branch, weight in shares)
    return replace(made, path=replace(made.path, branches=branches))


def nat_and_tunnel() -> Diagnosis:
    """Let a service's connection arrive: translated on its way, and carried in a tunnel to another node."""
    diagnosis = _recorded("10.96.10.1", 80)
    branch = next(each for each in diagnosis.path.branches if any(step.depth for step in each.forward.steps))
    return replace(diagnosis, path=replace(diagnosis.path, branches=(replace(branch, weight=1.0),)))


PICTURES: dict[str, Callable[[], str]] = {
    "dropped-at-input": _in_english(samples.dropped),
    "manual-zh": lambda: render_svg(manual(), words=messages("zh")),
    "nat-and-tunnel": _in_english(nat_and_tunnel),
    "branches": _in_english(weighted),
    "node-port": _in_english(lambda: _recorded("192.168.3.87", 30080)),
    "unknown": _in_english(samples.unknown),
    "forty-hops": _in_english(samples.hops40),
    "forty-hosts": _in_english(samples.long_way),
}
"""The pictures by the name of their file, without its ending."""


def main() -> None:
    """Draw all, and delete what no row asks for."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for file in set(FOLDER.glob("*.svg")) - {FOLDER / f"{name}.svg" for name in PICTURES}:
        file.unlink()
    for name, drawn in PICTURES.items():
        file, fresh = FOLDER / f"{name}.svg", drawn().encode()
        if not file.is_file() or file.read_bytes() != fresh:
            file.write_bytes(fresh)
            sys.stdout.write(f"{file.name}: drawn\n")


if __name__ == "__main__":
    main()
