"""What a watch of events comes to: counts by place, what took long, and that silence of the blind is no peace."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace

import jsonschema
import pytest

from skoopctl.bpf.stream import Said
from skoopctl.checks.finding import Severity
from skoopctl.errors import DeniedError
from skoopctl.inventory import InventoryHost
from skoopctl.sinks.json_lines import event_to_line, probe_to_json, schema, summary_to_json
from skoopctl.sinks.summary_text import render_summary
from skoopctl.watching.observation import Observation
from skoopctl.watching.summary import Summary, summary_of
from tests.unit.events.made_events import DROP
from tests.unit.events.node_said import WEB, batch, counts, histogram, lives, seen, setup, total
from tests.unit.probes.rounds import node_round

PEER = "b"


def observed(*said: Said, peer: Said | None = None, probes: tuple[str, ...] = ()) -> Observation:
    """Return what two nodes told in two rounds: `a` said all this, and `b` how its probe fares."""
    hosts = [InventoryHost(name, f"10.0.9.{index}") for index, name in enumerate(("a", PEER))]
    made = Observation(probes, hosts, events=("packetloss", "softirq"))

    async def scenario() -> None:
        for host in hosts:
            made.connecting(host)
            made.round_came(host, node_round(1, *lives()))
        for each in said:
            made.said(hosts[0], each)
        if peer is not None:
            made.said(hosts[1], peer)
        for host in hosts:
            made.round_came(host, node_round(2))
            made.ended(host)

    asyncio.run(scenario())
    return made


def summed(observation: Observation, **thresholds: float) -> Summary:
    """Return the summary of two rounds."""
    return summary_of(observation, 2, 1.0, thresholds)


def test_events_are_summed_by_kind_and_reason_with_their_places() -> None:
    """Counts are the node's, most first; samples are told apart from them."""
    told = (setup(), batch(seen(WEB)), counts(total(WEB, 40), total(WEB, 2, "NO_SOCKET"), lost=3, missed=2))
    events = summed(observed(*told, peer=setup())).events
    assert events is not None
    assert [(each.kind, each.reason, each.count) for each in events.happened] == [
        ("packet-loss", "NETFILTER_DROP", 40),
        ("packet-loss", "NO_SOCKET", 2),
    ]
    assert (events.told, events.lost, events.missed, events.blind) == (1, (("a", 3),), (("a", 2),), ())
    text = render_summary(summed(observed(*told, peer=setup())))
    assert re.search(r"^  packet-loss NETFILTER_DROP +40 a/unknown/", text, re.MULTILINE)
    assert "a: 3 samples found no room" in text
    assert "a: programs were busy 2 times; what happened then is in no count" in text


def test_a_finding_of_events_counts_for_the_exit_status() -> None:
    """Drops by rules are critical from the first on, unless another threshold is given."""
    told = (setup(), counts(total(WEB, 5)))
    found = summed(observed(*told, peer=setup()))
    assert [finding.id for finding in found.findings] == ["packets-dropped-by-rules"]
    assert found.exit_code(Severity.CRITICAL) == 1
    patient = summed(observed(*told, peer=setup()), **{"dropped-by-rules": 6})
    assert patient.exit_code(Severity.CRITICAL) == 0


@pytest.mark.parametrize(
    ("said", "peer", "probes", "code"),
    [
        (setup(), setup(), (), 0),
        (setup(), setup(status="degraded"), (), 0),
        (setup(), setup(status="unavailable", detail="no BTF"), (), 3),
        (setup(), None, (), 3),
        (setup(status="unavailable"), setup(status="unavailable"), (), 4),
        (setup(status="unavailable"), setup(status="unavailable"), ("tcp",), 3),
    ],
    ids=["both run", "one in part", "one cannot", "one never said", "none", "none, but metrics"],
)
def test_nodes_that_are_blind_are_no_quiet_nodes(
    said: Said, peer: Said | None, probes: tuple[str, ...], code: int
) -> None:
    """Where no event probe ran, the exit status and the text say so; one that runs in part has been watched."""
    summary = summed(observed(said, peer=peer, probes=probes))
    assert summary.exit_code(Severity.CRITICAL) == code
    text = render_summary(summary)
    assert ("none of the probes ran on" in text) == (code != 0)


def test_a_break_of_the_second_exec_makes_a_node_blind() -> None:
    """What the server refuses is the reason that the summary lists."""
    made = observed(setup(), peer=setup())
    made.events_broken(made.nodes[PEER].host, DeniedError(PEER, "no second exec"), None)
    summary = summed(made)
    assert summary.events is not None
    assert summary.events.blind == (PEER,)
    assert [lack.why for lack in summary.lacks if PEER in lack.nodes] == [
        "no second exec; it is not tried again"
    ]


def test_what_took_long_is_told_of_the_slowest_node() -> None:
    """One line for each thing, however many nodes there are; JSON has them all."""
    slow = counts(probe="softirq", histograms=[histogram(s5=50, s20=50)])
    summary = summed(
        observed(setup("softirq"), slow, peer=counts(probe="softirq", histograms=[histogram(s5=9)]))
    )
    lines = [line for line in render_summary(summary).splitlines() if "softirq wait NET_RX" in line]
    assert len(lines) == 1
    assert lines[0].split()[-3:] == ["of", "100", "a"]
    assert {row["node"] for row in summary_to_json(summary)["events"]["took"]} == {"a", "b"}


def test_every_line_is_as_the_schema_says() -> None:
    """Events, probes, and the summary with and without what could not be had."""
    made = observed(setup(), counts(total(WEB, 5)), peer=setup(status="unavailable", detail="no BTF"))
    lines = [
        json.loads(event_to_line(DROP)),
        json.loads(event_to_line(replace(DROP, source=None, calls=()))),
        *(probe_to_json(view, "packetloss") for view in made.nodes.values()),
        json.loads(json.dumps(summary_to_json(summed(made)))),
    ]
    for line in lines:
        jsonschema.validate(line, schema())
    assert lines[-2] == {
        "type": "probe",
        "node": "b",
        "probe": "packetloss",
        "state": "unavailable",
        "why": "no BTF",
        "backend": "core",
        "start_ms": 1.0,
    }
