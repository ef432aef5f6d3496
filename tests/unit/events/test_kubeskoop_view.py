"""Events in KubeSkoop's shape: its types, its labels in its order, its messages."""

from __future__ import annotations

import json

import pytest

from skoopctl.bpf.catalogue import PROBES
from skoopctl.events.event import End, EndKind, Event
from skoopctl.events.kubeskoop import COMPATIBLE, kubeskoop_event
from tests.unit.events.made_events import DROP, INNER, NODE2, WALL_NS, WEB, bare, made

END = ("", "_type", "_node", "_namespace", "_pod")
TUPLE = ["protocol", *(f"src{name}" for name in END), *(f"dst{name}" for name in END), "sport", "dport"]
SAYS = "protocol=TCP saddr=10.244.1.5 sport=43210 daddr=192.168.1.2 dport=8080 "


def labels(event: Event) -> dict[str, str]:
    """Return the labels of an event's view, in their order."""
    view = kubeskoop_event(event)
    assert view is not None
    return {label["name"]: label["value"] for label in view["labels"]}


def message(event: Event) -> str:
    """Return the message of an event's view."""
    view = kubeskoop_event(event)
    assert view is not None
    return str(view["msg"])


def test_a_drop_has_its_tuple_and_the_functions() -> None:
    """Both ends with their kinds, names and ports; the message is the way through the kernel."""
    view = kubeskoop_event(DROP)
    assert view is not None
    assert list(view) == ["timestamp", "type", "labels", "msg"]
    assert (view["timestamp"], view["type"]) == (WALL_NS, "PacketLoss")
    assert view["msg"] == "nf_hook_slow\nip_local_deliver"
    assert list(labels(DROP)) == TUPLE
    assert list(labels(DROP).values()) == [
        *("TCP", "10.244.1.5", "pod", "", "shop", "web-0"),
        *("192.168.1.2", "node", "node2", "", "", "43210", "8080"),
    ]


def test_what_a_packet_carries_changes_nothing() -> None:
    """KubeSkoop tells the packet outside alone, and whatever reads its events gets no more."""
    assert kubeskoop_event(made(inner=INNER)) == kubeskoop_event(DROP)


@pytest.mark.parametrize(
    "kind", ["reset-no-socket", "reset-active", "reset-process", "reset-received", "transmit-qdisc-slow"]
)
def test_an_event_of_a_namespace_has_pod_namespace_and_node(kind: str) -> None:
    """The three labels stand in the order in which KubeSkoop's console numbers them."""
    probe = "netiftxlat" if kind.startswith("transmit") else "tcpreset"
    assert list(labels(made(probe=probe, kind=kind)).items()) == [
        ("pod", "web-0"),
        ("namespace", "shop"),
        ("node", "node1"),
    ]


