"""Build a scenario in the guest, collect its evidence, try its flows, and leave nothing behind."""

from __future__ import annotations

import json
from pathlib import Path

from skoopctl.evidence import Request, decode_answer
from skoopctl.evidence.bundle import Bundle, HostRecord
from skoopctl.evidence.payload import job
from skoopctl.transport.base import HostStatus
from tests.vm.guest import Guest
from tests.vm.scenario import PRELUDE, Scenario
from tests.vm.truth import HOST, Row, rows_of

PROGRAM = "/run/inside.py"
PATIENCE_S = 2.5
CLEAR = """
[ -z "$1" ] || kill $1
for each in $(ls /run/netns 2>/dev/null); do ip netns del $each; done
rmdir /sys/fs/cgroup/vm-* 2>/dev/null || true
"""


def prepare(guest: Guest) -> None:
    """Put the prober into the guest, and let ARP give up soon: new devices take these timers from the first."""
    guest.run("sysctl -q -w net.ipv4.neigh.default.retrans_time_ms=200 net.ipv6.neigh.default.retrans_time_ms=200")
    guest.put(PROGRAM, (Path(__file__).parent / "inside.py").read_text())


def play(guest: Guest, scenario: Scenario) -> tuple[Bundle, tuple[Row, ...]]:
    """Return what was collected before anything was sent, and what became of each flow."""
    server = ""
    try:
        guest.run("bash -s", PRELUDE + scenario.script)
        server = guest.run(f"python3 {PROGRAM} serve", json.dumps(scenario.serve)).split()[-1]
        bundle = collected(guest)
        wanted = [
            [tried.source, tried.protocol, tried.address, tried.port, dict(tried.extra)]
            for tried in scenario.tries
            for _ in range(tried.times)
        ]
        answers = guest.run(
            f"python3 {PROGRAM} try", json.dumps({"timeout_s": PATIENCE_S, "flows": wanted})
        )
        return bundle, rows_of(scenario, json.loads(answers))
    finally:
        guest.run(f"sh -s {server}", CLEAR)


def collected(guest: Guest) -> Bundle:
    """Return the guest's evidence, by the connection that is open already."""
    asked = job(Request())
    evidence = decode_answer(HOST, guest.ask(asked.command, asked.stdin))
    assert evidence.complete, evidence.problem
    return Bundle({HOST: HostRecord(HostStatus.OK, "", evidence, address="127.0.0.1")}, inventory="tests/vm")
