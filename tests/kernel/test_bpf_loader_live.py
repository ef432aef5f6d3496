"""The eBPF probes on this kernel: what they see of real causes, and what they leave behind."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from skoopctl.bpf.catalogue import PROBES
from skoopctl.bpf.events import BpfEvent
from skoopctl.bpf.program import BpfRequest
from tests.kernel.bpf_pair import ADDRESSES, LINGER_NOT, Pair, Side, pair
from tests.kernel.bpf_watch import PATIENCE_S, Watch
from tests.support.ebpf_held import are_gone, held_by
from tests.support.floods import flooding

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="loading programs needs root"),
]

ALL = ("packetloss", "tcpreset", "tcpretrans")
"""Those that see nothing where all is well, on a slow machine too."""
TCP, UDP = 6, 17
TCP_REPAIR = 19
ENOUGH_S = 60.0
"""Longer than any test waits: the program ends with its standard input."""


@pytest.fixture(scope="module")
def wire() -> Iterator[Pair]:
    """Return a pair of namespaces for the tests of this file."""
    with pair("a") as made:
        yield made


@pytest.fixture
def watch(wire: Pair) -> Iterator[Watch]:
    """Return all probes at work on the pair."""
    with Watch(asked(wire)) as made:
        yield made


def asked(
    wire: Pair, *probes: str, duration_s: float = ENOUGH_S, buffers: str = "auto", **more: object
) -> BpfRequest:
    """Return a request for the pair."""
    namespaces = (wire.client.inode, wire.server.inode)
    return BpfRequest(probes or ALL, duration_s, namespaces, buffers=buffers, **more)  # type: ignore[arg-type]


def send_udp(side: Side, family: int, address: str, port: int, times: int = 1) -> int:
    """Send datagrams and return the port that they came from."""
    with contextlib.closing(side.socket(family, socket.SOCK_DGRAM)) as made:
        for _ in range(times):
            made.sendto(b"x", (address, port))
        return int(made.getsockname()[1])


def between(event: BpfEvent) -> tuple[str, int, str, int]:
    """Return the ends of an event's packet."""
    return event.source, event.source_port, event.destination, event.destination_port


def to_port(kind: str, port: int, netns: int) -> Callable[[BpfEvent], bool]:
    """Return what recognises an event by its kind, the port that it concerns and its namespace."""
    return lambda e: e.kind == kind and port in {e.destination_port, e.source_port} and e.netns == netns


@pytest.mark.parametrize("buffers", ["ring", "perf"])
@pytest.mark.parametrize("family", [4, 6])
def test_a_rule_that_drops_is_seen_with_its_hook(wire: Pair, family: int, buffers: str) -> None:
    """A DROP in INPUT gives one loss: reason, hook, both ends, namespace and device, by either kind of buffer."""
    near, far = ADDRESSES[family]
    with (
        Watch(asked(wire, "packetloss", buffers=buffers)) as watch,
        wire.server.rule(family, "INPUT", "-p", "udp", "--dport", "7001", "-j", "DROP"),
    ):
        sent = send_udp(wire.client, family, far, 7001)
        seen = watch.first(to_port("packet-loss", 7001, wire.server.inode), "the DROP")
    assert watch.setups["packetloss"].buffer == buffers
    assert between(seen) == (near, sent, far, 7001)
    assert (seen.reason_name, seen.hook) == ("NETFILTER_DROP", "INPUT")
    assert (seen.family, seen.protocol, seen.ifindex) == (family, UDP, wire.server.ifindex)
    assert seen.function in {"nf_hook_slow", "nf_drop_reason", "nft_do_chain"}
    assert [event for event in watch.events if event != seen] == []


@pytest.mark.parametrize("family", [4, 6])
def test_what_is_dropped_on_its_way_out_belongs_to_the_sender(wire: Pair, watch: Watch, family: int) -> None:
    """A DROP in OUTPUT is a loss in the sender's namespace, though the packet has no device yet."""
    with wire.client.rule(family, "OUTPUT", "-p", "udp", "--dport", "7002", "-j", "DROP"):
        with contextlib.suppress(PermissionError):  # the kernel tells the sender
            send_udp(wire.client, family, ADDRESSES[family][1], 7002)
        seen = watch.first(to_port("packet-loss", 7002, wire.client.inode), "the DROP")
    assert (seen.reason_name, seen.hook) == ("NETFILTER_DROP", "OUTPUT")


