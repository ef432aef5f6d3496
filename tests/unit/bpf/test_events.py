"""Records of a node as events, and what is no record."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skoopctl.bpf.calls import NETFILTER_HOOKS, NO_LOSS, NO_LOSS_WITHOUT_REASON, callers, netfilter_hook
from skoopctl.bpf.catalogue import FRAMES, INNER_BYTES, PROBES
from skoopctl.bpf.events import BATCH, DELAY, MOST_WAYS, RECORD, STACK, Batch, Names, decode_batch
from skoopctl.bpf.inner import CARRIERS, INNER, Inner
from skoopctl.errors import EvidenceError

LOSS, RESET = PROBES["packetloss"], PROBES["tcpreset"]
NOW = 1_800_000_000_000_000_000
ADDRESS = 0xFFFFFFFF81000000


def names(**functions: int) -> Names:
    """Return what a node has said: functions at addresses, and the reasons of a kernel."""
    reasons = {2: "SKB_DROP_REASON_NOT_SPECIFIED", 12: "SKB_DROP_REASON_NETFILTER_DROP"}
    found = {address: f"{name}+0x1f" for name, address in functions.items()}
    return Names(found, {"packetloss": reasons, "tcpreset": {1: "SK_RST_REASON_NO_SOCKET"}})


def record(**values: object) -> bytes:
    """Return a record as bpf/record.h lays it out."""
    row: dict[str, object] = {
        "mono_ns": 5_000, "location": ADDRESS, "cookie": 9, "cgroup": 8, "netns": 4026532000, "ifindex": 3,
        "reason": 12, "length": 60, "kind": 1, "family": 4, "protocol": 6, "tcp_flags": 2, "state": 0, "flags": 0,
        "ethertype": 0x800, "source_port": 40000, "destination_port": 443, "error": 0,
        "source": bytes((10, 0, 0, 1)) + bytes(12),
        "destination": bytes((10, 0, 0, 2)) + bytes(12),
    }  # fmt: skip
    row.update(values)
    return RECORD.pack(*row.values())


def stack(*addresses: int, inner: bytes = bytes(INNER.size)) -> bytes:
    """Return the calls behind a record, and behind them what the packet carries: nothing."""
    return STACK.pack(*addresses, *[0] * (FRAMES - len(addresses))) + inner


def inside(**values: object) -> bytes:
    """Return a packet inside another as bpf/tunnel.h lays it out."""
    row: dict[str, object] = {
        "id": 7, "carrier": 1, "family": 4, "protocol": 6, "tcp_flags": 2, "flags": 4,
        "source_port": 40000, "destination_port": 8080,
        "source": bytes((10, 244, 0, 1)) + bytes(12), "destination": bytes((10, 244, 1, 2)) + bytes(12),
    }  # fmt: skip
    row.update(values)
    return INNER.pack(*row.values())


def batch(probe: str, *records: bytes, lost: int = 0) -> bytes:
    """Return a batch."""
    return BATCH.pack(1, PROBES[probe].record_bytes, NOW, lost) + b"".join(records)


def test_a_record_is_an_event_with_words() -> None:
    """Numbers keep their units, the clock becomes the wall's, reasons and functions get the node's names."""
    known = names(
        nft_do_chain=ADDRESS, nf_hook_slow=ADDRESS + 1, ip_forward=ADDRESS + 2, kfree_skb=ADDRESS + 9
    )
    body = batch("packetloss", record() + stack(ADDRESS + 9, ADDRESS, ADDRESS + 1, ADDRESS + 2), lost=4)
    decoded = decode_batch(LOSS, body, known)
    (event,) = decoded.events
    assert (decoded.lost, decoded.ignored) == (4, 0)
    assert (event.kind, event.wall_ns, event.mono_ns) == ("packet-loss", NOW + 5_000, 5_000)
    assert (event.source, event.source_port, event.destination, event.destination_port) == (
        "10.0.0.1",
        40000,
        "10.0.0.2",
        443,
    )
    assert (event.netns, event.ifindex, event.net_cookie, event.cgroup) == (4026532000, 3, 9, 8)
    assert (event.reason, event.reason_name, event.function) == (12, "NETFILTER_DROP", "nft_do_chain")
    assert (event.hook, event.calls) == ("FORWARD", ("nft_do_chain", "nf_hook_slow", "ip_forward"))


def test_a_function_that_is_named_later_is_named_from_then_on() -> None:
    """What was decoded before the node named a function does not hide its name."""
    known = names()
    body = batch("packetloss", record() + stack(ADDRESS, ADDRESS + 1, ADDRESS + 2))
    (before,) = decode_batch(LOSS, body, known).events
    assert (before.function, before.hook) == ("", "")
    known.learn({ADDRESS: "nft_do_chain", ADDRESS + 1: "nf_hook_slow", ADDRESS + 2: "ip_rcv"}.items())
    (after,) = decode_batch(LOSS, body, known).events
    assert (after.function, after.hook) == ("nft_do_chain", "PREROUTING")


def test_stacks_that_never_come_again_do_not_add_up() -> None:
    """Of however many different calls only so many are kept, and each has its names."""
    known = names(nft_do_chain=ADDRESS)
    for number in range(3 * MOST_WAYS):
        way = known.way(ADDRESS, stack(ADDRESS, number)[: STACK.size])
        assert way.function == "nft_do_chain"
        assert known.kept <= MOST_WAYS


def test_v6_addresses_are_written_short() -> None:
    """An IPv6 address is in its usual form."""
    body = batch("packetloss", record(family=6, source=bytes.fromhex("fd77" + "00" * 13 + "01")) + stack())
    assert decode_batch(LOSS, body, names()).events[0].source == "fd77::1"


def test_flags_are_told() -> None:
    """A fragment, and a kind that the kernel could not decide, are marked."""
    body = batch("tcpreset", record(kind=10, flags=1), record(kind=11, flags=2))
    first, second = decode_batch(RESET, body, names()).events
    assert (first.fragment, first.undecided, second.fragment, second.undecided) == (True, False, False, True)


@pytest.mark.parametrize(
    ("reason", "name"), [(12, "NETFILTER_DROP"), (99, "99"), (0x30007, "7 of subsystem 3")]
)
def test_reasons_that_the_node_does_not_name_are_numbers(reason: int, name: str) -> None:
    """A reason of another subsystem, or of no name, is never given the name of another one."""
    body = batch("packetloss", record(reason=reason) + stack())
    assert decode_batch(LOSS, body, names()).events[0].reason_name == name


@pytest.mark.parametrize("function", sorted(NO_LOSS))
def test_what_is_no_loss_is_counted_apart(function: str) -> None:
    """Queues that are emptied are no events, and it is said how many there were."""
    decoded = decode_batch(LOSS, batch("packetloss", record() + stack()), names(**{function: ADDRESS}))
    assert (decoded.events, decoded.ignored) == ((), 1)


@pytest.mark.parametrize("function", sorted(NO_LOSS_WITHOUT_REASON))
def test_a_reason_makes_it_a_loss(function: str) -> None:
    """What such a function frees without a reason is none; with a reason it is an event."""
    body = batch("packetloss", record(reason=2) + stack(), record(reason=12) + stack())
    decoded = decode_batch(LOSS, body, names(**{function: ADDRESS}))
    assert [event.reason_name for event in decoded.events] == ["NETFILTER_DROP"]
    assert decoded.ignored == 1


@pytest.mark.parametrize("function", sorted(NETFILTER_HOOKS))
def test_hooks_are_known_by_who_runs_the_rules(function: str) -> None:
    """Whoever called the function that runs rules is the hook, through the list of packets too."""
    assert netfilter_hook(("nf_hook_slow", function)) == NETFILTER_HOOKS[function]
    assert (
        netfilter_hook(("nft_do_chain", "nf_hook_slow", "nf_hook_slow_list", function))
        == NETFILTER_HOOKS[function]
    )


def test_other_calls_are_no_hook() -> None:
    """Without the function that runs rules, or with an unknown caller, no hook is named."""
    assert netfilter_hook(("tcp_v4_rcv", "ip_local_deliver")) == ""
    assert netfilter_hook(("nf_hook_slow", "something_new")) == ""
    assert netfilter_hook(()) == ""


def test_calls_begin_where_the_packet_was_dropped() -> None:
    """Frames of the tracepoint itself are left out; where the place is not among them, all are kept."""
    assert callers(3, (1, 2, 3, 4, 0, 0)) == (3, 4)
    assert callers(9, (1, 2, 0)) == (1, 2)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        batch("packetloss", record()),
        BATCH.pack(2, LOSS.record_bytes, 0, 0),
        BATCH.pack(1, RESET.record_bytes, 0, 0),
        batch("packetloss", record(kind=10) + stack()),
        batch("packetloss", record(family=5) + stack()),
        batch("packetloss", record(mono_ns=1 << 63) + stack()),
    ],
)
def test_what_is_no_batch_is_refused(body: bytes) -> None:
    """Cut records, another version or size, kinds of other probes and unknown families are refused."""
    with pytest.raises(EvidenceError):
        decode_batch(LOSS, body, names())


@given(st.binary(max_size=3 * LOSS.record_bytes), st.booleans())
def test_any_bytes_are_a_batch_or_refused(noise: bytes, with_head: bool) -> None:
    """Whatever a node sends, it is a batch or an error of one kind."""
    body = batch("packetloss", noise) if with_head else noise
    try:
        decoded = decode_batch(LOSS, body, names())
    except EvidenceError:
        return
    assert isinstance(decoded, Batch)
    assert len(decoded.events) + decoded.ignored == (len(body) - BATCH.size) // LOSS.record_bytes


_U8, _U16, _U32, _U64 = (st.integers(0, 2**bits - 1) for bits in (8, 16, 32, 64))


@given(
    mono_ns=st.integers(0, 2**63 - 1), location=_U64, cookie=_U64, cgroup=_U64, netns=_U32, ifindex=_U32, reason=_U32,
    length=_U32, kind=st.sampled_from([10, 11, 12, 13]), family=st.sampled_from([0, 4, 6]), protocol=_U8,
    tcp_flags=_U8, state=_U8, ethertype=_U16, source_port=_U16, destination_port=_U16,
    error=st.integers(-(2**31), 2**31 - 1),
)  # fmt: skip
def test_every_number_survives(**values: int) -> None:
    """What a program writes is what the event has, at the limits of each number too."""
    (event,) = decode_batch(RESET, batch("tcpreset", record(**values)), names()).events
    same = {name: value for name, value in values.items() if name not in {"cookie", "kind", "state"}}
    assert {name: getattr(event, name) for name in same} == same
    assert (event.net_cookie, event.tcp_state) == (values["cookie"], values["state"])
    assert event == replace(event, wall_ns=values["mono_ns"] + NOW)


def test_the_record_has_no_holes() -> None:
    """The record's size is what the programs write: a multiple of eight, so that ring buffers keep it aligned."""
    assert RECORD.size == struct.calcsize("=QQQQIIIIBBBBBBHHHi16s16s") == 96
    assert INNER.size == struct.calcsize("=IBBBBB3xHH16s16s") == INNER_BYTES == 48
    assert LOSS.record_bytes == 96 + 8 * FRAMES + 48


