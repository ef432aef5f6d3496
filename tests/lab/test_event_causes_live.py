"""Each event probe in the lab, by a real cause in a pod: events name that pod, both ends, the reason and the kind."""

from __future__ import annotations

import json
import os
import re
import socket
from pathlib import Path
from typing import NamedTuple

import pytest

from skoopctl.events.catalogue import EVENT_PROBES
from skoopctl.lab import Lab, LabOptions
from tests.kernel.busy_machine import BLOCK, busy, disk_under, write_and_read
from tests.lab.conftest import Labs
from tests.lab.event_causes import (
    CAUSES,
    HELD_S,
    LONG_S,
    PORTS,
    connection,
    pods,
    through_a_service,
    with_ipv6,
)
from tests.lab.event_runs import CALLER, SERVER, Json, Run, check_published, of_the_lab, watching
from tests.services.push_process import Pushing, pushing
from tests.services.servers import wait_until

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

NEIGHBOUR = "tools/web-b"
"""On the caller's node: what the two send each other passes one bridge, and no route of the lab's."""
SERVERS = {4: SERVER, 6: NEIGHBOUR}
SERVICE, SERVICE_PORT, ENDPOINT = "tools/demo", 8080, "tools/demo-5bf67dcbc9-hxtmt"
MACHINES = ("softirq", "runqueue", "biolatency", "virtcmdlatency")
"""What these see belongs to the whole machine, which is never idle while tests run."""
OF_PODS = tuple(name for name in EVENT_PROBES if name not in MACHINES)
MS = 1_000_000


class Wanted(NamedTuple):
    """An event that a cause must give. ``pod`` and the ends are the client or the server, by their words."""

    cause: str
    kind: str
    pod: str
    backwards: bool = False
    """Whether the packet went from the server to the client."""
    more: Json = {}  # noqa: RUF012 - never written
    least_s: float = 0.0


CLIENT_POD, SERVER_POD = "client", "server"
OUR_TASK = {"pid": os.getpid()}
WANTED = (
    Wanted("full_socket", "packet-loss", SERVER_POD, more={"reason": "SOCKET_RCVBUFF", "protocol": "UDP"}),
    Wanted(
        "closed_port",
        "packet-loss",
        SERVER_POD,
        more={"reason": "NO_SOCKET", "protocol": "TCP", "tcp_flags": "SYN"},
    ),
    Wanted("closed_port", "reset-no-socket", SERVER_POD, backwards=True, more={"reason": "NO_SOCKET"}),
    Wanted("closed_port", "reset-received", CLIENT_POD, backwards=True),
    Wanted("closed_port", "connect-failed", CLIENT_POD, more={"error": "ECONNREFUSED", **OUR_TASK}),
    Wanted("reset_by_program", "reset-active", CLIENT_POD),
    Wanted("reset_by_program", "reset-received", SERVER_POD),
    Wanted("stray_segment", "reset-process", SERVER_POD, backwards=True),
    Wanted("lost_segment", "packet-loss", SERVER_POD, more={"reason": "NETFILTER_DROP", "hook": "INPUT"}),
    Wanted("lost_segment", "retransmit", CLIENT_POD, more={"protocol": "TCP"}),
    Wanted("slow_reader", "read-very-slow", SERVER_POD, more=OUR_TASK, least_s=0.9 * LONG_S),
    Wanted(
        "slow_queue",
        "transmit-qdisc-slow",
        CLIENT_POD,
        more={"device": "eth0", "protocol": "UDP"},
        least_s=0.1,
    ),
    Wanted(
        "held_on_its_way_in", "receive-very-slow", SERVER_POD, more={"device": "eth0"}, least_s=0.9 * HELD_S
    ),
    Wanted(
        "held_on_its_way_out", "send-very-slow", CLIENT_POD, more={"device": "eth0"}, least_s=0.9 * HELD_S
    ),
    Wanted("held_on_its_way_out", "write-very-slow", CLIENT_POD, more=OUR_TASK, least_s=0.9 * HELD_S),
    Wanted(
        "names_that_fail", "dns-nxdomain", CLIENT_POD, more={"reason": "NXDOMAIN", "details_name": "nx.lab"}
    ),
    Wanted(
        "names_that_fail", "dns-error", CLIENT_POD, more={"reason": "SERVFAIL", "details_name": "fail.lab"}
    ),
    Wanted(
        "names_that_fail",
        "dns-timeout",
        CLIENT_POD,
        more={"reason": "NO_ANSWER", "details_name": "silent.lab"},
    ),
)
ROWS = [(family, row) for family in (4, 6) for row in WANTED]


