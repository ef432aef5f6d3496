"""What the dashboard of events asks of Loki: well formed, about what there is, and answered as it should be."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from docs.dashboards.asked import Asked, board_of, filled, log_queries, panels
from docs.dashboards.events import SHOWN
from skoopctl.bpf.catalogue import PROBES
from skoopctl.checks.catalogue import DOCS
from skoopctl.events.as_json import schema, told_line
from skoopctl.events.event import End, EndKind, Event
from skoopctl.events.reasons import DROP_REASONS
from tests.services.loki_receiver import Stored
from tests.support.logql import Fold, Labels, Log, LogQLError, Over, Vector, answer, names, parse, shown
from tests.unit.events.made_events import WALL_NS, bare, made

ROOT = Path(__file__).parents[3]
BOARD = board_of(ROOT / "reports/grafana/skoopctl-events.json")
ASKED = log_queries(BOARD)
STREAMS = {"job", "cluster", "node", "type"}
DETAILS = {"name": "no.such.name.", "type": "AAAA", "rcode": "NXDOMAIN", "tries": 1}
"""Of DNS, as the node tells them (remote/ev_dns.py)."""
FIELDS = STREAMS | {"__error__"} | set(schema()["properties"]) | {f"details_{name}" for name in DETAILS}
ALL = {
    "cluster": ".*",
    "node": ".*",
    "type": ".*",
    "namespace": ".*",
    "__range": "3600s",
    "__interval": "60s",
}
CLIENT = End("10.244.1.7", 41000, EndKind.POD, "shop", "client", "node1")


def stored(event: Event) -> Stored:
    """Return an event as Loki keeps it."""
    labels = {"job": "skoopctl", "cluster": "prod", "node": event.node, "type": event.kind}
    return Stored(labels, event.wall_ns, told_line(event), {})


def failed(error: str, at: int) -> Event:
    """Return a connection that failed."""
    return made(
        probe="tcpconnect",
        kind="connect-failed",
        pod="client",
        source=CLIENT,
        reason="",
        hook="",
        function="",
        calls=(),
        error=error,
        latency_ns=1_000_000 * at,
        wall_ns=WALL_NS + at,
        mono_ns=at,
    )


EVENTS = (
    *(made(wall_ns=WALL_NS + at, mono_ns=at) for at in range(5)),
    *(made(reason="NO_SOCKET", hook="", function="tcp_v4_rcv", mono_ns=10 + at) for at in range(3)),
    *(failed("ECONNREFUSED", at) for at in range(1, 5)),
    failed("ETIMEDOUT", 9),
    bare(
        kind="softirq-run-slow", probe="softirq", node="node2", latency_ns=12_000_000, reason="NET_RX", cpu=3
    ),
    made(probe="tcpreset", kind="reset-active", node="node2", namespace="other", pod="web-1", mono_ns=50),
    made(probe="tcpretrans", kind="retransmit-synack", mono_ns=60),
    made(probe="dns", kind="dns-nxdomain", details=DETAILS, mono_ns=70),
)
LINES = [stored(event) for event in EVENTS]
END_NS = WALL_NS + 60_000_000_000


def query(panel: str, **chosen: str) -> Log | Over | Fold:
    """Return a panel's query, with variables as they are chosen."""
    (asked,) = (each for each in ASKED if each.panel == panel)
    return parse(filled(asked.expr, {**ALL, **chosen}))


def numbers(panel: str, **chosen: str) -> Vector:
    """Return the answer to a panel's query about those events."""
    node = query(panel, **chosen)
    assert not isinstance(node, Log)
    return answer(node, LINES, END_NS)


