"""The built programs on other kernels and on another machine: they load there, and tell what they must."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from skoopctl.evidence import ItemStatus
from tests.kernel.bpf_delays import delay_of
from tests.kernel.tunnel_packets import INSIDE
from tests.vm.bpf_seen import (
    KINDS_TOLD,
    TOLD,
    Seen,
    caused,
    check_started,
    check_sums,
    is_of_a_cause,
    left_as_it_was,
    seen_by,
)
from tests.vm.conftest import collect
from tests.vm.guest import Guest
from tests.vm.image_in_memory import Release

pytestmark = [pytest.mark.vm, pytest.mark.timeout(900, func_only=True)]


@pytest.fixture(scope="module")
def causes(released: Guest) -> Iterator[Guest]:
    """Return a guest while what the probes must see goes on in it."""
    with caused(released):
        yield released


@pytest.fixture(scope="module")
def seen(causes: Guest) -> Seen:
    """Return what the programs see; they leave nothing."""
    return left_as_it_was(causes, "core")


def test_every_probe_starts_and_sees_its_self_test(
    seen: Seen, release: Release, record_property: Callable[[str, object], None]
) -> None:
    """Each built program is taken by the verifier, attached, and has seen what it was shown."""
    took = {name: f"{setup.ms['all']:.0f} ms" for name, setup in seen.setups.items()}
    record_property("counted", f"start on {release}: {took}")
    check_started(seen, "core")


def test_losses_and_resets_are_told(seen: Seen, release: Release) -> None:
    """Refused connections, datagrams for nobody, and what a rule drops: with reasons or hooks, ends and tunnels."""
    assert {kind for kind, *_ in seen.kinds_of_events} == {"packet-loss", "reset-no-socket", "reset-received"}
    losses = {
        (event.reason_name, event.hook, event.destination, event.destination_port)
        for event in seen.events
        if event.kind == "packet-loss" and event.destination_port in {4445, 4446}
    }
    why = {4445: ("NO_SOCKET", ""), 4446: ("NETFILTER_DROP", "INPUT")}
    assert losses == {
        (reason if release.tells_reasons else "", hook, address, port)
        for port, (reason, hook) in why.items()
        for address in ("127.0.0.1", "::1")
    }
    by_rules = {flow.destination_port for flow in seen.counts["packetloss"].flows if flow.netfilter}
    assert by_rules == ({4446} if release.tells_reasons else set()), (
        "without reasons, events alone tell of rules"
    )
    carried = {event.inner.destination for event in seen.events if event.inner is not None}
    assert carried == {ends[1] for ends in INSIDE.values()}


@pytest.mark.parametrize("probe", TOLD)
def test_what_takes_long_is_told(seen: Seen, probe: str) -> None:
    """Each latency has its kinds and sensible times, of what the causes did."""
    events = [event for event in seen.events if event.probe == probe and is_of_a_cause(event)]
    assert events
    assert {event.kind for event in events} <= KINDS_TOLD[probe]
    assert all(0 < delay_of(event).latency_ns < 60e9 for event in events)
    assert seen.counts[probe].histograms


def test_softirqs_and_waits_for_a_cpu_are_measured(seen: Seen) -> None:
    """The softirqs that always come have both histograms, and a task that waited has its namespaces and group."""
    rows = {(row.stage, row.type) for row in seen.counts["softirq"].histograms}
    assert rows >= {(stage, word) for stage in ("wait", "run") for word in ("TIMER", "NET_RX", "RCU")}
    waited = [event for event in seen.events if event.probe == "runqueue"]
    assert {event.kind for event in waited} == {"runqueue-slow"}
    ours = [event for event in waited if delay_of(event).task == "python3"]
    assert any(event.netns and event.cgroup and delay_of(event).pid for event in ours)


def test_samples_and_losses_add_up(seen: Seen) -> None:
    """What was counted was sampled, or lost and said so."""
    check_sums(seen)


def test_perf_buffers_bring_the_same(causes: Guest, seen: Seen) -> None:
    """Where a kernel has no ring buffer, the same events come by a perf buffer of each CPU."""
    by_perf = seen_by(causes, "core", buffers="perf")
    assert {setup.buffer for setup in by_perf.setups.values()} == {"perf"}
    assert by_perf.kinds_of_events == seen.kinds_of_events


def test_a_node_is_collected_whole(causes: Guest, release: Release) -> None:
    """The node program reads all that there is, and says which machine it is."""
    evidence = collect(causes).evidence
    assert evidence.complete
    assert {item.status for item in evidence.items.values()} == {ItemStatus.OK, ItemStatus.ABSENT}
    identity = evidence.item("identity")
    assert identity is not None
    assert json.loads(identity.payload)["machine"] == release.machine.name