def found(run: Run, lab: Lab, family: int, row: Wanted) -> list[Json]:
    """Return the events of a cause's kind between its two ends."""
    near, far = pods(lab, CALLER, SERVERS[family]).addresses[family]
    addresses = (
        ("destination_address", "source_address")
        if row.backwards
        else ("source_address", "destination_address")
    )
    port = ("source" if row.backwards else "destination") + "_port"
    wanted = {
        "kind": row.kind,
        addresses[0]: near,
        addresses[1]: far,
        port: PORTS[row.cause],
        **({name: row.more[name] for name in ("reason", "details_name") if name in row.more}),
    }
    return [event for event in run.events if wanted.items() <= event.items()]


@pytest.fixture(scope="module")
def run(labs: Labs) -> Run:
    """Watch everything of pods while everything goes wrong between two, over IPv4 and over IPv6."""
    the_lab = labs.fresh(LabOptions())
    service = next(each for each in the_lab.services if each.key == SERVICE)
    pairs = {family: pods(the_lab, CALLER, server) for family, server in SERVERS.items()}
    with with_ipv6(pairs[6]), watching(*OF_PODS, "--slow", "dns.timeout=500ms") as run:
        for family, pair in pairs.items():
            for cause in CAUSES:
                cause(pair, family, PORTS[cause.__name__])
        through_a_service(pairs[4], service.cluster_ip, SERVICE_PORT)
        # Each test says itself what is missing.
        run.waited(lambda: all(found(run, the_lab, *row) for row in ROWS))
        run.waited(lambda: len(calls_of_the_service(run, the_lab)) >= len(SERVERS))
    return run


def calls_of_the_service(run: Run, lab: Lab) -> dict[str, Json]:
    """Return the event of the new connection to the service, by node."""
    return {
        event["node"]: event
        for event in run.events
        if event["kind"] == "conntrack-new"
        and event["source_address"] == lab.plan.pod(CALLER).address
        and event["destination_port"] == SERVICE_PORT
    }


@pytest.mark.parametrize(
    ("family", "row"), ROWS, ids=[f"ipv{family}-{row.cause}-{row.kind}" for family, row in ROWS]
)
def test_a_cause_in_a_pod_is_told_of_that_pod(run: Run, lab: Lab, family: int, row: Wanted) -> None:
    """The event has the pod whose it is, its node, both ends with their names, and what the kernel tells of it."""
    events = found(run, lab, family, row)
    names = {CLIENT_POD: CALLER, SERVER_POD: SERVERS[family]}
    ends = (SERVER_POD, CLIENT_POD) if row.backwards else (CLIENT_POD, SERVER_POD)
    assert events, [event for event in run.events if event["kind"] == row.kind]
    check_published(events)
    for event in events:
        assert f"{event['namespace']}/{event['pod']}" == names[row.pod]
        assert event["node"] == lab.plan.pod(names[row.pod]).node
        assert {name: event.get(name) for name in row.more} == row.more
        assert event.get("latency_ns", 0) >= row.least_s * 1000 * MS
        assert "doubt" not in event
        if family == 4:
            told = [
                f"{event[f'{end}_namespace']}/{event[f'{end}_name']}" for end in ("source", "destination")
            ]
            assert told == [names[end] for end in ends]


