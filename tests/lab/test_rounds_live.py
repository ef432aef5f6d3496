"""Rounds of the node program on a real kernel: what they tell, what they cost, what they leave."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import select
import shlex
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from skoopctl.evidence.item import ItemStatus
from skoopctl.evidence.payload import SAMPLE_FILES, joined, sample_job
from skoopctl.evidence.request import SAMPLE_ITEMS, SampleRequest
from skoopctl.evidence.rounds import HOST
from skoopctl.kernel.host_facts import pod_uid
from skoopctl.kernel.netlink import decode_links
from tests.lab.node_host import NodeHost, wait_until
from tests.lab.sampled_host import DEADLINE_S, UID, Conversation, pod_groups, pod_scope
from tests.lab.sshd_host import in_time

pytestmark = [pytest.mark.lab, pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces take root")]

FILES = {
    "snmp": "snmp",
    "netstat": "netstat",
    "net-dev": "dev",
    "sockstat": "sockstat",
    "sockstat6": "sockstat6",
}
STATES = {
    "ESTAB": 1, "SYN-SENT": 2, "SYN-RECV": 3, "FIN-WAIT-1": 4, "FIN-WAIT-2": 5, "TIME-WAIT": 6, "CLOSE-WAIT": 8,
    "LAST-ACK": 9, "LISTEN": 10, "CLOSING": 11,
}  # fmt: skip
# Sockets in most of the states there are; those in FIN_WAIT_1 and CLOSE_WAIT have bytes in their queues.
SOCKETS = """
import socket, time
here = ("127.0.0.1", 9000)
def pair():
    out = socket.create_connection(here); return out, listener.accept()[0]
listener = socket.create_server(here)
six = socket.create_server(("::1", 9001), family=socket.AF_INET6)
waiting = socket.create_connection(here); listener_queue = socket.create_connection(("::1", 9001))
waiting = listener.accept()[0]
idle = pair()
full, slow = pair(); full.setblocking(False)
try:
    while full.send(bytes(65536)): pass
except BlockingIOError: pass
full.close()
half, other = pair(); half.shutdown(socket.SHUT_WR); other.sendall(b"abc")
done, there = pair(); done.close(); there.recv(1); there.close()
asking = socket.socket(); asking.setblocking(False)
try: asking.connect(("127.0.0.1", 9100))
except BlockingIOError: pass
refusing = socket.create_server(("127.0.0.1", 9100))
time.sleep(1000)
"""
DATAGRAMS = """
import socket
for _ in range(3): socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("10.244.9.11", 9))
"""
CLIENT = """
import subprocess, sys
program = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
program.stdin.write(sys.stdin.buffer.read()); program.stdin.flush()
program.stdout.read()
"""


@pytest.fixture
def groups() -> Iterator[Path]:
    """Return a folder for pods' control groups."""
    with pod_groups() as base:
        yield base


@pytest.fixture
def host(groups: Path) -> Iterator[NodeHost]:
    """Return a host without pods; its groups go after it."""
    assert groups.is_dir()
    made = NodeHost.start()
    try:
        made.run(
            "ip link set lo up; ip link add cni0 type bridge; ip addr add 10.244.9.1/24 dev cni0; ip link set cni0 up"
        )
        yield made
    finally:
        made.stop()


def pod(host: NodeHost, base: Path, number: int, command: str = "exec sleep 9000") -> int:
    """Start a pod in its control group; return the inode of its namespace."""
    join = f"echo 0 >{pod_scope(base, number)}/cgroup.procs"
    return host.add_pod(f"p{number}", f"10.244.9.{number + 10}", f"{join}; {command}")


def every(interval_s: float, *items: str, rounds: int = 0, lease_s: float = 300.0) -> SampleRequest:
    """Return a request for some items, or for all."""
    return SampleRequest(items or SAMPLE_ITEMS, interval_s=interval_s, rounds=rounds, lease_s=lease_s)


def pid_in(host: NodeHost, netns: int) -> str:
    """Return a process of a namespace, as the host counts."""
    found = host.run(
        f'for p in $(ps -e -o pid=); do [ "$(stat -L -c %i /proc/$p/ns/net 2>/dev/null)" != {netns} ] || echo $p; done'
    )
    return found.split()[0]


