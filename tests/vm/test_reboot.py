"""A node that reboots while it is watched, as one does at night: at once, with no connection closed."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.lab.event_runs import INTERRUPTED, Run, told
from tests.lab.running_lab import skoopctl
from tests.vm.guest import Guest, running_guest
from tests.vm.image import Image

pytestmark = [pytest.mark.vm, pytest.mark.timeout(900, func_only=True)]

BOOT_S = 240.0
BEFORE, AFTER = (4445, 3), (4446, 5)
"""Ports where nobody listens, and how many datagrams are sent there."""
SEND = """
import socket
with socket.socket(type=socket.SOCK_DGRAM) as made:
    for _ in range({1}):
        made.sendto(b"x", ("127.0.0.1", {0}))
"""
ROUNDS = 4
"""What was counted comes about as often as rounds do, from another program of the node."""
RUNNING = """
timeout 100 systemctl is-system-running --wait >/dev/null
for each in /proc/*/fd/*; do readlink $each; done 2>/dev/null | grep -c -e bpf-prog -e bpf-map -e bpf_link
pgrep -c python3
true
"""
"""What systemd has loaded once it has started everything, and nothing of ours."""


@contextmanager
def watched(guest: Guest) -> Iterator[Run]:
    """Watch what the guest loses."""
    how = ("-d", "10m", "--interval", "2s", "--json", "--fail-on", "fatal")
    run = Run(skoopctl("probe", "run", "packetloss", "-i", str(guest.inventory()), *how))
    try:
        yield run
    finally:
        run.end()


def starts(run: Run) -> int:
    """Return how often the probe has started."""
    return sum(line["type"] == "probe" for line in list(run.lines))


def rounds(run: Run) -> int:
    """Return how many rounds have come."""
    return sum(line["type"] == "round" for line in list(run.lines))


def lost(guest: Guest, run: Run, port: int, datagrams: int) -> None:
    """Send datagrams that nobody takes, and wait until they are told."""
    guest.run("python3 -", SEND.format(port, datagrams))
    assert run.waited(lambda: len(told(run, "packet-loss", destination_port=port)) == datagrams, 60)


def test_a_node_that_reboots_half_way_is_told_and_watched_on(built: Image) -> None:
    """The reboot is in the summary, the probe runs again, what was before and after is added up, nothing stays."""
    with running_guest(built, reboots=True) as guest:
        before = guest.run(RUNNING)
        with watched(guest) as run:
            assert run.waited(lambda: starts(run) == 1, 120)
            lost(guest, run, *BEFORE)
            seen = rounds(run)
            assert run.waited(lambda: rounds(run) >= seen + ROUNDS, 120), "the sums of what was told"
            guest.reboot()
            assert run.waited(lambda: starts(run) == 2, BOOT_S), run.lines[-3:]
            lost(guest, run, *AFTER)
            run.process.send_signal(signal.SIGINT)
            run.reader.join(60)
            assert run.process.wait(60) == INTERRUPTED
        (node,) = run.summary["nodes"]
        assert (node["status"], node["reboots"], node["breaks"] > 0) == ("ok", 1, True)
        # QEMU's side knows nothing of the reboot: what it sends on of old connections is lost for the same reason.
        lost_so = [each for each in told(run, "packet-loss") if each["reason"] == "NO_SOCKET"]
        ports = {port for port, _ in (BEFORE, AFTER)}
        ours = [each for each in lost_so if each["destination_port"] in ports]
        assert len(ours) == BEFORE[1] + AFTER[1]
        (happened,) = (row for row in run.summary["events"]["happened"] if row["reason"] == "NO_SOCKET")
        assert sum(place["count"] for place in happened["places"]) == len(lost_so)
        assert guest.becomes(RUNNING, before)