def test_a_call_of_a_service_is_told_with_both_directions(run: Run, lab: Lab) -> None:
    """The caller's node has the service's address one way and the server's pod the other; the server's has the pod."""
    client, server = lab.plan.pod(CALLER), lab.plan.pod(ENDPOINT)
    new = calls_of_the_service(run, lab)
    assert new.keys() == {client.node, server.node}
    ends = {
        node: [
            (event[f"{end}_kind"], f"{event[f'{end}_namespace']}/{event[f'{end}_name']}")
            for end in ("source", "destination")
        ]
        for node, event in new.items()
    }
    assert ends == {
        client.node: [("pod", CALLER), ("service", SERVICE)],
        server.node: [("pod", CALLER), ("pod", ENDPOINT)],
    }
    check_published(new.values())
    for event in new.values():
        assert (event["details_reply_source"], event["details_reply_source_port"]) == (
            server.address,
            SERVICE_PORT,
        )
        assert (event["details_reply_destination"], event["details_reply_destination_port"]) == (
            client.address,
            event["source_port"],
        )
        assert event["details_state"] == "SYN_SENT"


def test_every_probe_ran_on_every_node_and_lost_nothing(run: Run) -> None:
    """What was told is all there was: no probe was missing, and no sample was lost."""
    assert run.summary["unavailable"] == []
    assert run.summary["events"]["lost"] == []
    assert run.summary["events"]["blind"] == []


def test_a_full_socket_loses_as_many_as_are_counted(run: Run, lab: Lab) -> None:
    """The count of the full socket's pod is that of the events that tell of it: none is left out, none told twice."""
    losses = [each for each in run.summary["events"]["happened"] if each["reason"] == "SOCKET_RCVBUFF"]
    # Other tests' sockets on this machine are full at times, too: those of no pod are not ours.
    counted = {
        f"{place['namespace']}/{place['pod']}": place["count"]
        for each in losses
        for place in each["places"]
        if place["pod"]
    }
    told = {SERVERS[family]: len(found(run, lab, family, WANTED[0])) for family in (4, 6)}
    assert counted == told
    assert all(told.values())


def test_a_healthy_idle_lab_tells_nothing(labs: Labs) -> None:
    """With every probe but those of the whole machine on, there is neither an event nor a count of one."""
    labs.fresh(LabOptions())
    with watching(*OF_PODS, more_s=4) as run:
        pass
    assert of_the_lab(run) == ([], []), json.dumps(of_the_lab(run))
    assert run.summary["unavailable"] == []


UP = 'skoopctl_event_probe_up{{k8s_node="{}",probe="flow",state="available"}}'
THERE, BACK = 123_457, 4_321
FLOW = re.compile(
    r'^kubeskoop_flow_bytes\{k8s_node="(?P<node>[^"]*)",protocol="TCP",.*src_pod="(?P<source>[^"]*)",'
    r'.*dst_pod="(?P<destination>[^"]*)",.*\} (?P<bytes>\d+)$',
    re.MULTILINE,
)


def flow_bytes(service: Pushing) -> dict[tuple[str, str, str], int]:
    """Return the bytes between the two pods as the page has them: by node, sender and receiver."""
    ours = {CALLER.partition("/")[2], SERVER.partition("/")[2]}
    rows = [match.groupdict() for match in FLOW.finditer(service.get("/metrics")[1])]
    return {
        (row["node"], row["source"], row["destination"]): int(row["bytes"])
        for row in rows
        if {row["source"], row["destination"]} == ours
    }


def sent(source: socket.socket, destination: socket.socket, size: int) -> None:
    """Send bytes and wait until all have come."""
    source.sendall(b"x" * size)
    while size:
        size -= len(destination.recv(size))


