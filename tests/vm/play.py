"""Build a scenario in the guest, collect its evidence, try its flows, and leave nothing behind."""

from __future__ import annotations

import json
from pathlib import Path

from skoopctl.evidence import Request, decode_answer
from skoopctl.evidence.bundle import Bundle, HostRecord
from skoopctl.evidence.payload import job
from skoopctl.transport.base import HostStatus
from tests.vm.guest import Guest
from tests.vm.scenario import PRELUDE, Scenario, Try
from tests.vm.truth import HOST, Heard, Row

PROGRAM = "/run/inside.py"
PATIENCE_S = 2.5
LONG_S = 30.0
"""For answers that are known to come."""
SETTINGS = (
    "net.ipv4.neigh.default.retrans_time_ms=200",
    "net.ipv6.neigh.default.retrans_time_ms=200",
    "net.ipv4.route.error_cost=0",
)
CLEAR = """
[ -z "$1" ] || kill $1
for each in $(ls /run/netns 2>/dev/null); do ip netns del $each; done
! [ -d /sys/module/br_netfilter ] || rmmod br_netfilter
rmdir /sys/fs/cgroup/vm-* 2>/dev/null || true
"""


def prepare(guest: Guest) -> None:
    """Put the prober into the guest, and set what holds for all its namespaces.

    ARP gives up soon (new devices take their timers from the first namespace), and a router says of every packet
    that it has no route for it (net/ipv4/route.c: ip_error allows five at once, and then one a second).
    """
    guest.run(f"sysctl -q -w {' '.join(SETTINGS)}")
    guest.put(PROGRAM, (Path(__file__).parent / "inside.py").read_text())


def play(guest: Guest, scenario: Scenario, known: tuple[Row, ...] = ()) -> tuple[Bundle, tuple[Row, ...]]:
    """Return what was collected before anything was sent, and what became of each flow.

    ``known`` is what became of them before: as many answers are waited for for longer.
    """
    server = ""
    try:
        guest.run("bash -s", PRELUDE + scenario.script)
        server = guest.run(f"python3 {PROGRAM} serve", json.dumps(scenario.serve)).split()[-1]
        bundle = collected(guest)
        heard = {
            tried: answer
            for first in (True, False)
            for tried, answer in _tried(guest, scenario, known, first=first)
        }
        return bundle, tuple(Row(tried, heard[tried]) for tried in scenario.tries)
    finally:
        guest.run(f"sh -s {server}", CLEAR)


def _tried(
    guest: Guest, scenario: Scenario, known: tuple[Row, ...], *, first: bool
) -> list[tuple[Try, tuple[Heard, ...]]]:
    """Try the flows that come first, or the others, all at once."""
    chosen = [tried for tried in scenario.tries if tried.first is first]
    wanted = [
        [tried.source, tried.protocol, tried.address, tried.port, dict(tried.extra)]
        for tried in chosen
        for _ in range(tried.times)
    ]
    if not wanted:
        return []
    expected = [
        heard
        for row in known
        if row.tried.label in {tried.label for tried in chosen} and not row.tried.either
        for heard in row.heard
        if heard.outcome != "timeout"
    ]
    asked = json.dumps({"flows": wanted, "timeout_s": PATIENCE_S, "answers": len(expected), "long_s": LONG_S})
    answers = iter(json.loads(guest.run(f"python3 {PROGRAM} try", asked)))
    return [(tried, tuple(Heard(*next(answers)) for _ in range(tried.times))) for tried in chosen]


def collected(guest: Guest) -> Bundle:
    """Return the guest's evidence, by the connection that is open already."""
    asked = job(Request())
    evidence = decode_answer(HOST, guest.ask(asked.command, asked.stdin))
    assert evidence.complete, evidence.problem
    return Bundle({HOST: HostRecord(HostStatus.OK, "", evidence, address="127.0.0.1")}, inventory="tests/vm")