def test_what_a_packet_carries_is_behind_the_calls() -> None:
    """Tunnel, number, protocol, both ends and flags are those that the program wrote."""
    (event,) = decode_batch(
        LOSS, batch("packetloss", record() + stack(ADDRESS, inner=inside())), names()
    ).events
    assert event.inner == Inner("VXLAN", 7, 4, 6, "10.244.0.1", 40000, "10.244.1.2", 8080, 2, fragment=False)
    assert event.destination == "10.0.0.2"


@pytest.mark.parametrize("carrier", CARRIERS)
def test_every_carrier_has_its_name(carrier: int) -> None:
    """Each number is a tunnel; without the flag for it there is no id, with the other one it is a fragment."""
    body = batch("packetloss", record() + stack(inner=inside(carrier=carrier, flags=1)))
    inner = decode_batch(LOSS, body, names()).events[0].inner
    assert inner is not None
    assert (inner.tunnel, inner.id, inner.fragment) == (CARRIERS[carrier], None, True)


def test_without_a_carrier_there_is_nothing_inside() -> None:
    """What else stands there then is not looked at."""
    body = batch("packetloss", record() + stack(inner=inside(carrier=0, family=9)))
    assert decode_batch(LOSS, body, names()).events[0].inner is None


@pytest.mark.parametrize("wrong", [{"carrier": 5}, {"family": 0}, {"family": 5}])
def test_what_cannot_be_inside_is_refused(wrong: dict[str, int]) -> None:
    """A node that tells another tunnel or family is not believed."""
    with pytest.raises(EvidenceError, match="inside another"):
        decode_batch(LOSS, batch("packetloss", record() + stack(inner=inside(**wrong))), names())


def test_how_long_it_took_is_behind_the_record() -> None:
    """A record of a latency has nanoseconds, CPU, task and device; its reason is one of the catalogue's words."""
    tail = DELAY.pack(12_000_000, 3, 4711, 8 << 20 | 1, 0, b"sh\x1b\0rest")
    body = batch("softirq", record(kind=30, family=0, location=0, reason=3) + tail)
    (event,) = decode_batch(PROBES["softirq"], body, Names()).events
    assert (event.kind, event.reason_name) == ("softirq-wait-slow", "NET_RX")
    assert event.delay is not None
    assert (event.delay.latency_ns, event.delay.cpu, event.delay.pid) == (12_000_000, 3, 4711)
    assert event.delay.device == "8:1"
    assert event.delay.task.startswith("sh")
    assert event.delay.task.isprintable()
