"""What a node says of its probes, and what it may not say."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skoopctl.bpf.stream import Counts, Setup, Stream
from skoopctl.errors import EvidenceError

HOOK = {"program": "on_kfree_skb", "hook": "raw_tp", "target": "kfree_skb", "what": "drops", "status": "ok"}
SETUP: dict[str, Any] = {
    "what": "setup",
    "probe": "packetloss",
    "status": "ok",
    "backend": "core",
    "buffer": "ring",
    "hooks": [HOOK],
    "names": {"12": "SKB_DROP_REASON_NETFILTER_DROP"},
    "ms": {"btf": 45.5},
}
COUNTS: dict[str, Any] = {
    "what": "counts",
    "probe": "packetloss",
    "totals": [[100, 4026532000, 12, 1, 7], [200, 4026532000, 12, 1, 5]],
    "flows": [
        ["a00300f0" + "01040600" + "409c" + "bb01" + "0a000001" + "00" * 12 + "0a000002" + "00" * 12, 7]
    ],
    "health": {"sampled": 6, "lost": 1, "uncounted": 0, "unsent": 0},
    "cost": {"on_kfree_skb": [7, 9000]},
}
SYMBOLS = {
    "what": "symbols",
    "names": {"100": "nft_do_chain+0x1", "200": "skb_queue_purge+0x2"},
    "trouble": "",
}


def test_counts_have_the_names_that_came_before() -> None:
    """Reasons and functions of counts are those that setup and symbols told; emptied queues are counted apart."""
    stream = Stream()
    setup = stream.take(SETUP)
    assert stream.take(SYMBOLS) is None
    counts = stream.take(COUNTS)
    assert isinstance(setup, Setup)
    assert isinstance(counts, Counts)
    assert (setup.status, setup.hooks[0].target, setup.ms["btf"]) == ("ok", "kfree_skb", 45.5)
    (total,) = counts.totals
    assert (total.reason_name, total.function, total.count, total.netns) == (
        "NETFILTER_DROP",
        "nft_do_chain",
        7,
        4026532000,
    )
    (flow,) = counts.flows
    assert (flow.source, flow.source_port, flow.destination, flow.destination_port) == (
        "10.0.0.1",
        40000,
        "10.0.0.2",
        443,
    )
    assert (counts.ignored, counts.lost, counts.cost["on_kfree_skb"]) == (5, 1, (7, 9000))


@pytest.mark.parametrize(
    "meta",
    [
        {},
        {"what": "else"},
        {**SETUP, "probe": "nobody"},
        {**SETUP, "status": "fine"},
        {**SETUP, "hooks": [{**HOOK, "status": "fine"}]},
        {**SETUP, "names": {"x": "y"}},
        {**COUNTS, "totals": [[1, 2, 3]]},
        {**COUNTS, "totals": [[1, 2, 3, 99, 5]]},
        {**COUNTS, "totals": [[1, 2, 3, 1, -5]]},
        {**COUNTS, "flows": [["00", 1]]},
        {**COUNTS, "health": {}},
        {**SYMBOLS, "names": {"1": 2}},
    ],
)
def test_what_is_not_known_is_refused(meta: dict[str, Any]) -> None:
    """Unknown words, probes, statuses and kinds, and numbers that are none, are one error."""
    with pytest.raises(EvidenceError):
        Stream().take(meta)


def test_words_of_a_node_hold_no_control_characters() -> None:
    """What a node calls a hook cannot write into a terminal."""
    said = Stream().take({**SETUP, "detail": "\x1b[2J", "hooks": [{**HOOK, "detail": "a\nb\x07"}]})
    assert isinstance(said, Setup)
    assert (said.detail.isprintable(), said.hooks[0].detail.isprintable()) == (True, True)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(st.sampled_from([SETUP, COUNTS, SYMBOLS]), st.data(), _JSON)
def test_any_value_in_any_place_is_taken_or_refused(
    meta: dict[str, Any], data: st.DataObject, value: Any
) -> None:
    """Whatever stands in the place of a value, it is taken or refused with one kind of error."""
    key = data.draw(st.sampled_from(sorted(meta)))
    try:
        said = Stream().take({**meta, key: value})
    except EvidenceError:
        return
    assert said is None or said.probe == "packetloss"
