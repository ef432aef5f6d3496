"""The DNS probe on this kernel: real queries to a real server, counted once wherever they come by."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from skoopctl.bpf.program import BpfRequest
from skoopctl.bpf.stream import Counts, Setup
from tests.kernel.bpf_pair import ADDRESSES, Pair, Side, pair, run
from tests.kernel.bpf_watch import Watch
from tests.kernel.dns_asking import ask, connected, framed, query, read_answers, serving
from tests.support import dns_server
from tests.support.floods import flooding
from tests.support.kernel_dump import inside

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="a tap needs root"),
]

ENOUGH_S = 60.0
TCP, UDP = 6, 17
MS = 1_000_000


@pytest.fixture(scope="module")
def wire() -> Iterator[Pair]:
    """Return a client's namespace, and a server's with a DNS server in it."""
    with pair("d") as made, serving(made.server):
        yield made


def asked(
    *namespaces: int, duration_s: float = ENOUGH_S, counts_s: float = 0.0, **thresholds_us: int
) -> BpfRequest:
    """Return a request for the probe."""
    named = {f"dns.{name}": value for name, value in thresholds_us.items()}
    return BpfRequest(("dns",), duration_s, namespaces, counts_s=counts_s, thresholds_us=named)


def by_kind(watch: Watch) -> dict[tuple[str, int], int]:
    """Return what was counted of the last time that counts came, by kind and namespace."""
    return {(total.kind, total.netns): total.count for total in watch.counts["dns"].totals}


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize(
    ("name", "kind", "code"), [("nx", "dns-nxdomain", "NXDOMAIN"), ("fail", "dns-error", "SERVFAIL")]
)
def test_answers_that_are_errors_are_told(wire: Pair, family: int, name: str, kind: str, code: str) -> None:
    """An error has both ends, the client's namespace, name, type, code and latency, and is told once."""
    near, far = ADDRESSES[family]
    with Watch(asked(wire.client.inode, wire.server.inode)) as watch:
        port = ask(wire.client, family, far, query(f"{name}.example.org", kind=28))
        seen = watch.first(lambda e: e.kind == kind, "the error")
    assert (seen.source, seen.source_port, seen.destination, seen.destination_port) == (near, port, far, 53)
    assert (seen.netns, seen.family, seen.protocol) == (wire.client.inode, family, UDP)
    assert (seen.reason_name, seen.details) == (
        code,
        {"name": f"{name}.example.org", "type": "AAAA", "tries": 1, "rcode": code},
    )
    assert seen.delay is not None
    assert 0 < seen.delay.latency_ns < 20_000 * MS
    assert len(watch.events) == 1


@pytest.mark.parametrize("family", [4, 6])
def test_answers_in_time_are_only_counted(wire: Pair, family: int) -> None:
    """Answers without an error give no event; each is counted once, for the client and in the histogram."""
    with Watch(asked(wire.client.inode, wire.server.inode, counts_s=0.3, slow=60_000_000)) as watch:
        ask(wire.client, family, ADDRESSES[family][1], *(query("ok", number) for number in range(20)))
        watch.until(lambda: "dns" in watch.counts and sum(by_kind(watch).values()) >= 20, "all to be counted")
        watch.catch_up("dns")
    assert watch.events == []
    assert by_kind(watch) == {("dns-answer", wire.client.inode): 20}
    counts = watch.counts["dns"]
    (flow,) = counts.flows
    assert (flow.source, flow.destination, flow.count) == (*ADDRESSES[family], 20)
    assert [histogram.count for histogram in counts.histograms] == [20]
    assert (counts.lost, counts.uncounted, counts.unsent) == (0, 0, 0)


def test_an_answer_that_takes_long_is_slow(wire: Pair) -> None:
    """An answer after a second is slow, with that latency; one at once is not."""
    with Watch(asked(wire.client.inode, slow=int(dns_server.LATE_S * 1e6 * 0.9))) as watch:
        ask(wire.client, 4, ADDRESSES[4][1], query("ok"), query("late", 2))
        seen = watch.first(lambda e: e.kind == "dns-answer-slow", "the slow answer")
    assert seen.details["name"] == "late"
    assert seen.delay is not None
    assert dns_server.LATE_S * 1000 * MS <= seen.delay.latency_ns < 20_000 * MS
    assert len(watch.events) == 1


def test_a_query_without_an_answer_is_a_timeout_with_its_tries(wire: Pair) -> None:
    """A query that is sent three times and never answered is one timeout, with no code and three tries."""
    with Watch(asked(wire.client.inode, timeout=500_000)) as watch:
        ask(wire.client, 4, ADDRESSES[4][1], *[query("silent", 9)] * 3, answers=0)
        seen = watch.first(lambda e: e.kind == "dns-timeout", "the timeout")
    assert (seen.reason_name, seen.details) == ("NO_ANSWER", {"name": "silent", "type": "A", "tries": 3})
    assert seen.delay is not None
    assert seen.delay.latency_ns >= 500 * MS
    assert len(watch.events) == 1