def own_words(text: str) -> str:
    """Return a file without what sockstat tells of the whole machine (net/ipv4/proc.c: sockstat_seq_show)."""
    return re.sub(r"\b(orphan|alloc|mem) \d+", r"\1 -", text)


def test_counters_are_those_of_proc(host: NodeHost, groups: Path) -> None:
    """Every file comes as it is, of the host's namespace and of the pod's, and what has changed comes again whole."""
    netns = pod(host, groups, 1)
    inside = f"/proc/{pid_in(host, netns)}/net"
    with Conversation(host, every(0.05, *FILES)) as told:
        told.next()
        assert {inode for inode, _ in told.state} == {host.root_inode(), netns}
        host.run(f"/usr/bin/python3 -c {shlex.quote(DATAGRAMS)}")
        # The kernel goes on counting for a while (neighbours are asked again): both must be read alike.
        for item, file in FILES.items():
            told.until(
                lambda item=item, file=file: (
                    own_words(told.text(item, netns)) == own_words(host.run(f"cat {inside}/{file}"))
                )
            )
        head, numbers = (
            line.split() for line in told.text("snmp", netns).splitlines() if line.startswith("Udp:")
        )
        assert dict(zip(head, numbers, strict=True))["NoPorts"] == "3"


def test_the_first_round_tells_everything_and_the_next_ones_what_changed(
    host: NodeHost, groups: Path
) -> None:
    """Each item of each namespace comes once, however it went, and nothing that stays as it was comes again."""
    netns = pod(host, groups, 1)
    with Conversation(host, every(0.2)) as told:
        first = told.next()
        seen = Counter((change.netns, change.item) for change in first.changes)
        assert set(seen.values()) == {1}
        names = {HOST: {item for inode, item in seen if inode == HOST}}
        names |= {inode: {item for at, item in seen if at == inode} for inode in (netns, host.root_inode())}
        assert {inode for inode, _ in seen} == set(names)
        assert names[HOST] | names[netns] == set(SAMPLE_ITEMS)
        assert names[netns] == names[host.root_inode()]
        bad = {change.status for change in first.changes} - {ItemStatus.OK, ItemStatus.ABSENT}
        assert not bad
        # Links come up for a moment yet; then these are told no more.
        steady = {"identity", "pods", "link", "qdisc", "conntrack-count", "tcp-states", "sockstat6"}
        told.until(
            lambda: all(
                steady.isdisjoint({each.item for each in found.changes}) for found in told.rounds[-5:]
            )
        )
        assert len(told.rounds) > 5
        assert not {"identity", "pods"} & {each.item for found in told.rounds[1:] for each in found.changes}


def test_identity_places_and_pods_logs_are_told(host: NodeHost, groups: Path) -> None:
    """The host says who it is, which namespaces there are and whose, and which folders the kubelet has made."""
    netns = pod(host, groups, 1)
    host.run("ip netns add skt-empty; mount -t tmpfs skt /var/log")
    host.run("mkdir -p /var/log/pods/kube-system_b_2 /var/log/pods/default_a_1")
    with Conversation(host, every(0.1, "identity", "pods", "places", rounds=1)) as told:
        told.rest()
    assert told.reader.ended
    identity = json.loads(told.text("identity"))
    assert (identity["hostname"], identity["root_netns"]) == ("skt-node", host.root_inode())
    assert told.text("pods").splitlines() == ["default_a_1", "kube-system_b_2"]
    places = {place["inode"]: place for place in json.loads(told.text("places"))}
    assert places[host.root_inode()]["host"]
    assert pod_uid(places[netns]["cgroups"][0]) == UID.format(1)
    assert [place["names"] for place in places.values() if place["names"]] == [["skt-empty"]]


@pytest.mark.parametrize("hierarchy", [0, 1], ids=["version 2", "version 1"])
def test_pods_are_found_by_any_hierarchy(hierarchy: int) -> None:
    """A pod is known by its control group of version 2, and by one of version 1 where that has the pods."""
    with pod_groups(hierarchy) as base:
        host = NodeHost.start()
        try:
            host.run("ip link add cni0 type bridge; ip link set cni0 up")
            netns = pod(host, base, 3)
            with Conversation(host, every(0.1, "places", "snmp", "cgroup-io", rounds=1)) as told:
                told.rest()
            assert (netns, "snmp") in told.state
            assert UID.format(3) in {pod_uid(path) for path in told.rows("cgroup-io")}
        finally:
            host.stop()


