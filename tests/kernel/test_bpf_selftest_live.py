"""The self-test of eBPF probes: it is seen by them, and by nobody who counts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from skoopctl.bpf.catalogue import PROBES
from skoopctl.bpf.program import BpfRequest
from tests.kernel.bpf_pair import Pair, Side, pair
from tests.kernel.bpf_watch import Watch
from tests.support.floods import flooding

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="loading programs needs root"),
]

FLOOD = 6000
"""Half as much again as the larger kind of buffer has room for."""
BASE = ("packetloss", "tcpreset", "tcpretrans")


@pytest.fixture(scope="module")
def wire() -> Iterator[Pair]:
    """Return a pair of namespaces for the tests of this file."""
    with pair("t") as made:
        yield made


def ran_in(
    side: Side,
    *probes: str,
    change: Callable[[str], str] | None = None,
    selftest: bool = True,
    buffers: str = "auto",
) -> Watch:
    """Return probes that have run for a moment as if that namespace were the node's own."""
    request = BpfRequest(probes, 0.5, (side.inode,), buffers, backend="core", selftest=selftest)
    with Watch(request, prefix=("nsenter", f"--net=/run/netns/{side.name}"), change=change) as watch:
        watch.wait()
    assert watch.ended_whole
    return watch


def test_every_probe_that_can_be_tested_sees_its_test(wire: Pair) -> None:
    """Each probe that loopback can provoke says ok with the time that it took, each other one says none."""
    watch = ran_in(wire.client, *PROBES)
    runs = [name for name in PROBES if PROBES[name].is_bpf and watch.setups[name].status != "unavailable"]
    results = {name: test.result for name, test in watch.tests.items()}
    assert results == {name: "ok" if PROBES[name].proof else "none" for name in runs}
    assert list(results.values()).count("ok") >= 6
    assert all(0 < watch.tests[name].ms < 5000 for name in runs if PROBES[name].proof)


def test_the_self_test_is_no_event_and_in_no_count(wire: Pair) -> None:
    """What the test provokes in the watched namespace is told by nobody: no event, no total, no flow."""
    watch = ran_in(wire.client, *BASE)
    assert watch.tests["packetloss"].result == watch.tests["tcpreset"].result == "ok"
    assert watch.events == []
    assert [counts.totals for counts in watch.counts.values()] == [()] * len(BASE)
    flows = {flow.source for counts in watch.counts.values() for flow in counts.flows}
    assert "127.0.0.1" not in flows


def test_a_program_that_is_never_called_is_told(wire: Pair) -> None:
    """A probe whose hook does not fire is degraded, with what it did not see; the others are not."""

    def elsewhere(source: str) -> str:
        assert "'target': 'tcp_receive_reset'" in source
        return source.replace("'target': 'tcp_receive_reset'", "'target': 'tcp_retransmit_synack'")

    watch = ran_in(wire.client, *BASE, change=elsewhere)
    setup = watch.setups["tcpreset"]
    assert (setup.status, watch.tests["tcpreset"].result) == ("degraded", "silent")
    assert setup.detail == "attached, and did not see what it was made to see: reset-received"
    assert {report.status for report in setup.hooks} == {"ok"}
    assert watch.setups["packetloss"].status == "ok"


@pytest.mark.parametrize("buffers", ["ring", "perf"])
@flooding()
def test_a_buffer_that_others_filled_before_the_test_makes_no_probe_silent(wire: Pair, buffers: str) -> None:
    """What came between attaching and the test, which takes BCC a minute, is thrown away before it."""
    fill = "many.lose_datagram()\n    deaf, sender = many.sockets\n"
    fill += (
        f"    for _ in range({FLOOD}):\n        sender.sendto(b'x', deaf.getsockname())\n    many.close()\n"
    )

    def busy(source: str) -> str:
        begins = "    stimulus = Stimulus()\n"
        assert source.count(begins) == 1
        return source.replace(begins, f"{begins}    many = Stimulus()\n    {fill}")

    watch = ran_in(wire.client, "packetloss", change=busy, buffers=buffers)
    assert (watch.setups["packetloss"].buffer, watch.tests["packetloss"].result) == (buffers, "ok")


def test_a_node_whose_loopback_is_down_is_no_silent_probe(wire: Pair) -> None:
    """Where nothing can be provoked, the result is none with the reason, and the probe is not blamed."""
    wire.server.run("ip", "link", "set", "lo", "down")
    try:
        watch = ran_in(wire.server, "tcpreset")
    finally:
        wire.server.run("ip", "link", "set", "lo", "up")
    assert (watch.tests["tcpreset"].result, watch.setups["tcpreset"].status) == ("none", "ok")
    assert watch.tests["tcpreset"].detail.startswith("loopback: ")


def test_a_node_that_drops_on_loopback_is_no_silent_probe(wire: Pair) -> None:
    """Where a rule keeps the connection from being refused, the probe of resets is not blamed for seeing none."""
    with wire.server.rule(4, "INPUT", "-i", "lo", "-p", "tcp", "-j", "DROP"):
        watch = ran_in(wire.server, "packetloss", "tcpreset")
    assert {name: test.result for name, test in watch.tests.items()} == {
        "packetloss": "ok",
        "tcpreset": "none",
    }
    assert "is not refused" in watch.tests["tcpreset"].detail
    assert watch.setups["tcpreset"].status == "ok"


def test_without_a_self_test_nothing_is_provoked(wire: Pair) -> None:
    """A request without it makes the kernel count no datagram for a closed port, and one with it exactly one."""

    def no_ports() -> int:
        lines = [line.split() for line in wire.client.run("cat", "/proc/self/net/snmp").splitlines()]
        names, values = (line for line in lines if line[0] == "Udp:")
        return int(values[names.index("NoPorts")])

    before = no_ports()
    watch = ran_in(wire.client, "packetloss", selftest=False)
    between = no_ports()
    ran_in(wire.client, "packetloss")
    assert (watch.tests, between - before, no_ports() - between) == ({}, 0, 1)