def test_an_end_that_is_a_service_or_a_stranger_is_unknown() -> None:
    """KubeSkoop knows pods and nodes; names of anything else would be taken for a pod's."""
    service = End("10.96.0.10", 53, EndKind.SERVICE, "kube-system", "kube-dns")
    found = labels(made(source=service, destination=End("1.1.1.1", 53)))
    assert [found[name] for name in TUPLE if name.startswith("src_")] == ["unknown", "", "", ""]
    assert [found[name] for name in TUPLE if name.startswith("dst_")] == ["unknown", "", "", ""]


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (made(probe="tcpreset", kind="reset-active", tcp_state="SYN_SENT"), f"{SAYS} state:TCP_SYN_SENT "),
        (made(probe="tcpreset", kind="reset-active", tcp_state="CLOSE_WAIT"), f"{SAYS} state:TCP_OTHER "),
        (
            made(probe="netiftxlat", kind="transmit-qdisc-slow", latency_ns=105_300_000),
            f"{SAYS} latency:105 ms",
        ),
        (
            made(probe="softirq", kind="softirq-run-slow", cpu=3, pid=9, latency_ns=12_000_001),
            "cpu=3 pid=9 latency=12 ms ",
        ),
        (
            made(
                probe="conntrack",
                kind="conntrack-update",
                details={"status": "SEEN_REPLY,ASSURED", "state": "ESTABLISHED"},
            ),
            "Proto = TCP Replied = true State = ESTABLISHED Src = 10.244.1.5:43210, Dst = 192.168.1.2:8080",
        ),
        (
            made(
                probe="conntrack",
                kind="conntrack-new",
                protocol="UDP",
                source=End("fd00::1", 53),
                destination=None,
            ),
            "Proto = UDP Replied = false Src = [fd00::1]:53, Dst = :0",
        ),
        (made(probe="kernellatency", kind="receive-slow", latency_ns=10_900_000), f"{SAYS} latency:10 ms"),
        (made(probe="kernellatency", kind="send-slow", latency_ns=10_900_000), f"{SAYS} latency=10 ms"),
        (made(probe="socketlatency", kind="read-very-slow", latency_ns=2_000), f"{SAYS} latency=2 us"),
        (
            made(probe="virtcmdlatency", kind="virtio-command-slow", cpu=1, pid=2, latency_ns=10_900_000),
            "cpu=1  pid=2  latency=10 ms",
        ),
        (
            made(probe="biolatency", kind="block-slow", task="dd", pid=9, latency_ns=999_999),
            "dd 9 latency 999 us",
        ),
        (
            made(probe="biolatency", kind="block-slow", task="dd", pid=9, latency_ns=999),
            "dd 9 latency 999 ns",
        ),
    ],
    ids=lambda value: value.kind if isinstance(value, Event) else None,
)
def test_messages_are_written_as_kubeskoop_does(event: Event, said: str) -> None:
    """Separators, double spaces and units are its own, so that what parses its messages goes on working."""
    assert message(event) == said


def test_ipv6_is_told_as_well() -> None:
    """KubeSkoop leaves these events out; addresses and ports are in the tuple here."""
    event = made(
        probe="tcpreset",
        kind="reset-active",
        protocol="TCP",
        source=End("fd00::1", 1),
        destination=End("fd00::2", 2),
    )
    assert message(event).startswith("protocol=TCP saddr=fd00::1 sport=1 daddr=fd00::2 dport=2 ")


@pytest.mark.parametrize(
    ("protocol", "wanted"), [("UDP", "UDP"), ("ICMPv6", "ICMP6"), ("SCTP", "IP"), ("", "IP"), ("89", "IP")]
)
def test_a_protocol_that_kubeskoop_does_not_name_is_ip(protocol: str, wanted: str) -> None:
    """TCP, UDP, ICMP and ICMP6 have names there."""
    assert labels(made(protocol=protocol))["protocol"] == wanted


def test_a_softirq_s_type_is_its_only_label() -> None:
    """It belongs to no pod; the type is in small letters."""
    event = made(probe="softirq", kind="softirq-wait-slow", reason="NET_RX")
    assert labels(event) == {"type": "net_rx"}


def test_an_event_without_ends_has_all_labels_empty() -> None:
    """A reader that takes labels by their names finds each."""
    found = labels(bare())
    assert list(found) == TUPLE
    assert set(found.values()) == {"IP", "", "unknown", "0"}


@pytest.mark.parametrize("kind", sorted(COMPATIBLE))
def test_each_kind_that_kubeskoop_has_is_shown_with_its_type(kind: str) -> None:
    """The view of every kind of the catalogue with a counterpart is JSON with that type."""
    (probe,) = (p for p in PROBES.values() if kind in {k.name for k in p.kinds})
    view = kubeskoop_event(made(probe=probe.name, kind=kind))
    assert view is not None
    assert json.loads(json.dumps(view))["type"] == COMPATIBLE[kind]


def test_a_kind_that_kubeskoop_does_not_have_is_not_shown() -> None:
    """Nothing is invented for it."""
    assert (
        kubeskoop_event(made(probe="tcpconnect", kind="connect-failed", source=WEB, destination=NODE2))
        is None
    )
