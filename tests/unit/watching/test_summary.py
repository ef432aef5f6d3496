"""What a watch comes to: rates, findings, coverage, exit statuses, text and JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import jsonschema
import pytest

from skoopctl.checks.finding import Severity
from skoopctl.cluster.cluster import load_cluster
from skoopctl.errors import AuthenticationError, DeadlineError, SkoopError, UnreachableError
from skoopctl.evidence.rounds import Round
from skoopctl.inventory import InventoryHost
from skoopctl.probes.catalogue import METRICS
from skoopctl.probes.metric import Kind
from skoopctl.sinks.json_lines import broken, hello, round_to_json, schema, summary_to_json
from skoopctl.sinks.summary_text import render_summary
from skoopctl.watching.observation import Observation, Phase
from skoopctl.watching.summary import Summary, summary_of
from skoopctl.watching.table import ORDINARY, in_short, table_of

sys.path.insert(0, str(Path(__file__).parent))
from numbers_of_nodes import NODE, POD, POD_NAME, a_round, numbers, snmp

DOWN = UnreachableError("b", "nothing listens there")


def observed(
    rounds: Sequence[Round], *, names: str = "a", errors: dict[str, SkoopError] | None = None
) -> Observation:
    """Return what was seen of node `a`, which sent rounds, and of others that broke."""
    hosts = [InventoryHost(name, f"10.0.0.{index}") for index, name in enumerate(names)]
    made = Observation(("tcp",), hosts)

    async def scenario() -> None:
        made.connecting(hosts[0])
        made.connected(hosts[0])
        for each in rounds:
            made.round_came(hosts[0], each)
        for name, error in (errors or {}).items():
            host = made.nodes[name].host
            made.connecting(host)
            made.broken(host, error, 4.0)

    asyncio.run(scenario())
    return made


def summed(observation: Observation, rounds: int = 3, **words: object) -> Summary:
    """Return the summary of a watch of three rounds."""
    return summary_of(observation, rounds, 1.0, {}, **words)  # type: ignore[arg-type]


QUIET = [numbers(1, sent=1000), numbers(2, sent=2000), numbers(3, sent=3000)]
LOSSY = [numbers(1, sent=1000), numbers(2, sent=2000, again=100), numbers(3, sent=3000, again=300)]


def test_rates_are_between_the_last_two_rounds_and_the_summary_over_all() -> None:
    """100 of 1,000 segments a second were sent again at first, then 200."""
    seen = observed(LOSSY)
    rates = seen.nodes["a"].rates
    assert rates is not None
    key = ("kubeskoop_tcp_retranssegs", ("a", *POD_NAME))
    assert rates.per_second[key] == pytest.approx(200)
    biggest = {each.metric.name: each.places for each in summed(seen).biggest}
    assert str(biggest["kubeskoop_tcp_retranssegs"][0][0]) == "a/shop/web-0"
    assert biggest["kubeskoop_tcp_retranssegs"][0][1] == pytest.approx(150)


def test_a_pod_that_sends_again_is_a_finding_with_its_place() -> None:
    """The pod's name comes from the node itself, without any API."""
    found = summed(observed(LOSSY)).findings
    assert [(each.id, each.where.node, each.where.namespace) for each in found] == [
        ("tcp-retransmissions", "a", "shop/web-0")
    ]
    assert summed(observed(QUIET)).findings == ()


def test_a_threshold_that_is_given_replaces_the_default() -> None:
    """15 % is no finding when 50 % is the limit."""
    seen = observed(LOSSY)
    assert summary_of(seen, 3, 1.0, {"tcp-retransmit-rate": 0.5}).findings == ()


@pytest.mark.parametrize(
    ("rounds", "names", "errors", "fail_on", "code"),
    [
        (QUIET, "a", {}, Severity.WARNING, 0),
        (LOSSY, "a", {}, Severity.WARNING, 1),
        (LOSSY, "a", {}, Severity.CRITICAL, 0),
        (LOSSY, "ab", {"b": DOWN}, Severity.WARNING, 1),
        (QUIET, "ab", {"b": DOWN}, Severity.WARNING, 3),
        (QUIET[:1], "a", {}, Severity.WARNING, 4),
        ([], "ab", {"b": DOWN}, Severity.WARNING, 4),
    ],
)
def test_the_exit_status_tells_a_sick_cluster_from_a_blind_tool(
    rounds: list[Round], names: str, errors: dict[str, SkoopError], fail_on: Severity, code: int
) -> None:
    """0 clean, 1 findings, 3 not all was measured, 4 nothing was: one round makes no rate."""
    assert summed(observed(rounds, names=names, errors=errors)).exit_code(fail_on) == code


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (DOWN, "unreachable"),
        (DeadlineError("b", "connect", 10), "timeout"),
        (AuthenticationError("b", "refused"), "auth-failed"),
    ],
)
def test_a_node_that_never_answered_says_why(error: SkoopError, status: str) -> None:
    """Its row has the status that any other command gives it."""
    made = summed(observed(QUIET, names="ab", errors={"b": error}))
    node = made.nodes[1]
    assert (node.status, node.rounds) == (status, 0)
    assert made.coverage == "1 of 2 nodes, 3 rounds each"
    text = render_summary(made)
    assert f"b  {status}  broke once" in text
    assert node.why[:30] in text


