"""Real walks through a recorded cluster come out well in every form."""

from __future__ import annotations

from functools import lru_cache

import jsonschema
import pytest

from skoopctl.checks.diagnosis import Coverage, Detected, Diagnosis, Endpoint, HostCoverage
from skoopctl.dataplane.path import Network, walk
from skoopctl.dataplane.topology import Topology
from skoopctl.dataplane.trace import Flow
from skoopctl.report.jsonout import schema, to_json
from skoopctl.report.svg import render_svg
from skoopctl.report.text import render_text
from tests.support import recorded
from tests.support.pages import page_of

load = lru_cache(recorded.load)


def diagnosed(mode: str, source: str, address: str, port: int) -> Diagnosis:
    """Walk a flow of the recording and wrap it up without findings."""
    cluster = load(mode)
    host, inode, own = cluster.sources[source]
    path = walk(Network(Topology(cluster.hosts)), Flow(own, address, "tcp", port), (host, inode))
    coverage = Coverage(tuple(HostCoverage(name, "ok") for name in cluster.hosts))
    return Diagnosis(
        Endpoint(source, own, "pod", source, host), Endpoint(address, address), path, (), coverage, Detected()
    )


@pytest.mark.parametrize("mode", ["iptables", "nftables"])
@pytest.mark.parametrize(
    ("address", "port", "verdict", "told"),
    [
        ("10.244.2.10", 8080, "PASS", "outer packet"),
        ("10.96.10.1", 80, "PASS", "is now"),
        ("192.168.3.87", 30080, "PASS", "Branches: 3"),
        ("10.244.2.11", 9, "FAIL", "REFUSED: nothing listens on tcp port 9"),
        ("10.96.20.3", 80, "FAIL", "REJECTED"),
    ],
)
def test_a_real_walk_is_told_in_every_form(
    mode: str, address: str, port: int, verdict: str, told: str
) -> None:
    """Text tells what happened, JSON follows the schema, picture and page carry the verdict's sentence."""
    diagnosis = diagnosed(mode, "pod-tools-a", address, port)
    text = render_text(diagnosis)
    assert f"\n{verdict}: The SYN from pod pod-tools-a (10.244.1.20) to {address} tcp/{port} " in text
    assert told in text
    data = to_json(diagnosis)
    jsonschema.Draft202012Validator(schema()).validate(data)
    assert data["verdict"] == verdict
    assert "pod-tools-a" in render_svg(diagnosis)
    assert f"{address}</bdi> tcp/{port}" in page_of(diagnosis)