def test_links_and_qdiscs_are_decoded_as_today(host: NodeHost, groups: Path) -> None:
    """The dumps are whole netlink: today's decoder finds every link of a pod and of the host."""
    netns = pod(host, groups, 1)
    with Conversation(host, every(0.1, "link", "qdisc", rounds=1)) as told:
        told.rest()
    inside = decode_links(told.state[netns, "link"].payload)
    assert not inside.problem
    assert {link.name for link in inside.entries} >= {"lo", "eth0"}
    outside = decode_links(told.state[host.root_inode(), "link"].payload)
    assert {link.name for link in outside.entries} >= {"lo", "cni0", "vp1"}


def test_sockets_are_counted_as_ss_counts_them(host: NodeHost, groups: Path) -> None:
    """Each state has as many sockets as ss shows, with the same bytes in their queues; the closed one is an orphan."""
    drop = (
        "add table t; add chain t o { type filter hook output priority 0; }; add rule t o tcp sport 9100 drop"
    )
    netns = pod(host, groups, 1, f"nft {shlex.quote(drop)}; exec /usr/bin/python3 -c {shlex.quote(SOCKETS)}")
    inside = f"nsenter -t {pid_in(host, netns)} -n"

    def shown() -> dict[int, list[int]]:
        rows: dict[int, list[int]] = {}
        for line in host.run(f"{inside} ss -tanOH").splitlines():
            name, receive, send = line.split()[:3]
            row = rows.setdefault(STATES[name], [0, 0, 0])
            row[0] += 1
            row[1] += 0 if name == "LISTEN" else int(send)
            row[2] += int(receive)
        return rows

    def counted() -> dict[int, list[int]]:
        rows = [
            [int(word) for word in line.split("\t")[1:]]
            for line in told.text("tcp-states", netns).splitlines()
        ]
        return {state: numbers for state, *numbers, _ in rows}

    with Conversation(host, every(0.1, "tcp-states", "sockstat", lease_s=DEADLINE_S * 2)) as told:
        told.until(lambda: {1, 2, 4, 6, 8, 10} <= set(counted()) and counted() == shown())
        orphans = {
            line.split("\t")[1]: line.split("\t")[5] for line in told.text("tcp-states", netns).splitlines()
        }
        assert {state for state, number in orphans.items() if number != "0"} == {"4"}
        assert counted()[4][1] > 10_000
        assert counted()[10][2] >= 1


def test_proc_and_sock_diag_count_alike(host: NodeHost, groups: Path) -> None:
    """A kernel without tcp_diag is read by /proc/net/tcp, which gives the same sums."""
    netns = pod(host, groups, 1, f"exec /usr/bin/python3 -c {shlex.quote(SOCKETS)}")
    script = joined(SAMPLE_FILES) + (
        "\none, two = States(None), States(None)\nassert from_diag(one, 5)\n"
        "two.take_file('/proc/self/net/tcp'); two.take_file('/proc/self/net/tcp6')\n"
        "print(one.text() == two.text(), one.sockets, one.text(), two.text())"
    )
    command = f"nsenter -t {pid_in(host, netns)} -n /usr/bin/python3 -I -S -"
    assert wait_until(lambda: host.run(command, script).startswith("True 1"), DEADLINE_S), host.run(
        command, script
    )


def test_pods_on_the_hosts_network_are_told_apart(host: NodeHost, groups: Path) -> None:
    """In the host's namespace a socket also counts for the pod whose cgroup it was made in, and for no other."""
    listen = (
        "import socket, time; made = [socket.create_server(('', 0)) for _ in range({})]; time.sleep(1000)"
    )
    for number, count in ((1, 3), (2, 5)):
        join = f"echo 0 >{pod_scope(groups, number)}/cgroup.procs"
        host.run(f"({join}; exec /usr/bin/python3 -c {shlex.quote(listen.format(count))}) >/dev/null 2>&1 &")
    host.run("/usr/bin/python3 -c " + shlex.quote(listen.format(2)) + " >/dev/null 2>&1 &")
    root = host.root_inode()

    def counted() -> dict[str, int]:
        rows = [line.split("\t") for line in told.text("tcp-states", root).splitlines()]
        return {pod_uid(row[0]): int(row[2]) for row in rows if row[1] == "10"}

    with Conversation(host, every(0.1, "tcp-states")) as told:
        told.until(lambda: counted() == {"": 10, UID.format(1): 3, UID.format(2): 5})
        assert told.state[root, "tcp-states"].detail == ""