def test_a_node_that_broke_and_came_back_is_told_too() -> None:
    """Whoever reads the summary hears of the gap."""
    seen = observed(QUIET, names="a", errors={"a": UnreachableError("a", "hung up")})
    assert "a  ok  broke once\n      hung up\n" in render_summary(summed(seen))


def test_a_counter_that_fell_over_a_reboot_is_no_rate() -> None:
    """The node's clock began anew: so does the comparison."""
    before = a_round(1, {NODE: snmp(OutSegs=9_000_000)}, at_s=5000)
    after = [a_round(1, {NODE: snmp(OutSegs=10)}, at_s=20), a_round(2, {NODE: snmp(OutSegs=30)}, at_s=21)]
    view = observed([before, *after]).nodes["a"]
    assert view.rates is not None
    assert view.rates.per_second["kubeskoop_tcp_outsegs", ("a", "", "")] == pytest.approx(20)
    assert view.first is not None
    assert view.first.mono_ns == 20_000_000_000


@pytest.mark.parametrize(("at_s", "boots"), [(20, ("", "")), (20, ("one", "two")), (6000, ("one", "two"))])
def test_a_node_that_rebooted_half_way_is_told(at_s: float, boots: tuple[str, str]) -> None:
    """Its clock or its id of the boot tells; also when it was up for a shorter time than it was away."""
    before = [
        a_round(number, {NODE: snmp(OutSegs=9)}, at_s=4998 + number, boot=boots[0]) for number in (1, 2)
    ]
    after = a_round(1, {NODE: snmp(OutSegs=10)}, at_s=at_s, boot=boots[1])
    seen = observed([*before, after], errors={"a": UnreachableError("a", "hung up")})
    said = summed(seen)
    assert "a  ok  broke once, rebooted once: its metrics are since then\n" in render_summary(said)
    assert summary_to_json(said)["nodes"][0]["reboots"] == 1
    view = seen.nodes["a"]
    assert view.first is view.last


def test_a_reconnect_of_the_same_node_keeps_its_first_round() -> None:
    """Counters are the kernel's, and go on: the summary is over all of the time."""
    again = a_round(1, {NODE: snmp(OutSegs=70), POD: snmp(OutSegs=9000)}, at_s=9)
    view = observed([*QUIET, again]).nodes["a"]
    assert view.reboots == 0
    assert view.first is not None
    assert view.first.mono_ns == 1_000_000_000


def test_names_that_the_api_tells_late_make_no_growth_from_nothing() -> None:
    """What was measured under another name begins anew."""
    seen = observed(LOSSY)
    pod = {
        "metadata": {
            "namespace": "shop",
            "name": "web-renamed",
            "uid": "0c5ad2ab-4c8c-4f5e-9f3e-1d3b7c0b2f10",
        },
        "spec": {"nodeName": "a"},
        "status": {},
    }
    seen.name_pods(load_cluster({"pods": json.dumps({"items": [pod]}).encode()}))
    assert summed(seen).findings == ()
    values = seen.nodes["a"].last
    assert values is not None
    assert ("kubeskoop_tcp_outsegs", ("a", "shop", "web-renamed")) in values.values


def test_what_is_not_available_is_said_with_its_nodes() -> None:
    """A round without the item of a probe is no zero."""
    seen = observed([a_round(1, {}), a_round(2, {})])
    made = summed(seen)
    assert [(lack.probes, lack.nodes) for lack in made.lacks] == [(("tcp",), ("a",))]
    assert "Not, or not wholly, available" in render_summary(made)