@pytest.mark.parametrize("family", [4, 6])
def test_a_closed_port_answers_with_a_reset_without_a_socket(wire: Pair, watch: Watch, family: int) -> None:
    """Connecting to a closed port: the SYN is lost for want of a socket, its receiver resets, the sender hears it."""
    near, far = ADDRESSES[family]
    with contextlib.closing(wire.client.socket(family)) as client:
        assert client.connect_ex((far, 7003)) == errno.ECONNREFUSED
    reset = watch.first(to_port("reset-no-socket", 7003, wire.server.inode), "the reset")
    loss = watch.first(to_port("packet-loss", 7003, wire.server.inode), "the loss")
    heard = watch.first(to_port("reset-received", 7003, wire.client.inode), "the reset's arrival")
    assert loss.reason_name == reset.reason_name == "NO_SOCKET"
    assert between(reset) == between(heard) == (far, 7003, near, loss.source_port)
    assert between(loss) == (near, loss.source_port, far, 7003)
    assert (loss.protocol, loss.tcp_flags) == (TCP, 0x02)


@pytest.mark.parametrize("family", [4, 6])
def test_a_socket_that_lingers_not_resets_actively(wire: Pair, watch: Watch, family: int) -> None:
    """close() with SO_LINGER 0 is an active reset, with both ends, and arrives at the other one."""
    near, far = wire.connected(family, 7004)
    with contextlib.closing(far):
        port = near.getsockname()[1]
        near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
        near.close()
        sent = watch.first(to_port("reset-active", 7004, wire.client.inode), "the reset")
        heard = watch.first(to_port("reset-received", 7004, wire.server.inode), "the reset's arrival")
    ends = (ADDRESSES[family][0], port, ADDRESSES[family][1], 7004)
    assert between(sent) == between(heard) == ends


def test_a_v4_connection_of_a_v6_socket_has_v4_addresses(wire: Pair, watch: Watch) -> None:
    """A server that listens on :: and is reached over IPv4 gives events of family 4."""
    with contextlib.closing(wire.server.listener(6, 7005)) as listener:
        near = wire.client.socket(4)
        near.connect((ADDRESSES[4][1], 7005))
        far, _ = listener.accept()
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
    far.close()
    seen = watch.first(to_port("reset-active", 7005, wire.server.inode), "the reset")
    assert (seen.family, seen.source, seen.destination) == (4, ADDRESSES[4][1], ADDRESSES[4][0])
    near.close()


@pytest.mark.parametrize("family", [4, 6])
def test_a_listener_that_gets_a_stray_segment_resets_it(wire: Pair, watch: Watch, family: int) -> None:
    """A segment of a connection that only the client remembers is answered by the listener's socket."""
    with contextlib.closing(wire.server.listener(family, 7006)) as listener:
        near = wire.client.socket(family)
        near.connect((ADDRESSES[family][1], 7006))
        far, _ = listener.accept()
        far.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
        far.close()  # without a word
        near.send(b"x")
        seen = watch.first(to_port("reset-process", 7006, wire.server.inode), "the reset")
        assert seen.destination_port == near.getsockname()[1]
        near.close()


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize(("early", "kind"), [("0", "retransmit"), ("3", "retransmit-probe")])
def test_lost_data_is_sent_again(wire: Pair, watch: Watch, family: int, early: str, kind: str) -> None:
    """The first segment with data gets lost: the timer sends it again, or a tail loss probe where that is on."""
    wire.client.sysctl("net/ipv4/tcp_early_retrans", early)
    near, far = wire.connected(family, 7007)
    first = ("-m", "statistic", "--mode", "nth", "--every", "1000", "--packet", "0")
    data = ("-p", "tcp", "--dport", "7007", "-m", "length", "--length", "500:")
    with (
        contextlib.closing(near),
        contextlib.closing(far),
        wire.server.rule(family, "INPUT", *data, *first, "-j", "DROP"),
    ):
        near.send(b"x" * 700)
        assert len(far.recv(1000)) == 700
        seen = watch.first(
            lambda e: e.kind.startswith("retransmit") and 7007 in between(e), "the retransmission"
        )
    assert (seen.kind, seen.netns, seen.undecided, seen.error) == (kind, wire.client.inode, False, 0)
    assert between(seen)[2:] == (ADDRESSES[family][1], 7007)
    loss = watch.first(to_port("packet-loss", 7007, wire.server.inode), "the loss that caused it")
    assert loss.source_port == seen.source_port