def test_io_is_that_of_the_processes_and_stays_when_they_end(host: NodeHost, groups: Path) -> None:
    """A pod's sums are those of /proc/PID/io, and what a process wrote before it ended does not go."""
    write = (
        "exec 1>/dev/null; while read line; do for n in 1 2 3 4 5; do echo $n; done; done; exec sleep 9000"
    )
    host.run("mkfifo /run/orders")
    pod(host, groups, 1, f"(sh -c {shlex.quote(write)} </run/orders) & exec sleep 9000")
    path = "/" + str(pod_scope(groups, 1).relative_to(groups.parent))

    def by_hand() -> int:
        pids = (pod_scope(groups, 1) / "cgroup.procs").read_text().split()
        return sum(int(Path(f"/proc/{pid}/io").read_text().split()[7]) for pid in pids)

    def written() -> int:
        return int(told.rows("cgroup-io")[path][2])

    with Conversation(host, every(0.05, "cgroup-io")) as told:
        told.until(lambda: path in told.rows("cgroup-io"))
        before = written()
        assert before == by_hand()
        with Path("/proc", str(host.pid), "root", "run", "orders").open("w", encoding="ascii") as orders:
            orders.write("x\n" * 40)
            orders.flush()
            told.until(lambda: written() == before + 200)
            assert written() == by_hand()
            # While somebody may still write to it, it reads: at the end of its orders it becomes another program.
            pids = (pod_scope(groups, 1) / "cgroup.procs").read_text().split()
            writer = next(pid for pid in pids if b"while read" in Path(f"/proc/{pid}/cmdline").read_bytes())
            os.kill(int(writer), signal.SIGKILL)
        assert wait_until(lambda: by_hand() < before + 200, DEADLINE_S)
        told.until(lambda: told.rows("cgroup-io")[path][0] == str(len(pids) - 1))
        assert written() >= before + 200 > by_hand()


def test_open_files_are_counted_once_for_a_cgroup(host: NodeHost, groups: Path) -> None:
    """What several processes of a cgroup have open counts once; sockets are counted among them."""
    opened = (
        "import os, socket, sys, time\nos.closerange(0, 99)\n"
        "kept = [open('/etc/passwd'), open('/etc/group'), socket.socket(), socket.socket(), socket.socket()]\n"
        "os.fork()\ntime.sleep(1000)"
    )
    pod(host, groups, 1, f"exec /usr/bin/python3 -c {shlex.quote(opened)}")
    path = "/" + str(pod_scope(groups, 1).relative_to(groups.parent))
    with Conversation(host, every(0.1, "cgroup-fd")) as told:
        told.until(lambda: told.rows("cgroup-fd").get(path) == ["2", "5", "3"])


def test_a_namespace_that_is_deleted_really_goes(host: NodeHost, groups: Path) -> None:
    """While rounds go on a deleted pod's network ends at once, with its links, and the rounds say that it is gone."""
    netns = pod(host, groups, 1)
    with Conversation(host, every(0.02)) as told:
        told.until(lambda: (netns, "snmp") in told.state)
        assert "vp1" in host.run("ip -o link")
        host.run(f"kill -9 {pid_in(host, netns)}")
        assert wait_until(lambda: "vp1" not in host.run("ip -o link"), DEADLINE_S)
        last = told.until(lambda: (netns, "snmp") not in told.state)
        assert last.gone == {netns}
        told.until(lambda: all(place["inode"] != netns for place in json.loads(told.text("places"))))


TRIES = 25


def links_of(host: NodeHost, numbers: list[int]) -> set[str]:
    """Return the links of pods that are there, on the host's side."""
    there = {line.split(": ")[1].partition("@")[0] for line in host.run("ip -o link").splitlines()}
    return there & {f"vp{number}" for number in numbers}


