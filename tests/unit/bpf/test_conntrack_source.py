"""The conntrack probe without a kernel: messages that are damaged, and modules that are not there."""

from __future__ import annotations

import struct
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.bpf_loader import loader


def attribute(kind: int, data: bytes) -> bytes:
    """Return an attribute with its padding."""
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def ends(source: bytes, destination: bytes) -> bytes:
    """Return the inside of a tuple of TCP, from port 1000 to 80."""
    addresses = attribute(1, source) + attribute(2, destination)
    ports = attribute(1, b"\6") + attribute(2, struct.pack(">H", 1000)) + attribute(3, struct.pack(">H", 80))
    return attribute(1, addresses) + attribute(2, ports)


ORIGINAL = attribute(1, ends(b"\x0a\0\0\1", b"\x0a\0\0\2"))


@pytest.mark.parametrize(
    ("kind", "flags", "name"),
    [
        (1 << 8, 0x600, "CT_NEW_KIND"),
        (1 << 8, 0, "CT_UPDATE_KIND"),
        (1 << 8 | 2, 0, "CT_DESTROY_KIND"),
    ],
)
def test_the_kind_is_that_of_the_message(kind: int, flags: int, name: str) -> None:
    """New and changed entries differ by flags, the end by its type; a single direction is enough."""
    node = loader()
    row = node.event_row(kind, flags, ORIGINAL)
    assert row == {
        "kind": getattr(node, name),
        "source": "10.0.0.1",
        "source_port": 1000,
        "destination": "10.0.0.2",
        "destination_port": 80,
        "protocol": 6,
        "details": {},
    }


@pytest.mark.parametrize("kind", [0, 2, 1 << 8 | 1, 2 << 8 | 1, 5 << 8])
def test_other_messages_are_passed_over(kind: int) -> None:
    """Messages of other subsystems, and answers, are no events."""
    assert loader().event_row(kind, 0x600, ORIGINAL) is None


@given(st.integers(0, len(ORIGINAL)), st.binary(max_size=8), st.sampled_from([1 << 8, 1 << 8 | 2, 2 << 8]))
def test_damaged_messages_are_a_row_or_none(at: int, noise: bytes, kind: int) -> None:
    """A message with other bytes in it, or cut, is a row with both ends, or nothing."""
    for data in (ORIGINAL[:at] + noise + ORIGINAL[at + len(noise) :], ORIGINAL[:at]):
        row = loader().event_row(kind, 0, data)
        assert row is None or {"kind", "source", "destination", "protocol"} <= row.keys()


def test_no_module_is_loaded_by_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where asking would load nf_conntrack_netlink, no socket is opened, and the probe says what is missing."""
    node = loader()
    names = node.ConntrackProbe.open.__globals__
    monkeypatch.setitem(names, "Modules", lambda: SimpleNamespace(is_asked_freely=lambda _: False))
    monkeypatch.setitem(names, "sockets", None)
    with pytest.raises(node.Outcome) as raised:
        node.ConntrackProbe({"name": "conntrack"}, None)
    assert "nf_conntrack_netlink is not loaded" in raised.value.detail
