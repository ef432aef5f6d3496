"""Series of a real kernel: traffic changes those that it should, by as much as it should, and no others."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator

import pytest

from skoopctl.evidence.request import SampleRequest
from skoopctl.probes.anomalies import anomalies
from skoopctl.probes.catalogue import PROBES, items_of
from skoopctl.probes.node_series import NodeSeries
from skoopctl.probes.rates import rates
from skoopctl.probes.sample import Snapshot, State
from tests.lab.node_host import NodeHost
from tests.lab.sampled_host import UID, Conversation, pod_groups, pod_scope

pytestmark = [pytest.mark.lab, pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces take root")]

POD = ("unknown", UID.format(1))
REFUSED = 50
REFUSE = f"""
import socket
for _ in range({REFUSED}):
    try: socket.create_connection(("127.0.0.1", 9))
    except ConnectionRefusedError: pass
"""
SENT = 1000
OVERRUN = f"""
import socket
full = socket.socket(type=socket.SOCK_DGRAM); full.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
full.bind(("127.0.0.1", 0)); full.setblocking(False)
client = socket.socket(type=socket.SOCK_DGRAM)
for _ in range({SENT}): client.sendto(b"x" * 100, full.getsockname())
kept = 0
try:
    while full.recv(200): kept += 1
except BlockingIOError: pass
print(kept)
"""
# A queue of two, three that connect and two whose handshake is dropped; they go on asking.
OVERFLOW = """
import socket, time
listener = socket.socket(); listener.bind(("127.0.0.1", 9000)); listener.listen(1)
made = []
for _ in range(5):
    made.append(socket.socket()); made[-1].setblocking(False)
    try: made[-1].connect(("127.0.0.1", 9000))
    except BlockingIOError: pass
time.sleep(1000)
"""


class Measured:
    """A host with a pod, watched: its series now, and what has grown since a moment."""

    def __init__(self, host: NodeHost, told: Conversation, netns: int) -> None:
        self.host, self.told, self.netns = host, told, netns
        self.series = NodeSeries("n1", list(PROBES))
        self.series.apply(told.next())

    def in_pod(self, script: str, *, stays: bool = False) -> str:
        """Run a script in the pod's network namespace, as a process of no pod; one that stays goes on beside us."""
        python = f"/usr/bin/python3 -c {shlex.quote(script)}"
        command = f"nohup {python} >/dev/null 2>&1 &" if stays else python
        return self.host.run(
            f"for p in $(ps -e -o pid=); do "
            f'if [ "$(stat -L -c %i /proc/$p/ns/net 2>/dev/null)" = {self.netns} ]; then '
            f"exec nsenter -t $p -n sh -c {shlex.quote(command)}; fi; done"
        )

    def until(self, metric: str, at_least: float, pod: tuple[str, str] = POD) -> Snapshot:
        """Take rounds until a series of the pod has a value, and return all series then."""
        key = metric, ("n1", *pod)

        def there() -> bool:
            self.series.apply(self.told.rounds[-1])
            return self.series.snapshot().values.get(key, -1) >= at_least

        self.told.until(there)
        return self.series.snapshot()


@pytest.fixture
def measured() -> Iterator[Measured]:
    """Return a host with one pod, whose rounds come fast."""
    with pod_groups() as base:
        host = NodeHost.start()
        try:
            host.run("ip link set lo up; ip link add cni0 type bridge; ip addr add 10.244.9.1/24 dev cni0")
            host.run("ip link set cni0 up")
            join = f"echo 0 >{pod_scope(base, 1)}/cgroup.procs"
            netns = host.add_pod("p1", "10.244.9.11", f"{join}; exec sleep 9000")
            request = SampleRequest(items_of(PROBES), interval_s=0.2)
            with Conversation(host, request) as told:
                yield Measured(host, told, netns)
        finally:
            host.stop()


