"""What BCC's backend reads from a kernel's headers: arguments of tracepoints, reasons, newer fields."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from skoopctl.bpf.artefact import bpf_folder
from skoopctl.bpf.rendering import rendered
from tests.support.bpf_loader import loader

SKB_EVENTS = """
TRACE_EVENT(kfree_skb,

\tTP_PROTO(struct sk_buff *skb, void *location,
\t\t enum skb_drop_reason reason),

\tTP_ARGS(skb, location, reason),
);
"""
TCP_EVENTS = """
DEFINE_EVENT(tcp_event_sk_skb, tcp_send_reset,

\tTP_PROTO(const struct sock *sk, const struct sk_buff *skb),
"""
REASONS = """
enum skb_drop_reason {
\t/**
\t * @SKB_NOT_DROPPED_YET: zero, and a comma, that counts for nothing
\t */
\tSKB_NOT_DROPPED_YET = 0,
\t/** @SKB_CONSUMED: consumed */
\tSKB_CONSUMED,
\tSKB_DROP_REASON_NOT_SPECIFIED,
\tSKB_DROP_REASON_FAR = 20,
\tSKB_DROP_REASON_NEXT,
\tSKB_DROP_REASON_SUBSYS_MASK = 0xffff0000,
\tSKB_DROP_REASON_LOST,
};
"""
NET = "struct net {\n\tatomic64_t\t\tnet_cookie;\n};\nstruct other {\n\tu64 net_cookie;\n};\n"


@pytest.fixture
def types(tmp_path: Path) -> Any:
    """Return the types of a kernel with two folders of headers, of which the first lacks some."""
    near, far = tmp_path / "near", tmp_path / "far"
    for path, text in (
        (far / "include/trace/events/skb.h", SKB_EVENTS),
        (far / "include/trace/events/tcp.h", TCP_EVENTS),
        (near / "include/net/dropreason.h", REASONS),
        (near / "include/net/net_namespace.h", NET),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return loader().HeaderTypes([str(near), str(far)])


@pytest.mark.parametrize(
    ("tracepoint", "expected"), [("kfree_skb", 3), ("tcp_send_reset", 2), ("tcp_receive_reset", 0)]
)
def test_arguments_of_tracepoints(types: Any, tracepoint: str, expected: int) -> None:
    """The prototype of an event tells how many arguments there are; what is not found has none."""
    assert types.arity(tracepoint) == expected


def test_reasons_have_the_numbers_of_the_compiler(types: Any) -> None:
    """Enumerators count on from the last number; where one is computed, nothing behind it is guessed."""
    assert types.names_of("skb_drop_reason") == {
        "0": "SKB_NOT_DROPPED_YET",
        "1": "SKB_CONSUMED",
        "2": "SKB_DROP_REASON_NOT_SPECIFIED",
        "20": "SKB_DROP_REASON_FAR",
        "21": "SKB_DROP_REASON_NEXT",
    }
    assert types.names_of("sk_rst_reason") == {}


def test_reasons_that_kernels_may_lack_are_found_in_the_text() -> None:
    """Each enumerator that a probe asks for is found, so that a kernel without it compiles the same text."""
    assert loader().asked_about(rendered("packetloss", bpf_folder())) == [
        "SKB_CONSUMED",
        "SKB_DROP_REASON_NETFILTER_DROP",
        "SKB_DROP_REASON_QUEUE_PURGE",
    ]
    assert loader().asked_about(rendered("tcpreset", bpf_folder())) == []


def test_a_field_of_another_type_is_none(types: Any) -> None:
    """A field counts as there only in its struct and with the type that is read."""
    assert not types.has("net/net_namespace.h", "struct net {", "u64 net_cookie;")
    assert types.has("net/net_namespace.h", "struct other {", "u64 net_cookie;")