def rows(panel: str, *columns: str, **chosen: str) -> dict[tuple[str, ...], float]:
    """Return the answer by some labels."""

    def key(labels: Labels) -> tuple[str, ...]:
        found = dict(labels)
        assert set(found) <= set(columns)
        return tuple(found.get(column, "") for column in columns)

    return {key(labels): value for labels, value in numbers(panel, **chosen).items()}


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: asked.panel)
def test_every_query_is_logql_about_what_there_is(asked: Asked) -> None:
    """It parses, its selector narrows by the labels that streams have, and every field is one that lines have."""
    node = parse(filled(asked.expr, ALL))
    named = set(names(node))
    assert {name for where, name in named if where == "stream"} <= STREAMS
    assert {name for where, name in named if where == "field"} <= FIELDS
    assert "$" not in filled(asked.expr, ALL)


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: asked.panel)
def test_every_query_has_data_when_there_are_such_events(asked: Asked) -> None:
    """None asks for what no event could be."""
    node = parse(filled(asked.expr, ALL))
    found = shown(node, LINES) if isinstance(node, Log) else answer(node, LINES, WALL_NS + 1_000_000_000)
    assert found


@pytest.mark.parametrize("asked", [a for a in ASKED if "topk" in a.expr], ids=lambda asked: asked.panel)
def test_a_table_s_columns_are_what_its_query_groups_by(asked: Asked) -> None:
    """No column stays empty, and no label of the answer is lost."""
    (panel,) = (p for p in panels(BOARD) if p["title"] == asked.panel)
    organized = panel["transformations"][-1]["options"]["renameByName"]
    node = parse(filled(asked.expr, ALL))
    assert isinstance(node, Fold)
    assert isinstance(node.inner, Fold)
    assert (node.name, node.most) == ("topk", SHOWN)
    assert {name for name in organized if not name.startswith("Value")} == set(node.inner.by)


@pytest.mark.parametrize(
    ("panel", "wanted"),
    [
        ("Events", 17),
        ("Packets dropped", 8),
        ("Resets", 1),
        ("Sent again", 1),
        ("Connections that failed", 5),
    ],
)
def test_numbers_count_the_events_of_their_kinds(panel: str, wanted: int) -> None:
    """Events of a node itself count too when all namespaces are chosen."""
    assert numbers(panel) == {frozenset(): wanted}


def test_choices_narrow_what_is_counted() -> None:
    """A node, a type and a namespace, each alone."""
    assert numbers("Events", node="node2") == {frozenset(): 2}
    assert numbers("Events", type="connect-failed") == {frozenset(): 5}
    assert numbers("Events", namespace="other") == {frozenset(): 1}
    assert numbers("Events", cluster="test") == {}


def test_drops_are_told_by_reason_hook_and_function() -> None:
    """Each cause has its row with how often it was."""
    assert rows("Why packets are dropped", "reason", "hook", "function") == {
        ("NETFILTER_DROP", "INPUT", "nf_hook_slow"): 5,
        ("NO_SOCKET", "", "tcp_v4_rcv"): 3,
    }


def test_pods_are_told_with_their_node_and_the_type() -> None:
    """Events of nodes themselves are not among them."""
    counts = Counter((e.namespace, e.pod, e.node, e.kind) for e in EVENTS if e.pod)
    assert rows("Pods with most events", "namespace", "pod", "node", "type") == counts


def test_failures_are_told_by_errno_and_destination() -> None:
    """Who wanted to connect where, and what it got."""
    found = rows(
        "Why connections fail",
        "pod",
        "namespace",
        "error",
        "destination_name",
        "destination_address",
        "destination_port",
    )
    assert found == {
        ("client", "shop", "ECONNREFUSED", "node2", "192.168.1.2", "8080"): 4,
        ("client", "shop", "ETIMEDOUT", "node2", "192.168.1.2", "8080"): 1,
    }


def test_names_are_told_with_who_asked_and_what_came() -> None:
    """A name that is not there, with the type that was asked for and the code of the answer."""
    columns = (
        "pod",
        "namespace",
        "type",
        "details_name",
        "details_type",
        "details_rcode",
        "destination_name",
    )
    assert rows("Names that were not answered well", *columns) == {
        ("web-0", "shop", "dns-nxdomain", "no.such.name.", "AAAA", "NXDOMAIN", "node2"): 1
    }