def test_an_answer_to_the_second_try_is_timed_from_the_first(wire: Pair) -> None:
    """What is answered when it is asked again counts as one answer, from the first time on."""
    with Watch(asked(wire.client.inode, slow=0)) as watch:
        # The server knows what it was asked before, by this test too if it is run again.
        name = f"second-{time.monotonic_ns()}"
        ask(wire.client, 4, ADDRESSES[4][1], *[query(name, 5)] * 2, answers=1)
        seen = watch.first(lambda e: e.kind == "dns-answer-slow", "the answer")
    assert seen.details["tries"] == 2


@pytest.mark.parametrize("family", [4, 6])
def test_queries_over_tcp_are_told_as_over_udp(wire: Pair, family: int) -> None:
    """On one connection: errors with both ends and name, answers counted, in one segment or several."""
    near, far = ADDRESSES[family]
    several = framed(query("ok", 1), query("nx.example.org", 2, 28), query("ok", 3))
    with (
        Watch(asked(wire.client.inode, wire.server.inode, counts_s=0.3, slow=60_000_000)) as watch,
        connected(wire.client, family, far) as client,
    ):
        client.sendall(several)
        read_answers(client, 1, size=len(several))
        fails = framed(query("fail", 4))
        for part in (fails[:2], fails[2:9], fails[9:]):
            client.sendall(part)
        read_answers(client, 1, size=len(fails))
        port = client.getsockname()[1]
        failed = watch.first(lambda e: e.kind == "dns-error", "the failure")
        missing = watch.first(lambda e: e.kind == "dns-nxdomain", "the name that is not there")
        watch.until(
            lambda: "dns" in watch.counts and sum(by_kind(watch).values()) == 4, "all four to be counted"
        )
    for event, name in ((failed, "fail"), (missing, "nx.example.org")):
        assert (event.source, event.source_port, event.destination, event.destination_port) == (
            near,
            port,
            far,
            53,
        )
        assert (event.netns, event.family, event.protocol) == (wire.client.inode, family, TCP)
        assert (event.details["name"], event.details["tries"]) == (name, 1)
    ours = wire.client.inode
    assert by_kind(watch) == {("dns-answer", ours): 2, ("dns-error", ours): 1, ("dns-nxdomain", ours): 1}
    assert {flow.protocol for flow in watch.counts["dns"].flows} == {TCP}
    assert len(watch.events) == 2


def test_a_query_over_tcp_without_an_answer_is_a_timeout(wire: Pair) -> None:
    """The connection goes on, and another query on it is answered; the first is a timeout all the same."""
    with (
        Watch(asked(wire.client.inode, timeout=500_000)) as watch,
        connected(wire.client, 4, ADDRESSES[4][1]) as client,
    ):
        client.sendall(framed(query("silent", 9)))
        late = framed(query("nx", 10))
        client.sendall(late)
        read_answers(client, 1, size=len(late))
        seen = watch.first(lambda e: e.kind == "dns-timeout", "the timeout")
        watch.first(lambda e: e.kind == "dns-nxdomain", "the answer to the other")
    assert (seen.reason_name, seen.protocol, seen.details["name"]) == ("NO_ANSWER", TCP, "silent")
    assert len(watch.events) == 2


def test_a_connection_that_was_there_before_is_followed(wire: Pair) -> None:
    """A resolver that keeps its connection open is watched from the next query on."""
    known = framed(query("ok", 1))
    with connected(wire.client, 4, ADDRESSES[4][1]) as client:
        client.sendall(known)
        read_answers(client, 1, size=len(known))
        with Watch(asked(wire.client.inode)) as watch:
            client.sendall(framed(query("fail", 2)))
            seen = watch.first(lambda e: e.kind == "dns-error", "the failure")
    assert (seen.protocol, seen.details["name"]) == (TCP, "fail")


def test_nothing_is_told_when_nobody_asks(wire: Pair) -> None:
    """Other traffic, and DNS in another namespace, give neither events nor counts."""
    with Watch(asked(wire.server.inode, duration_s=2.0)) as watch:
        ask(wire.client, 4, ADDRESSES[4][1], query("nx"))
        for end in wire.connected(4, 7301):
            end.close()
        watch.wait()
    assert watch.ended_whole
    assert (watch.events, watch.counts["dns"].totals) == ([], ())