def grown(before: Snapshot, after: Snapshot, pod: tuple[str, str]) -> dict[str, float]:
    """Return which counters of a pod have grown by how much, without KubeSkoop's prefix; devices and I/O aside."""
    found = rates(before, after).growth.items()
    return {
        name.removeprefix("kubeskoop_"): number
        for (name, labels), number in found
        if number and labels[1:] == pod and not name.startswith(("kubeskoop_io_", "kubeskoop_softnet_"))
    }


def test_refused_connections_are_counted_in_their_pod(measured: Measured) -> None:
    """Fifty refused connects in a pod are fifty attempts, failures and resets there, and nothing in the host's."""
    before = measured.series.snapshot()
    failed = "kubeskoop_tcp_attemptfails"
    start = before.values[failed, ("n1", *POD)]
    measured.in_pod(REFUSE)
    after = measured.until(failed, start + REFUSED)
    counted = {"tcp_activeopens": REFUSED, "tcp_attemptfails": REFUSED, "tcp_outrsts": REFUSED}
    segments = dict.fromkeys(("tcp_insegs", "tcp_outsegs"), 2 * REFUSED)
    # IP's own are left out: the bridge sends a query of multicast groups when it likes.
    found = {name: n for name, n in grown(before, after, POD).items() if name.startswith("tcp")}
    assert found == counted | segments
    assert not {name for name in grown(before, after, ("", "")) if name.startswith("tcp_")}


def test_datagrams_for_a_full_socket_are_counted_one_by_one(measured: Measured) -> None:
    """Of a thousand datagrams to a socket that nobody reads, those that did not fit are receive buffer errors."""
    before = measured.series.snapshot()
    kept = int(measured.in_pod(OVERRUN))
    # Those are counted when they are read, after all have been sent: a round may come between.
    start = before.values["kubeskoop_udp_indatagrams", ("n1", *POD)]
    after = measured.until("kubeskoop_udp_indatagrams", start + kept)
    found = {name: number for name, number in grown(before, after, POD).items() if name.startswith("udp_")}
    assert 0 < kept < SENT
    assert found == {
        "udp_outdatagrams": SENT,
        "udp_indatagrams": kept,
        "udp_rcvbuferrors": SENT - kept,
        "udp_inerrors": SENT - kept,
    }


def test_a_full_accept_queue_is_a_finding_at_its_pod(measured: Measured) -> None:
    """A listener that nobody accepts from has its connections in the accept queue, and the overflow is a finding."""
    before = measured.series.snapshot()
    measured.in_pod(OVERFLOW, stays=True)
    measured.until("kubeskoop_tcpext_listenoverflows", 1)
    after = measured.until("skoopctl_tcp_accept_queue", 2)
    assert after.values["skoopctl_tcp_accept_queue", ("n1", *POD)] == 2
    (finding,) = [each for each in anomalies("n1", before, after) if each.id == "tcp-listen-overflow"]
    assert finding.where.namespace == "/".join(POD)
    assert finding.summary.startswith(f"pod {'/'.join(POD)} on n1: ")


def test_every_probe_of_this_kernel_has_numbers(measured: Measured) -> None:
    """All probes but those that need a module or hardware have series of the node, and say that they are available."""
    told = measured.series.availability()
    lacking = {name for name, each in told.items() if each.state is State.UNAVAILABLE}
    assert lacking <= {"ipvs", "rdma"}
    shown = {sample.metric.name.split("_")[1] for sample in measured.series.values()}
    assert set(PROBES) - lacking <= shown


def test_a_pods_own_device_is_counted_and_its_loopback_is_not(measured: Measured) -> None:
    """What a pod sends to itself by lo is none of its device's traffic."""
    before = measured.series.snapshot()
    measured.in_pod(OVERRUN)
    start = before.values["kubeskoop_udp_outdatagrams", ("n1", *POD)]
    after = measured.until("kubeskoop_udp_outdatagrams", start + SENT)
    assert grown(before, after, POD).get("netdev_txpackets", 0) < SENT / 10