@pytest.mark.parametrize("family", [4, 6])
def test_a_lost_syn_ack_is_sent_again(wire: Pair, watch: Watch, family: int) -> None:
    """A SYN-ACK that gets lost is sent again by the server, and told apart from data."""
    lost = ("-p", "tcp", "--sport", "7008", "--tcp-flags", "SYN,ACK", "SYN,ACK")
    first = ("-m", "statistic", "--mode", "nth", "--every", "1000", "--packet", "0")
    with wire.client.rule(family, "INPUT", *lost, *first, "-j", "DROP"):
        for end in wire.connected(family, 7008):
            end.close()
        seen = watch.first(to_port("retransmit-synack", 7008, wire.server.inode), "the SYN-ACK")
    assert between(seen)[:3] == (ADDRESSES[family][1], 7008, ADDRESSES[family][0])


def test_a_healthy_pair_gives_no_events(wire: Pair) -> None:
    """Connections and datagrams that arrive are no events at all, and nothing is counted."""
    for side in (wire.client, wire.server):
        # A probe of the tail is sent after 8 ms without an answer: a machine that is busy is no loss of ours.
        side.sysctl("net/ipv4/tcp_early_retrans", "0")
    with Watch(asked(wire, duration_s=2.0)) as watch:
        for family in (4, 6):
            near, far = wire.connected(family, 7009)
            near.send(b"x" * 5000)
            assert far.recv(1)
            near.shutdown(socket.SHUT_WR)
            while far.recv(4096):
                pass
            far.close()
            assert not near.recv(1)
            near.close()
        watch.wait()
    assert watch.ended_whole
    assert watch.events == []
    assert [counts.totals for counts in watch.counts.values()] == [(), (), ()]


def test_only_wanted_namespaces_are_seen(wire: Pair) -> None:
    """A probe that is asked about the client's namespace does not see what the server's drops."""
    request = replace(asked(wire, "packetloss"), namespaces=(wire.client.inode,))
    with Watch(request) as watch:
        send_udp(wire.client, 4, ADDRESSES[4][1], 7010)  # no socket there: lost in the server's
        with wire.client.rule(4, "INPUT", "-p", "udp", "--dport", "7010", "-j", "DROP"):
            send_udp(wire.server, 4, ADDRESSES[4][0], 7010)
            watch.first(to_port("packet-loss", 7010, wire.client.inode), "the client's loss")
    assert {event.netns for event in watch.events} == {wire.client.inode}


@pytest.mark.parametrize("buffers", ["ring", "perf"])
@flooding()
def test_what_finds_no_room_is_counted(wire: Pair, buffers: str) -> None:
    """With nobody reading, a flood fills the buffer: what came and what was lost are together what was dropped."""
    flood = 6000
    request = asked(wire, "packetloss", duration_s=6.0, buffers=buffers)
    with (
        wire.server.rule(4, "INPUT", "-p", "udp", "--dport", "7011", "-j", "DROP"),
        Watch(request) as watch,
    ):
        os.kill(watch.process.pid, signal.SIGSTOP)
        send_udp(wire.client, 4, ADDRESSES[4][1], 7011, flood)
        os.kill(watch.process.pid, signal.SIGCONT)
        watch.wait()
    counts = watch.counts["packetloss"]
    ours = [event for event in watch.events if event.destination_port == 7011]
    assert sum(total.count for total in counts.totals if total.reason_name == "NETFILTER_DROP") == flood
    assert counts.lost > 0
    assert counts.sampled + counts.lost == sum(total.count for total in counts.totals) + counts.ignored
    assert len(watch.events) + watch.ignored == counts.sampled
    assert len(ours) <= flood - (counts.lost - counts.ignored), "what is no loss may be lost too"
    assert [(flow.netfilter, flow.count) for flow in counts.flows if flow.destination_port == 7011] == [
        (True, flood)
    ]