def test_a_query_on_loopback_is_counted_once(wire: Pair) -> None:
    """A resolver in the same namespace is asked over its loopback device, where each packet leaves and comes."""
    with Watch(asked(wire.server.inode)) as watch:
        ask(wire.server, 4, "127.0.0.1", query("nx.local"))
        seen = watch.first(lambda e: e.kind == "dns-nxdomain", "the answer")
        watch.process.stdin.close()  # type: ignore[union-attr]
    assert (seen.source, seen.destination, seen.details["tries"]) == ("127.0.0.1", "127.0.0.1", 1)
    assert len(watch.events) == 1


MANY = 20_000


@flooding()
def test_what_finds_no_room_is_counted_exactly(wire: Pair) -> None:
    """While the program does not read, packets are lost; what it counted and what was lost are all there were."""
    request = asked(wire.client.inode, counts_s=0.5)
    with Watch(request) as watch:
        os.kill(watch.process.pid, signal.SIGSTOP)
        try:
            ask(
                wire.client,
                4,
                ADDRESSES[4][1],
                *(query("silent", number) for number in range(MANY)),
                answers=0,
            )
        finally:
            os.kill(watch.process.pid, signal.SIGCONT)

        def told() -> tuple[int, int]:
            last = [said for said in list(watch.said) if isinstance(said, Counts)][-1:]
            return sum(total.count for each in last for total in each.totals), sum(each.lost for each in last)

        watch.until(lambda: sum(told()) >= MANY, "all to be counted or lost")
        counted, lost = told()
    assert counted + lost == MANY
    assert min(counted, lost) > 0


def tap_in(side: Side) -> bool:
    """Tell whether any packet socket is in a namespace."""
    with inside(side.name):
        return len(Path("/proc/thread-self/net/packet").read_text(encoding="ascii").splitlines()) > 1


def test_sigkill_leaves_no_tap(wire: Pair) -> None:
    """After a SIGKILL there is no packet socket in the namespaces, and devices are not promiscuous meanwhile."""
    with Watch(asked(wire.client.inode, wire.server.inode)) as watch:
        assert tap_in(wire.client)
        device = wire.client.run("ip", "-d", "link", "show", wire.client.device)
        os.kill(watch.process.pid, signal.SIGKILL)
        watch.wait()
        watch.until(lambda: not tap_in(wire.client) and not tap_in(wire.server), "the taps to go")
    assert "promiscuity 0" in device


def test_a_namespace_that_ends_is_let_go() -> None:
    """When nothing but the tap is left in a namespace, it is closed: the wire's other end disappears with it."""
    with pair("e") as made, Watch(asked(made.client.inode, made.server.inode)) as watch:
        run("ip", "netns", "del", made.client.name)

        def is_gone() -> bool:
            return made.server.device not in made.server.run("ip", "-br", "link")

        watch.until(is_gone, "the wire to disappear")
        assert watch.process.poll() is None


def test_a_namespace_that_comes_later_is_watched() -> None:
    """Where no namespaces are named, those that are made after the start are watched too."""
    with Watch(asked()) as watch, pair("f") as made, serving(made.server):
        watch.until(lambda: tap_in(made.client), "a tap in the new namespace")
        ask(made.client, 4, ADDRESSES[4][1], query("fail.late-comer"))
        seen = watch.first(lambda e: e.details.get("name") == "fail.late-comer", "the error")
        assert seen.netns == made.client.inode


def test_no_ebpf_is_needed(wire: Pair) -> None:
    """Without the kernel's types and CAP_BPF, DNS is watched all the same, and eBPF beside it is unavailable."""
    request = BpfRequest(
        ("dns", "tcpretrans"), ENOUGH_S, (wire.client.inode,), btf="/nowhere/vmlinux", backend="core"
    )
    with Watch(request, ("setpriv", "--bounding-set", "-bpf,-perfmon")) as watch:
        ask(wire.client, 4, ADDRESSES[4][1], query("nx"))
        watch.first(lambda e: e.kind == "dns-nxdomain", "the error")
    statuses = {name: (setup.status, setup.backend) for name, setup in watch.setups.items()}
    assert statuses == {"dns": ("ok", "packet"), "tcpretrans": ("unavailable", "core")}


UNPRIVILEGED = {
    "no CAP_SYS_ADMIN": (("setpriv", "--bounding-set", "-sys_admin"), "setns: EPERM"),
    "no CAP_NET_RAW": (
        ("setpriv", "--bounding-set", "-net_raw"),
        "packet socket, classic BPF: port 53: EPERM",
    ),
    "nobody": (("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"), "EPERM"),
}


@pytest.mark.parametrize("who", UNPRIVILEGED)
def test_a_missing_privilege_is_told(wire: Pair, who: str) -> None:
    """What may not be done makes the probe unavailable, names what the kernel refused, and ends the program well."""
    prefix, said = UNPRIVILEGED[who]
    with Watch(asked(wire.client.inode, duration_s=1.0), prefix) as watch:
        watch.wait()
    setup = watch.setups["dns"]
    assert (watch.ended_whole, setup.status) == (True, "unavailable")
    assert setup.detail.startswith("1 of 1 namespaces cannot be watched: ")
    assert said in setup.detail