def test_a_transfer_has_its_bytes_exactly_with_both_pods(labs: Labs, tmp_path: Path) -> None:
    """What one pod sent another is, to the byte, what both nodes' series of these pods have, each way."""
    lab = labs.fresh(LabOptions())
    pair = pods(lab, CALLER, SERVER)
    hosts = [node.name for node in lab.nodes]
    config = {"inventories": [str(lab.inventory)], "kubeconfig": str(lab.kubeconfig), "probes": ["flow"]}
    caller, server = lab.plan.pod(CALLER), lab.plan.pod(SERVER)
    wanted = {
        (node, *ends): size
        for node in (caller.node, server.node)
        for ends, size in (((caller.name, server.name), THERE), ((server.name, caller.name), BACK))
    }
    with pushing(tmp_path, hosts, **config) as service, connection(pair, 4, 7650) as (near, far):
        wait_until(
            lambda: all(service.value(UP.format(node)) for node in hosts), "the probe to run everywhere"
        )
        sent(near, far, THERE)
        sent(far, near, BACK)
        wait_until(lambda: sum(flow_bytes(service).values()) >= sum(wanted.values()), "all bytes")
        assert flow_bytes(service) == wanted


MACHINE = ("softirq", "runqueue", "biolatency")
LOW = [
    *("--slow", "softirq.slow=0.01ms", "--slow", "softirq.very_slow=1m"),
    *("--slow", "runqueue.slow=1ms", "--slow", "biolatency.slow=0.01ms"),
]


@pytest.fixture(scope="module")
def busy_run(labs: Labs, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, list[int], str]:
    """Watch the machine by one node, with programs in a pod that share a CPU; return the run, these and the disk."""
    folder = tmp_path_factory.mktemp("disk")
    disk = disk_under(folder)
    pair = pods(labs.get(LabOptions()), CALLER, SERVER)
    with (
        watching(*MACHINE, *LOW, "-l", "node1-c4") as run,
        busy(pair.server, 3) as tasks,
    ):
        write_and_read(folder / "blocks", 5)
        run.waited(lambda: {each["probe"] for each in run.events} >= set(MACHINE))
        run.waited(
            lambda: {each["pid"] for each in run.events if each["kind"] == "runqueue-slow"} >= set(tasks)
        )
        run.waited(lambda: {each["reason"] for each in requests(run, disk)} >= {"READ", "WRITE"})
    return run, tasks, disk


def requests(run: Run, disk: str) -> list[Json]:
    """Return the events of requests that are as long as ours, to the disk that ours went to."""
    ours = ("block-slow", disk, BLOCK)
    return [
        event
        for event in run.events
        if (event["kind"], event.get("details_disk"), event.get("length")) == ours
    ]


def test_softirqs_are_told_of_the_node(busy_run: tuple[Run, list[int], str]) -> None:
    """A softirq is the machine's: the event has the node, the type and the CPU, and no pod."""
    events = [event for event in busy_run[0].events if event["probe"] == "softirq"]
    assert events
    check_published(events)
    assert {event["node"] for event in events} == {"node1-c4"}
    assert {event.get("pod") for event in events} == {None}
    assert {event["kind"] for event in events} <= {"softirq-wait-slow", "softirq-run-slow"}
    assert all(event["reason"] and event["cpu"] >= 0 for event in events)


def test_tasks_that_wait_for_a_cpu_are_told_of_their_pod(busy_run: tuple[Run, list[int], str]) -> None:
    """Each of the programs that share a CPU is told with the pod that it runs in, and no other program with it."""
    run, tasks, _ = busy_run
    ours = [event for event in run.events if event["kind"] == "runqueue-slow" and event["pid"] in tasks]
    assert {event["pid"] for event in ours} == set(tasks)
    assert {(event["node"], f"{event['namespace']}/{event['pod']}") for event in ours} == {
        ("node1-c4", SERVER)
    }
    assert all(event["latency_ns"] >= MS for event in ours)


def test_slow_requests_are_told_of_the_node_and_its_disk(busy_run: tuple[Run, list[int], str]) -> None:
    """A request to a disk has the node, the disk, the operation and the length, and no pod."""
    run, _, disk = busy_run
    events = requests(run, disk)
    assert {event["reason"] for event in events} >= {"READ", "WRITE"}
    assert {(event["node"], event.get("pod")) for event in events} == {("node1-c4", None)}