def test_drops_by_rules_are_counted_apart_from_others_of_the_same_flow(wire: Pair) -> None:
    """Datagrams of one flow that a rule drops and that nobody listens for are two rows."""
    with (
        Watch(asked(wire, "packetloss", counts_s=0.5)) as watch,
        contextlib.closing(wire.client.socket(6, socket.SOCK_DGRAM)) as sender,
    ):

        def lose(times: int, so_far: int) -> None:
            for _ in range(times):
                sender.sendto(b"x", (ADDRESSES[6][1], 7017))
            lost = to_port("packet-loss", 7017, wire.server.inode)
            watch.until(lambda: sum(map(lost, watch.events)) == so_far, "the losses")

        with wire.server.rule(6, "INPUT", "-p", "udp", "--dport", "7017", "-j", "DROP"):
            lose(3, 3)
        lose(2, 5)

        def rows() -> dict[bool, int]:
            counts = watch.counts.get("packetloss")
            flows = counts.flows if counts else ()
            return {row.netfilter: row.count for row in flows if row.destination_port == 7017}

        watch.until(lambda: sum(rows().values()) == 5, "all to be counted")
        assert rows() == {True: 3, False: 2}


def test_counts_come_again_and_again(wire: Pair) -> None:
    """Counts that are asked for at intervals grow, and name functions of which no sample has come."""
    with (
        wire.server.rule(4, "INPUT", "-p", "udp", "--dport", "7016", "-j", "DROP"),
        Watch(asked(wire, "packetloss", counts_s=0.5, total_bytes=100)) as watch,
    ):
        send_udp(wire.client, 4, ADDRESSES[4][1], 7016)
        watch.until(lambda: watch.counted("packetloss")[-1:] == [1], "the first count")
        send_udp(wire.client, 4, ADDRESSES[4][1], 7016)
        watch.until(lambda: watch.counted("packetloss")[-1:] == [2], "the second")
        watch.catch_up("packetloss")
    assert watch.counted("packetloss")[-1] == 2
    # A program sees the whole machine: other namespaces' drops may be unsent beside these two.
    assert watch.counts["packetloss"].unsent >= 2
    assert watch.counts["packetloss"].totals[0].function in {"nf_hook_slow", "nf_drop_reason", "nft_do_chain"}
    assert watch.events == []


def test_wall_clock_is_the_nodes(wire: Pair, watch: Watch) -> None:
    """An event's wall clock lies between the moments before and after its cause."""
    before = time.time_ns()
    send_udp(wire.client, 4, ADDRESSES[4][1], 7012)
    seen = watch.first(to_port("packet-loss", 7012, wire.server.inode), "the loss")
    assert before - 5_000_000 <= seen.wall_ns <= time.time_ns() + 5_000_000


def test_times_of_the_start_and_cost_of_a_program_are_told(
    wire: Pair, record_property: Callable[[str, object], None]
) -> None:
    """Each step of a start has its time, and the kernel says what programs cost; ``make bench`` compares them."""
    with (
        wire.server.rule(4, "INPUT", "-p", "udp", "--dport", "7013", "-j", "DROP"),
        Watch(asked(wire, duration_s=4.0, stats=True)) as watch,
    ):
        send_udp(wire.client, 4, ADDRESSES[4][1], 7013, 200)
        watch.wait()
    runs, ns = watch.counts["packetloss"].cost["on_kfree_skb"]
    steps = {
        name: {step: round(ms, 1) for step, ms in setup.ms.items()} for name, setup in watch.setups.items()
    }
    record_property(
        "counted", f"eBPF start, ms: {steps}; a drop costs {ns / max(runs, 1):.0f} ns ({runs} runs)"
    )
    assert runs >= 200
    for setup in watch.setups.values():
        assert 0 < sum(setup.ms[step] for step in ("maps", "relocate", "load", "attach")) <= setup.ms["all"]


def test_sigkill_leaves_nothing(wire: Pair) -> None:
    """After a SIGKILL of the program the kernel has neither its programs nor its maps."""
    with Watch(asked(wire)) as watch:
        held = held_by(watch.process.pid)
        assert (len(held["prog"]), len(held["map"])) == (5, 15)
        watch.process.kill()
        watch.process.wait()
        watch.until(lambda: are_gone(held), "its programs and maps to go")


