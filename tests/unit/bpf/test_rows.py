"""Events as rows of JSON: what they become, and what a node may not say in them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skoopctl.bpf.catalogue import KINDS, PROBES
from skoopctl.bpf.events import Batch
from skoopctl.bpf.stream import Stream
from skoopctl.errors import EvidenceError

META = {"what": "rows", "probe": "dns", "offset_ns": 1_000, "lost": 3}
ROW: dict[str, Any] = {
    "kind": 112,
    "mono_ns": 5_000,
    "netns": 4026532000,
    "protocol": 17,
    "reason": 2,
    "latency_ns": 700,
    "source": "fd00::1",
    "source_port": 40000,
    "destination": "fd00:0::2",
    "destination_port": 53,
    "details": {"name": "a.example", "tries": 1},
}


def taken(rows: Any, **meta: Any) -> Batch:
    """Return what the stream makes of rows."""
    said = Stream().take({**META, **meta}, json.dumps({"rows": rows}).encode())
    assert isinstance(said, Batch)
    return said


def test_no_kind_is_given_twice() -> None:
    """Numbers and names of kinds are each one probe's, and fit into the byte that travels."""
    kinds = [kind for probe in PROBES.values() for kind in probe.kinds]
    assert len(kinds) == len(KINDS) == len({kind.name for kind in kinds})
    assert max(KINDS) < 256


def test_a_row_becomes_an_event() -> None:
    """Kind, reason, both ends, clocks, latency and details of a row are those of its event."""
    batch = taken([ROW])
    (event,) = batch.events
    assert (batch.probe, batch.lost, event.kind, event.reason_name) == ("dns", 3, "dns-error", "SERVFAIL")
    assert (event.family, event.source, event.destination) == (6, "fd00::1", "fd00::2")
    assert (event.source_port, event.destination_port, event.netns) == (40000, 53, 4026532000)
    assert (event.mono_ns, event.wall_ns) == (5_000, 6_000)
    assert event.delay is not None
    assert event.delay.latency_ns == 700
    assert event.details == {"name": "a.example", "tries": 1}


def test_a_row_without_ends_and_latency_has_none() -> None:
    """What a row does not have is empty, 0 or None."""
    (event,) = taken([{"kind": 114}]).events
    assert (event.family, event.source, event.delay, dict(event.details)) == (0, "", None, {})


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": 1},
        {"kind": 999},
        {"else": 1},
        {"netns": -1},
        {"netns": 1 << 32},
        {"source_port": 65536},
        {"source_port": True},
        {"mono_ns": 1 << 63},
        {"latency_ns": 1.5},
        {"source": "10.0.0.1"},
        {"source": ""},
        {"source": "fe80::1%eth0"},
        {"source": 5},
        {"details": []},
        {"details": {"x": None}},
        {"details": {"x": -1}},
        {"details": {str(number): 1 for number in range(33)}},
        {"function": 1},
    ],
)
def test_rows_that_are_none_are_refused(wrong: dict[str, Any]) -> None:
    """Kinds of another probe, unknown keys, numbers out of range and addresses that are none are one error."""
    with pytest.raises(EvidenceError):
        taken([{**ROW, **wrong}])


@pytest.mark.parametrize("meta", [{"lost": -1}, {"offset_ns": "1"}, {"offset_ns": None}, {"probe": "nobody"}])
def test_frames_that_are_none_are_refused(meta: dict[str, Any]) -> None:
    """Losses below zero, an offset that is no number and an unknown probe are one error."""
    with pytest.raises(EvidenceError):
        taken([ROW], **meta)


def test_more_events_than_a_frame_may_have_are_refused() -> None:
    """A frame with too many rows is an error, however short they are."""
    with pytest.raises(EvidenceError):
        taken([{"kind": 114}] * 20_001)


def test_details_hold_no_control_characters() -> None:
    """What a node says in a detail cannot write into a terminal, and is not endless."""
    (event,) = taken([{**ROW, "details": {"na\x1bme": "\x1b[2J" + "x" * 5_000}}]).events
    ((name, value),) = event.details.items()
    assert name.isprintable()
    assert isinstance(value, str)
    assert (value.isprintable(), len(value)) == (True, 1024)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(st.sampled_from(sorted(ROW)), _JSON)
def test_any_value_in_any_place_of_a_row_is_taken_or_refused(key: str, value: Any) -> None:
    """Whatever stands in the place of a value, it is one event or one kind of error."""
    try:
        batch = taken([{**ROW, key: value}])
    except EvidenceError:
        return
    assert len(batch.events) == 1


@given(_JSON, _JSON)
def test_any_body_is_taken_or_refused(rows: Any, offset: Any) -> None:
    """Whatever stands in the place of the rows and of the offset, it is a batch or one kind of error."""
    try:
        batch = taken(rows, offset_ns=offset)
    except EvidenceError:
        return
    assert len(batch.events) == len(rows)