def test_a_namespace_that_is_not_here_is_told() -> None:
    """Where none of the namespaces is here that are asked for, the probe is unavailable and says so."""
    with Watch(asked(1, duration_s=5.0)) as watch:
        setup = watch.setups["dns"]
    assert (setup.status, setup.detail) == (
        "unavailable",
        "none of the namespaces that are asked for is here",
    )


def test_a_namespace_that_can_no_longer_be_watched_is_told() -> None:
    """When all that is watched has ended, the probe says so, though it started well."""
    with pair("g") as made, Watch(asked(made.client.inode)) as watch:
        run("ip", "netns", "del", made.client.name)
        watch.until(
            lambda: (
                [said.status for said in list(watch.said) if isinstance(said, Setup)] == ["ok", "unavailable"]
            ),
            "the probe to say so",
        )


POD, POD_GATEWAY, NODE, RESOLVER = "10.213.78.2", "10.213.78.1", "10.213.79.1", "10.213.79.2"


@contextlib.contextmanager
def crossing(tag: str) -> Iterator[tuple[Side, Side, Side]]:
    """Make a pod behind a bridge of a node, and a resolver that the node can reach."""
    stem = f"dns{os.getpid()}{tag}"
    pod, node, resolver = Side(f"{stem}p", "eth0"), Side(f"{stem}n", "eth0"), Side(f"{stem}r", "eth0")
    names = [side.name for side in (pod, node, resolver)]
    try:
        for name in names:
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        for near, far in (("veth1", pod), ("eth0", resolver)):
            peer = ("peer", "name", "eth0", "netns", far.name)
            run("ip", "-n", node.name, "link", "add", near, "type", "veth", *peer)
            run("ip", "-n", far.name, "link", "set", "eth0", "up")
        run("ip", "-n", node.name, "link", "add", "cni0", "type", "bridge")
        run("ip", "-n", node.name, "link", "set", "veth1", "master", "cni0")
        for device in ("veth1", "eth0", "cni0"):
            run("ip", "-n", node.name, "link", "set", device, "up")
        for side, device, address in (
            (pod, "eth0", POD),
            (node, "cni0", POD_GATEWAY),
            (node, "eth0", NODE),
            (resolver, "eth0", RESOLVER),
        ):
            run("ip", "-n", side.name, "addr", "add", f"{address}/24", "dev", device)
        run("ip", "-n", pod.name, "route", "add", "default", "via", POD_GATEWAY)
        run("ip", "-n", resolver.name, "route", "add", "default", "via", NODE)
        node.sysctl("net/ipv4/ip_forward", "1")
        yield pod, node, resolver
    finally:
        for name in names:
            if Path("/run/netns", name).exists():
                run("ip", "netns", "del", name)


@pytest.mark.parametrize("masqueraded", [False, True])
def test_a_pods_query_is_counted_once_on_its_way_through_the_host(masqueraded: bool) -> None:
    """Veth, bridge and uplink of the host show a pod's query again: it is the pod's alone."""
    rule = ("-t", "nat", "-A", "POSTROUTING", "-o", "eth0", "-s", f"{POD}/32", "-j", "MASQUERADE")
    with crossing("m" if masqueraded else "r") as (pod, node, resolver), serving(resolver, "0.0.0.0"):
        if masqueraded:
            node.run("iptables", "-w", *rule)
        # Its process 1, and with it the host's namespace, is the program itself.
        host = (
            "ip",
            "netns",
            "exec",
            node.name,
            "unshare",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
        )
        ours = {side.inode: name for side, name in ((pod, "pod"), (node, "node"), (resolver, "resolver"))}
        with Watch(asked(counts_s=0.5), host) as watch:
            watch.until(lambda: tap_in(pod) and tap_in(node), "the taps")
            ask(pod, 4, RESOLVER, query("nx.pod", 11), query("ok.pod", 12))
            ask(node, 4, RESOLVER, query("nx.node", 21))
            watch.until(
                lambda: (
                    "dns" in watch.counts
                    and sum(n for (_, netns), n in by_kind(watch).items() if netns in ours) >= 3
                ),
                "all to be counted",
            )
            # What is counted twice would be by then.
            watch.catch_up("dns")
    told = {(ours[event.netns], event.details["name"]) for event in watch.events if event.netns in ours}
    counted = {(kind, ours[netns]): count for (kind, netns), count in by_kind(watch).items() if netns in ours}
    assert told == {("pod", "nx.pod"), ("node", "nx.node")}
    assert counted == {("dns-nxdomain", "pod"): 1, ("dns-answer", "pod"): 1, ("dns-nxdomain", "node"): 1}