def test_end_of_standard_input_ends_it(wire: Pair) -> None:
    """When the connection goes, the program goes."""
    with Watch(asked(wire)) as watch:
        assert watch.process.stdin is not None
        watch.process.stdin.close()
        watch.process.wait(PATIENCE_S)
        watch.reader.join(PATIENCE_S)
        assert not watch.ended_whole


def test_lockdown_is_one_clear_outcome(tmp_path: os.PathLike[str]) -> None:
    """Under a lockdown for confidentiality every probe is unavailable, and says so, before anything is loaded."""
    path = os.path.join(tmp_path, "lockdown")  # noqa: PTH118
    with open(path, "w", encoding="ascii") as file:  # noqa: PTH123
        file.write("none integrity [confidentiality]\n")
    with Watch(BpfRequest(ALL, 1.0, lockdown=path, backend="core")) as watch:
        watch.wait()
    assert {setup.status for setup in watch.setups.values()} == {"unavailable"}
    assert "lockdown is [confidentiality]" in watch.setups["packetloss"].detail


def test_without_types_nothing_is_guessed() -> None:
    """Where the kernel does not show its types, every probe is unavailable with the path and the errno."""
    with Watch(BpfRequest(ALL, 1.0, btf="/sys/kernel/btf/not-there", backend="core")) as watch:
        watch.wait()
    assert {setup.status for setup in watch.setups.values()} == {"unavailable"}
    assert "/sys/kernel/btf/not-there: ENOENT" in watch.setups["tcpreset"].detail


def test_without_privilege_the_errno_is_told() -> None:
    """Without capabilities every probe is unavailable: EPERM, and which capabilities are needed."""
    with Watch(
        BpfRequest(ALL, 1.0, backend="core"), prefix=("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    ) as watch:
        watch.wait()
    setup = watch.setups["packetloss"]
    assert setup.status == "unavailable"
    assert "EPERM" in setup.detail
    assert "CAP_BPF" in setup.detail


def test_hooks_that_this_kernel_lacks_are_told_and_the_rest_works(
    wire: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where neither kprobes nor fentry work, the probe is degraded, each hook has its errno, and the others see."""
    probe = PROBES["tcpreset"]
    hooks = tuple(replace(hook, needed=None) for hook in probe.hooks)
    monkeypatch.setitem(PROBES, "tcpreset", replace(probe, hooks=hooks))
    with Watch(asked(wire, "tcpreset")) as watch:
        reports = {report.program: report for report in watch.setups["tcpreset"].hooks}
        if reports["at_tcp_v4_send_reset"].status == "ok":
            pytest.skip("this kernel has kprobes")
        with contextlib.closing(wire.client.socket(4)) as client:
            client.connect_ex((ADDRESSES[4][1], 7014))
        watch.first(to_port("reset-no-socket", 7014, wire.server.inode), "the reset by the tracepoint")
    assert watch.setups["tcpreset"].status == "degraded"
    assert reports["at_tcp_v4_send_reset"].status == "absent"
    assert "ENOENT" in reports["at_tcp_v4_send_reset"].detail
    if reports["in_tcp_v4_send_reset"].status != "ok":
        assert reports["in_tcp_v4_send_reset"].detail.split(": ")[1].startswith("E")


def test_an_argument_too_many_is_found_out_where_types_do_not_tell(wire: Pair) -> None:
    """On kernels whose types have no prototypes of tracepoints, programs are tried with fewer and fewer arguments."""

    def blind(source: str) -> str:
        return source.replace(
            "def arity(self, tracepoint):", "def arity(self, tracepoint):\n        return None"
        )

    with Watch(
        asked(wire, "packetloss"), change=lambda source: blind(source).replace("args_4", "args_9")
    ) as watch:
        send_udp(wire.client, 4, ADDRESSES[4][1], 7015)
        seen = watch.first(to_port("packet-loss", 7015, wire.server.inode), "the loss")
    assert watch.setups["packetloss"].status == "ok"
    assert seen.reason_name == "NO_SOCKET"
