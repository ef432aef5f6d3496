"""Findings and JSON about sizes."""

from __future__ import annotations

import json

from skoopctl.checks.diagnose import Question, diagnose
from skoopctl.checks.finding import Severity
from skoopctl.dataplane.trace import Verdict
from skoopctl.report.jsonout import to_json
from skoopctl.report.text import render_text
from tests.support.broken import snapshot_of
from tests.support.worlds import Cluster, cluster, filter_table

ASKED = Question("10.244.1.10", "10.244.2.10", "tcp", 80)


def large_pods() -> Cluster:
    """Make a cluster whose pods' devices are larger than the tunnel's."""
    made = cluster()
    for box in made.world.boxes:
        for link in list(box.links.values()):
            if link.kind in {"veth", "bridge"}:
                box.change(link.name, mtu=1500)
    return made


def test_a_healthy_cluster_has_no_finding_about_sizes() -> None:
    """Where MTUs agree nothing is said, and the JSON has the sizes."""
    diagnosis = diagnose(ASKED, snapshot_of(cluster()))
    assert [f.id for f in diagnosis.findings] == []
    assert to_json(diagnosis)["mtu"] == {
        "forward": 1450,
        "reply": 1450,
        "segment": 1450,
        "reply_segment": 1450,
        "stalls": "",
    }


def test_a_detour_is_a_warning_for_each_place() -> None:
    """Pods that send more than the tunnel takes: one warning a node, and the flow passes."""
    diagnosis = diagnose(ASKED, snapshot_of(large_pods()))
    assert diagnosis.path.verdict is Verdict.PASS
    found = [f for f in diagnosis.findings if f.id == "mtu-mismatch"]
    assert [(f.where.node, f.severity, f.cause) for f in found] == [
        ("n1", Severity.WARNING, False),
        ("n2", Severity.WARNING, False),
    ]
    assert "flannel.1" in found[0].evidence[0].text


def test_a_black_hole_is_told_in_json_and_in_words() -> None:
    """Verdict FAIL, disposition MTU, outcome connected; the text says that it stalls, and what would fix it."""
    made = large_pods()
    made.n1.iptables(filter_table("-A OUTPUT -p icmp -j DROP"))
    diagnosis = diagnose(ASKED, snapshot_of(made))
    shown = json.loads(json.dumps(to_json(diagnosis)))
    assert (shown["verdict"], shown["disposition"], shown["outcome"]) == ("FAIL", "MTU", "connected")
    assert shown["mtu"]["stalls"] == "forward"
    assert shown["branches"][0]["mtu"] == shown["mtu"]
    finding = diagnosis.findings[0]
    assert (finding.id, finding.cause) == ("mtu-black-hole", True)
    assert finding.fix is not None
    assert finding.fix.checked
    text = " ".join(render_text(diagnosis).split())
    assert "The client gets its connection, and then it stalls." in text
    assert "forward: 1450 bytes pass, the sender makes up to 1500" in text