def test_nothing_is_kept_of_rounds_that_are_over() -> None:
    """After a thousand rounds a node's view holds two snapshots, and no more series than after two."""
    sizes = []
    for count in (2, 1000):
        rounds = [numbers(number, sent=number * 1000) for number in range(1, count + 1)]
        view = observed(rounds).nodes["a"]
        held = [view.first, view.last]
        sizes.append([len(each.values) for each in held if each is not None])
        assert view.rounds == count
    assert sizes[0] == sizes[1]


def test_the_table_puts_trouble_first_and_leaves_zeros_out() -> None:
    """The pod that sends again is above the node; metrics that are zero everywhere are counted."""
    rates = observed(LOSSY).nodes["a"].rates
    assert rates is not None
    table = table_of([rates], ("tcp",))
    assert [str(row.place) for row in table.rows] == ["a/shop/web-0", "a"]
    assert table.columns[0].name == "kubeskoop_tcp_retranssegs"
    shown = {metric.name for metric in table.columns}
    assert "kubeskoop_tcp_activeopens" not in shown
    assert table.zero == 2
    by_name = table_of([rates], ("tcp",), sort="kubeskoop_tcp_activeopens")
    assert by_name.columns[0].name == "kubeskoop_tcp_activeopens"


def test_one_pod_is_shown_alone() -> None:
    """Neither the node's numbers nor its findings."""
    seen = observed(LOSSY)
    made = summed(seen, pod=POD_NAME)
    assert [str(row.place) for row in made.table.rows] == ["a/shop/web-0"]
    assert len(made.findings) == 1
    assert summed(seen, pod=("shop", "other")).findings == ()


@pytest.mark.parametrize(
    ("value", "kind", "name", "said"),
    [
        (0, Kind.COUNTER, "x", "0"),
        (0.25, Kind.COUNTER, "x", "0.25/s"),
        (0.00001, Kind.COUNTER, "x", "<0.001/s"),
        (1234, Kind.COUNTER, "x_rxbytes", "1.23kB/s"),
        (999.9, Kind.GAUGE, "x", "1k"),
        (3_400_000, Kind.GAUGE, "x", "3.4M"),
        (5e12, Kind.GAUGE, "x_bytes", "5TB"),
    ],
)
def test_numbers_are_short(value: float, kind: Kind, name: str, said: str) -> None:
    """Three digits, a unit, and whether it is by the second."""
    assert in_short(value, kind, name) == said


def test_every_json_line_is_as_the_schema_says() -> None:
    """A hello, rounds, a break, the summary."""
    told = []
    seen = observed([], names="ab", errors={"b": DOWN})
    seen.told = lambda view, round_: told.append(round_to_json(view, round_)) if round_ else None

    async def scenario() -> None:
        for each in LOSSY:
            seen.round_came(seen.nodes["a"].host, each)

    asyncio.run(scenario())
    lines = [
        hello(("tcp",), "ab", 3, 1.0, "inventory.yaml"),
        *told,
        broken(seen.nodes["b"]),
        summary_to_json(summed(seen)),
    ]
    for each in lines:
        jsonschema.validate(json.loads(json.dumps(each)), schema())
    assert [each["type"] for each in lines] == ["hello", "round", "round", "round", "broken", "summary"]
    pod = [each for each in told[2]["series"] if each["labels"]["k8s_pod"]]
    sent = next(each for each in pod if each["metric"] == "kubeskoop_tcp_outsegs")
    assert (sent["value"], sent["per_s"]) == (3000, 1000)
    assert all(each["per_s"] is None for each in told[0]["series"])


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_summary_fits_its_width(width: int) -> None:
    """Also with findings, long reasons and long names of pods."""
    long = UnreachableError("b", "nothing listens on 10.0.0.1:22, " * 8)
    text = render_summary(summed(observed(LOSSY, names="ab", errors={"b": long})), width=width)
    assert max(map(len, text.splitlines())) <= width


def test_phases_follow_what_happens() -> None:
    """A state line is made of them."""
    seen = observed(QUIET, names="ab", errors={"b": DOWN})
    assert [view.phase for view in seen.nodes.values()] == [Phase.CONNECTED, Phase.BROKEN]
    seen.broken(seen.nodes["b"].host, DOWN, None)
    seen.ended(seen.nodes["a"].host)
    assert [view.phase for view in seen.nodes.values()] == [Phase.ENDED, Phase.GIVEN_UP]


def test_what_is_shown_of_ordinary_traffic_are_metrics() -> None:
    """A name that no metric has would be left out in silence."""
    assert [name for name in ORDINARY if name not in METRICS] == []