@contextmanager
def stopped(told: Conversation) -> Iterator[None]:
    """Hold the program, and nsenter, which stops and goes on with it."""
    os.kill(told.pid(), signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in (told.program.pid, told.pid()):
            os.kill(pid, signal.SIGCONT)


def test_another_namespace_under_the_same_inode_is_another(host: NodeHost, groups: Path) -> None:
    """When a new pod gets the inode of one that ended between two rounds, that is gone and the new is told whole."""
    numbers = itertools.count(1)
    # Inodes are given away by the lowest number, on the whole machine and to namespaces of all kinds: somebody else
    # may get those that ended, and those may be free some time after the links are gone.
    for _ in range(TRIES):
        ending = list(itertools.islice(numbers, 6))
        first = {pod(host, groups, number) for number in ending}
        with Conversation(host, every(1.0, "snmp", "places", "qdisc", lease_s=200)) as told:
            told.next()
            with stopped(told):
                host.run(f"kill -9 {' '.join(pid_in(host, netns) for netns in first)}")
                assert wait_until(lambda ending=ending: not links_of(host, ending), DEADLINE_S)
                found = (pod(host, groups, number) for number in itertools.islice(numbers, 40))
                again = next((netns for netns in found if netns in first), 0)
            after = told.next()
        if again:
            break
    assert again, "the kernel did not give an inode away again"
    assert after.gone == first
    assert {change.item for change in after.changes if change.netns == again} == {"snmp", "qdisc"}


def test_nothing_of_a_pod_is_held_between_rounds(host: NodeHost, groups: Path) -> None:
    """Between rounds the program is in its own namespace, and has open its three streams and that namespace."""
    pod(host, groups, 1)
    with Conversation(host, every(600.0)) as told:
        told.next()
        pid = told.pid()
        root = host.root_inode()

        def is_home() -> bool:
            return os.stat(f"/proc/{pid}/ns/net").st_ino == root  # noqa: PTH116 - follows the magic link

        def others() -> list[str]:
            with contextlib.suppress(FileNotFoundError):  # it was just closed
                return [
                    str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir() if int(each.name) > 2
                ]
            return []

        assert wait_until(lambda: is_home() and others() == [f"net:[{root}]"], DEADLINE_S), others()


def test_a_flood_of_processes_is_normal(host: NodeHost, groups: Path) -> None:
    """Processes and namespaces that begin and end all the time make no item fail."""
    join = f"echo 0 >{pod_scope(groups, 1)}/cgroup.procs"
    flood = f"{join}; while :; do for n in 1 2 3 4 5 6 7 8; do unshare -n true & done; wait; done"
    host.run(f"timeout 8 sh -c {shlex.quote(flood)} >/dev/null 2>&1 &")
    with Conversation(host, every(0.01, rounds=150)) as told:
        rounds = told.rest()
    assert told.reader.ended, told.rounds[-1:]
    fine = {ItemStatus.OK, ItemStatus.ABSENT}
    assert not [change for each in rounds for change in each.changes if change.status not in fine]
    assert sum(len(each.gone) for each in rounds) > 0


def test_memory_is_flat_over_hundreds_of_rounds(host: NodeHost, groups: Path) -> None:
    """After three hundred rounds, with pods that come and go, the program holds what it held after fifty."""
    pod(host, groups, 1)
    join = f"echo 0 >{pod_scope(groups, 2)}/cgroup.procs"
    host.run(f"timeout 30 sh -c '{join}; while :; do unshare -n sleep 0.05; done' >/dev/null 2>&1 &")
    with Conversation(host, every(0.01, rounds=350)) as told:
        rounds = told.rest()
    assert told.reader.ended
    assert max(each.rss_kib for each in rounds[300:]) <= rounds[50].rss_kib + 512
    assert rounds[-1].rss_kib < 40 * 1024


def test_rounds_that_nobody_takes_are_skipped_and_counted(host: NodeHost, groups: Path) -> None:
    """While stdout is not read no round is kept but one; those after it come at their times and count the missed."""
    for number in range(4):
        pod(host, groups, number)
    # On a busy machine a round begins some tenths of a second late: an interval of 1 s is long beside that.
    with Conversation(host, every(1.0), pipe_bytes=4096) as told:
        assert select.select([told.program.stdout], [], [], DEADLINE_S)[0]
        held_from = time.monotonic()
        assert wait_until(lambda: time.monotonic() - held_from > 11.5)
        rounds = [told.next() for _ in range(5)]
    assert sum(each.skipped for each in rounds) >= 10
    steps = [(each.mono_ns - rounds[0].mono_ns) / 1e9 for each in rounds]
    assert all(abs(step - round(step)) < 0.45 for step in steps)
    counted = [
        each.number - 1 + sum(other.skipped for other in rounds[: place + 1])
        for place, each in enumerate(rounds)
    ]
    assert counted == [round(step) for step in steps]


def test_it_ends_by_itself_after_the_rounds_that_were_asked_for(host: NodeHost) -> None:
    """After its last round the program says so and ends well, with its stdin still open."""
    before = host.processes()
    with Conversation(host, every(0.05, "snmp", rounds=3)) as told:
        assert [each.number for each in told.rest()] == [1, 2, 3]
        assert told.reader.ended
        assert told.program.wait(DEADLINE_S) == 0
        assert told.complaint() == ""
    assert host.processes() == before


def test_it_ends_with_its_stdin(host: NodeHost) -> None:
    """Within a second of the end of stdin the program is gone, in the middle of a long wait."""
    before = host.processes()
    with Conversation(host, every(600.0, "snmp")) as told:
        told.next()
        assert told.program.stdin is not None
        told.program.stdin.close()
        assert wait_until(lambda: host.processes() == before, in_time(2)), (before, host.processes())


def test_it_ends_when_its_client_is_killed(host: NodeHost) -> None:
    """A client that is killed takes the program along."""
    before = host.processes()
    asked = sample_job(every(0.1, "snmp"))
    client = subprocess.Popen(
        ["/usr/bin/python3", "-c", CLIENT, *host.inside(*shlex.split(asked.command))], stdin=subprocess.PIPE
    )
    assert client.stdin is not None
    client.stdin.write(asked.stdin)
    client.stdin.close()
    assert wait_until(lambda: host.processes() != before, DEADLINE_S)
    client.send_signal(signal.SIGKILL)
    client.wait(DEADLINE_S)
    assert wait_until(lambda: host.processes() == before, DEADLINE_S), (before, host.processes())


@pytest.mark.parametrize("reading", [True, False])
def test_it_ends_when_nobody_says_anything(host: NodeHost, *, reading: bool) -> None:
    """A lease that is renewed goes on; one that is not ends the program, also while it waits to be read."""
    before = host.processes()
    # The first round and a look at the processes take less than the lease on the busiest machine.
    with Conversation(host, every(0.01, lease_s=5)) as told:
        started = time.monotonic()
        while reading and time.monotonic() - started < 13:
            told.next()
            told.beat()
        told.next()
        assert host.processes() != before
        bound_s = 5 + in_time(6)
        silent = time.monotonic()
        if reading:
            told.rest()
        assert wait_until(lambda: host.processes() == before), (before, host.processes())
        assert time.monotonic() - silent < bound_s


def test_without_root_it_says_what_it_could_not_see(host: NodeHost, groups: Path) -> None:
    """As another user the namespaces and I/O of others are denied, never shown as if there were none."""
    pod(host, groups, 1)
    unprivileged = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    with Conversation(host, every(0.1, rounds=1), unprivileged) as told:
        told.rest()
    assert told.reader.ended
    for item in ("places", "cgroup-io", "cgroup-fd"):
        change = told.state[HOST, item]
        assert change.status is ItemStatus.DENIED, item
        assert "cannot be read" in change.detail


def test_nothing_changes_by_looking(host: NodeHost, groups: Path) -> None:
    """Modules, files, processes, links and rules are after some rounds what they were before."""
    netns = pod(host, groups, 1)
    inside = f"nsenter -t {pid_in(host, netns)} -n"

    def snapshot() -> dict[str, str]:
        return {
            "modules": " ".join(sorted(os.listdir("/sys/module"))),  # noqa: PTH208 - names are enough
            "files": host.run(
                "find /tmp /run /var/tmp /root /dev/shm -xdev -printf '%p %s %T@ %C@\n' | sort"
            ),
            "processes": "\n".join(sorted(host.processes())),
            "links": host.run(f"ip -o link | cut -d: -f2 | sort; {inside} ip -o link | cut -d: -f2"),
            "rules": host.run(f"nft list ruleset; {inside} nft list ruleset; cat /proc/net/ip_tables_names"),
        }

    before = snapshot()
    with Conversation(host, every(0.05, rounds=3)) as told:
        told.rest()
    assert told.reader.ended
    assert snapshot() == before
