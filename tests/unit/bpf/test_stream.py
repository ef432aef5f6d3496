"""What a node says of its probes, and what it may not say."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skoopctl.bpf.stream import Counts, Detached, Passed, SelfTest, Setup, Stream
from skoopctl.errors import EvidenceError
from skoopctl.evidence.frames import MAGIC, read_frame
from tests.support.bpf_loader import loader

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
    "health": {"sampled": 6, "lost": 1, "uncounted": 0, "unsent": 0},
    "cost": {"on_kfree_skb": [7, 9000]},
}
ROWS: dict[str, Any] = {
    "totals": [[100, 4026532000, 12, 1, 7], [200, 4026532000, 12, 1, 5]],
    "flows": [
        ["a00300f0" + "01040601" + "409c" + "bb01" + "0a000001" + "00" * 12 + "0a000002" + "00" * 12, 7]
    ],
    "latencies": [],
}
SYMBOLS = {
    "what": "symbols",
    "names": {"100": "nft_do_chain+0x1", "200": "skb_queue_purge+0x2"},
    "trouble": "",
}


SELF_TEST = {
    "what": "selftest",
    "probe": "packetloss",
    "result": "silent",
    "detail": "saw nothing",
    "ms": 1.5,
}
DETACHED = {
    "what": "detached",
    "probe": "packetloss",
    "reason": "overhead",
    "share": 0.3,
    "budget": 0.04,
    "by": "time",
}


def body_of(meta: dict[str, Any]) -> bytes:
    """Return the body of a frame: the rows of counts stand there."""
    rows = {name: meta.get(name, value) for name, value in ROWS.items()}
    return json.dumps(rows).encode() if meta.get("what") == "counts" else b""


def test_counts_have_the_names_that_came_before() -> None:
    """Reasons and functions of counts are those that setup and symbols told; emptied queues are counted apart."""
    stream = Stream()
    setup = stream.take(SETUP)
    assert stream.take(SYMBOLS) is None
    counts = stream.take(COUNTS, body_of(COUNTS))
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
    assert (flow.source, flow.source_port) == ("10.0.0.1", 40000)
    assert (flow.destination, flow.destination_port) == ("10.0.0.2", 443)
    assert flow.netfilter
    assert (counts.ignored, counts.lost, counts.cost["on_kfree_skb"]) == (5, 1, (7, 9000))
    assert counts.missed == 0
    told = {**COUNTS, "health": {**COUNTS["health"], "missed": 6}}
    again = stream.take(told, body_of(told))
    assert isinstance(again, Counts)
    assert again.missed == 6


def test_flows_may_have_sums_behind_their_count() -> None:
    """Bytes, packets, retransmits and round trip stand behind the count; without them they are 0."""
    key = ROWS["flows"][0][0]
    meta = {**COUNTS, "flows": [[key, 1, 2000, 30, 4, 55], [key, 7]]}
    counts = Stream().take(meta, body_of(meta))
    assert isinstance(counts, Counts)
    sums = [(each.count, each.bytes, each.packets, each.retransmits, each.rtt_us) for each in counts.flows]
    assert sums == [(1, 2000, 30, 4, 55), (7, 0, 0, 0, 0)]


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
        {**COUNTS, "flows": [[ROWS["flows"][0][0]]]},
        {**COUNTS, "flows": [[ROWS["flows"][0][0], 1, -2]]},
        {**COUNTS, "flows": [[ROWS["flows"][0][0], 1, 2, 3, 4, 5, 6]]},
        {**COUNTS, "health": {}},
        {**SYMBOLS, "names": {"1": 2}},
        {**SELF_TEST, "result": "fine"},
        {**SELF_TEST, "probe": "nobody"},
        {**DETACHED, "share": "much"},
        {**SETUP, "passed": [["core", "fine", "", []]]},
        {**SETUP, "passed": [["core"]]},
    ],
)
def test_what_is_not_known_is_refused(meta: dict[str, Any]) -> None:
    """Unknown words, probes, statuses and kinds, and numbers that are none, are one error."""
    with pytest.raises(EvidenceError):
        Stream().take(meta, body_of(meta))


def test_a_self_test_and_a_probe_that_was_taken_off_are_told() -> None:
    """What a self-test gave, what a detached probe cost, and why a backend was passed over arrive as they are."""
    tested, off = Stream().take(SELF_TEST), Stream().take(DETACHED)
    setup = Stream().take({**SETUP, "passed": [["core", "absent", "no BTF", []]], "missing": ["namespaces"]})
    assert tested == SelfTest("packetloss", "silent", "saw nothing", 1.5)
    assert off == Detached("packetloss", "overhead", 0.3, 0.04, "time")
    assert isinstance(setup, Setup)
    assert (setup.passed, setup.missing) == ((Passed("core", "absent", "no BTF"),), ("namespaces",))


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


@given(st.sampled_from([SETUP, COUNTS | ROWS, SYMBOLS, SELF_TEST, DETACHED]), st.data(), _JSON)
def test_any_value_in_any_place_is_taken_or_refused(
    meta: dict[str, Any], data: st.DataObject, value: Any
) -> None:
    """Whatever stands in the place of a value, it is taken or refused with one kind of error."""
    key = data.draw(st.sampled_from(sorted(meta)))
    try:
        said = Stream().take({**meta, key: value}, body_of({**meta, key: value}))
    except EvidenceError:
        return
    assert said is None or said.probe == "packetloss"


FLOWS, FUNCTIONS = 8192, 2000
"""As many as the map of flows holds, and more functions than a description has room for."""


def said_by_a_node(file: Path, flows: int, functions: int) -> list[Any]:
    """Return what the loader says of so many counts, by its own writer and our own reader."""
    node, stream = loader(), Stream()
    key = ROWS["flows"][0][0]
    counts = {
        **{name: value for name, value in COUNTS.items() if name != "what"},
        "totals": [[number + 1, 4026532000, 12, 1, 7] for number in range(functions)],
        "flows": [[key, number] for number in range(flows)],
        "latencies": [],
    }
    with file.open("w+b", 0) as raw:
        frames = node.Frames(raw.fileno(), 1 << 30)

        def send(what: str, meta: dict[str, Any], payload: Any = None) -> None:
            frames.send(node.BPF_FRAME, node.to_json({**meta, "what": what}).encode(), payload)
            frames.flush()

        session = node.Session({"total_bytes": 1 << 30}, send)
        session.symbols = SimpleNamespace(
            told=set(), trouble="", name=lambda address: f"function_{address}+0x1"
        )
        session.probes = [SimpleNamespace(counts=lambda: counts)]
        session.tell_counts()
        data = file.read_bytes()
    said, offset = [], 0
    while offset < len(data):
        frame, offset = read_frame(data, offset + len(MAGIC))
        said.append(stream.take(frame.meta, frame.body))
    return said


def test_a_map_that_is_full_can_be_told(tmp_path: Path) -> None:
    """All flows and all functions of a busy node arrive, whatever a frame's description may hold."""
    *_, counts = said_by_a_node(tmp_path / "frames", FLOWS, FUNCTIONS)
    assert isinstance(counts, Counts)
    assert [flow.count for flow in counts.flows] == list(range(FLOWS))
    assert [total.function for total in counts.totals] == [f"function_{n + 1}" for n in range(FUNCTIONS)]
