"""The other backends on Debian's kernel, with its headers: what they see is what the built programs see."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.kernel.bpf_delays import delay_of
from tests.kernel.tunnel_packets import INSIDE
from tests.vm.bpf_seen import (
    KINDS_TOLD,
    PROGRAMS,
    TOLD,
    Seen,
    all_seen_by,
    caused,
    check_started,
    check_sums,
    is_of_a_cause,
    left_as_it_was,
    seen_by,
)
from tests.vm.guest import Guest

pytestmark = [pytest.mark.vm, pytest.mark.timeout(2400, func_only=True)]


@pytest.fixture(scope="module")
def causes(guest: Guest) -> Iterator[Guest]:
    """Return the guest while what the probes must see goes on."""
    with caused(guest):
        yield guest


@pytest.fixture(scope="module")
def core(causes: Guest) -> Seen:
    """Return what the built programs see."""
    return all_seen_by(causes, "core")


@pytest.fixture(scope="module")
def bcc(causes: Guest) -> Seen:
    """Return what BCC's see; they leave nothing."""
    return left_as_it_was(causes, "bcc")


def test_bcc_compiles_every_probe_and_takes_far_longer(
    core: Seen, bcc: Seen, record_property: Callable[[str, object], None]
) -> None:
    """Each probe runs by BCC, whole, and has seen its self-test; how long both took to start is told side by side."""
    took = {
        name: f"core {core.setups[name].ms['all']:.0f} ms, BCC {setup.ms.get('compile', 0) / 1e3:.1f} s"
        for name, setup in bcc.setups.items()
    }
    record_property(
        "counted", f"start in the guest: BTF {core.setups['tcpreset'].ms['btf']:.0f} ms once; {took}"
    )
    check_started(core, "core")
    check_started(bcc, "bcc")


def test_bcc_sees_what_the_built_programs_see(core: Seen, bcc: Seen) -> None:
    """For the same causes both backends give the same events, reasons and flows, with what tunnels carry."""
    assert {kind for kind, *_ in core.kinds_of_events} == {"packet-loss", "reset-no-socket", "reset-received"}
    assert bcc.kinds_of_events == core.kinds_of_events
    apart = [
        {
            (flow.kind, flow.source, flow.destination, flow.destination_port, flow.netfilter)
            for flow in each.counts["packetloss"].flows
            if flow.destination_port in {4444, 4445, 4446}
        }
        for each in (core, bcc)
    ]
    assert apart[0] == apart[1]
    assert {row[-1] for row in apart[0] if row[3] == 4446} == {True}, "what the rule drops is counted apart"
    carried = {event.inner.destination for event in bcc.events if event.inner is not None}
    assert carried == {ends[1] for ends in INSIDE.values()}
    for seen in (core, bcc):
        check_sums(seen)


@pytest.mark.parametrize("probe", TOLD)
def test_bcc_measures_what_the_built_programs_measure(core: Seen, bcc: Seen, probe: str) -> None:
    """For the same causes both backends tell the same kinds, ends, tasks and devices, over IPv4 and IPv6."""
    found = []
    for seen in (core, bcc):
        events = [event for event in seen.events if event.probe == probe and is_of_a_cause(event)]
        assert {event.kind for event in events} <= KINDS_TOLD[probe]
        assert all(0 < delay_of(event).latency_ns < 60e9 for event in events)
        found.append({TOLD[probe](event) for event in events})
    assert found[1] == found[0] != set()
    rows = [{(row.stage, row.type) for row in seen.counts[probe].histograms} for seen in (core, bcc)]
    assert rows[0] & rows[1]
    assert len({stage for stage, _ in rows[1]}) == len({stage for stage, _ in rows[0]})


def test_bcc_measures_softirqs_and_waits_for_a_cpu(core: Seen, bcc: Seen) -> None:
    """Both backends count waits and runs of the softirqs that always come, and tell which task waited where."""
    for seen in (core, bcc):
        rows = {(row.stage, row.type) for row in seen.counts["softirq"].histograms}
        assert rows >= {(stage, word) for stage in ("wait", "run") for word in ("TIMER", "NET_RX", "RCU")}
        waited = [event for event in seen.events if event.probe == "runqueue"]
        assert {event.kind for event in waited} == {"runqueue-slow"}
        ours = [event for event in waited if delay_of(event).task == "python3"]
        # One that is ending has neither namespaces nor a group any more.
        assert (True, True, True) in {
            (delay_of(event).pid > 0, event.netns > 0, event.cgroup > 0) for event in ours
        }
        assert all(1e6 <= delay_of(event).latency_ns < 60e9 for event in waited)


def losses(seen: Seen) -> set[tuple[object, ...]]:
    """Return what tracefs tells of losses too."""
    kinds = {event.kind for event in seen.events} - {"packet-loss"}
    assert kinds, "there are resets beside the losses"
    return {
        (event.reason_name, event.function, event.ethertype)
        for event in seen.events
        if event.kind == "packet-loss" and event.reason_name in {"NO_SOCKET", "NETFILTER_DROP"}
    }


def test_tracefs_reads_the_events_of_this_kernel(causes: Guest, core: Seen) -> None:
    """Before 6.10 there are no resets without a socket; what there is has the same reasons, functions and ends."""
    before = causes.run(PROGRAMS + "ls /sys/kernel/tracing/instances")
    seen = seen_by(causes, "tracefs")
    assert seen.whole
    assert {(setup.backend, setup.status) for setup in seen.setups.values()} == {("tracefs", "degraded")}
    assert {name: test.result for name, test in seen.tests.items()} == {
        "packetloss": "ok",
        "tcpreset": "ok",
        "tcpretrans": "none",
    }
    assert "resets without a socket (since 6.10)" in seen.setups["tcpreset"].missing
    assert losses(seen) == losses(core)
    received = [
        {
            (event.family, event.source, event.source_port, event.destination)
            for event in each.events
            if event.kind == "reset-received" and event.source_port == 4444
        }
        for each in (seen, core)
    ]
    assert received[0] == received[1] != set()
    assert causes.becomes(PROGRAMS + "ls /sys/kernel/tracing/instances", before)


def test_counters_of_this_kernel(causes: Guest) -> None:
    """By /proc there are datagrams for nobody and resets that were sent, and nothing of what the rule drops."""
    seen = seen_by(causes, "proc")
    rows = [total for counts in seen.counts.values() for total in counts.totals]
    assert {(row.kind, row.reason_name) for row in rows} >= {("packet-loss", "NO_SOCKET"), ("reset-sent", "")}
    assert not {row.reason_name for row in rows} & {"NETFILTER_DROP"}
    assert seen.events == []