def test_the_longest_latency_of_each_type_is_shown() -> None:
    """Events without a latency do not count."""
    assert rows("Longest latencies", "type", "node") == {
        ("connect-failed", "node1"): 9_000_000,
        ("softirq-run-slow", "node2"): 12_000_000,
    }


def test_rates_are_by_second() -> None:
    """Seventeen events in a minute, by the node."""
    node = query("Events by node")
    assert not isinstance(node, Log)
    found = answer(node, LINES, WALL_NS + 1_000_000_000)
    assert found == {
        frozenset({("node", "node1")}): pytest.approx(15 / 60),
        frozenset({("node", "node2")}): pytest.approx(2 / 60),
    }


def test_a_line_reads_as_a_sentence() -> None:
    """Type, owner and the event in words; an event of the node itself has no owner there."""
    node = query("Newest events")
    assert isinstance(node, Log)
    found = {text for _, text, _ in shown(node, LINES)}
    assert (
        "packet-loss  shop/web-0  packet dropped: NETFILTER_DROP in INPUT: "
        "TCP SYN shop/web-0 (10.244.1.5:43210) -> node2 (192.168.1.2:8080), on eth0"
    ) in found
    assert "softirq-run-slow  softirq NET_RX ran 12 ms on CPU 3" in found


def test_metadata_beside_a_line_changes_no_answer() -> None:
    """Where namespace and pod are structured metadata too, their names in the line get out of the way."""
    beside = [
        replace(line, metadata={k: line.event[k] for k in ("namespace", "pod") if k in line.event})
        for line in LINES
    ]
    node = query("Pods with most events")
    assert not isinstance(node, Log)
    assert answer(node, beside, END_NS) == answer(node, LINES, END_NS)


def written(title: str) -> str:
    """Return a panel's Markdown."""
    (panel,) = (p for p in panels(BOARD) if p["title"] == title)
    return str(panel["options"]["content"])


def test_each_kind_of_the_catalogue_is_explained() -> None:
    """The table of meanings has a row for each, with a link to its probe in the documentation."""
    row = r"^\| `([\w-]+)` \| .+ \| .+ \| \[(\w+)\]\(\$docs/ebpf\.md#\2\) \|"
    found = re.findall(row, written("What each type means"), re.MULTILINE)
    assert found == [(kind.name, probe.name) for probe in PROBES.values() for kind in probe.kinds]


def test_each_reason_of_the_kernel_is_explained() -> None:
    """Every reason for a drop has its row with what it means."""
    found = re.findall(r"^\| `(\w+)` \| (.+?) \|", written("What each reason means"), re.MULTILINE)
    assert found == [(reason.name, reason.means) for reason in DROP_REASONS.values()]


@pytest.mark.parametrize("title", ["What each type means", "What each reason means"])
def test_tables_lead_to_findings_that_exist(title: str) -> None:
    """Each link to a finding names one that the documentation has."""
    linked = set(re.findall(r"\(\$docs/findings\.md#([\w-]+)\)", written(title)))
    assert len(linked) > 5
    assert linked <= set(DOCS)


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "{}",
        '{job=~".*"}',
        '{job="a",}',
        "{job=a}",
        '{job="a"} json',
        '{job="a"} | json | pod',
        '{job="a"} | line_format "{{.x"',
        '{job="a"} | line_format "{{if .x}}a"',
        '{job="a"} | line_format "{{.x | upper}}"',
        '{job=~"("}',
        'count_over_time({job="a"})',
        'count_over_time({job="a"} [5x])',
        'count_over_time({job="a"} | json | unwrap x [5m])',
        'max_over_time({job="a"} [5m])',
        'sum by (count_over_time({job="a"} [5m]))',
        'sum by (x) count_over_time({job="a"} [5m])',
        'topk(count_over_time({job="a"} [5m]))',
        'rate({job="a"} [5m]) extra',
        'rate({job="a"} | line_format "x" [5m])',
        'count_over_time({job="a"} [5m]) by (x)',
    ],
)
def test_what_is_not_logql_is_refused(wrong: str) -> None:
    """The check above does not take anything."""
    with pytest.raises((LogQLError, re.error)):
        parse(wrong)
