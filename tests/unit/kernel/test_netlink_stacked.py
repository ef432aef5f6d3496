"""Devices on top of others and the VLANs of bridges, from messages as the kernel writes them.

This kernel has no VLAN devices, VRFs, bonds or ipvlan to record: the messages are built here after
include/uapi/linux/if_link.h and if_bridge.h. Macvlan is recorded by the live tests.
"""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skoopctl.kernel import netlink
from skoopctl.kernel.link import Bond, Link, SharedMode, Vlan, VlanEntry

DONE = struct.pack("=IHHIIi", 20, 3, 2, 1, 0, 0)


def attribute(kind: int, data: bytes) -> bytes:
    """Frame one attribute."""
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def link_message(family: int, *attributes: bytes) -> bytes:
    """Frame one RTM_NEWLINK of device 5."""
    body = struct.pack("=BxHiII", family, 1, 5, 1, 0) + b"".join(attributes)
    return struct.pack("=IHHII", 16 + len(body), 16, 2, 1, 0) + body


def device(kind: str, *data: bytes) -> Link:
    """Decode one device of a kind."""
    info = attribute(1, kind.encode() + b"\0") + attribute(2, b"".join(data))
    raw = link_message(0, attribute(3, b"dev\0"), attribute(18, info)) + DONE
    found = netlink.decode_links(raw)
    assert not found.problem
    return found.entries[0]


def test_stacked_devices() -> None:
    """VLAN, macvlan, ipvlan, VRF and bond devices keep what decides a frame's way."""
    vlan = device("vlan", attribute(1, struct.pack("=H", 42)), attribute(5, struct.pack(">H", 0x88A8)))
    assert vlan.vlan == Vlan(42, 0x88A8)
    assert device("macvlan", attribute(1, struct.pack("=I", 4))).shared is SharedMode.BRIDGE
    assert device("macvtap", attribute(1, struct.pack("=I", 8))).shared is SharedMode.PASSTHRU
    ipvlan = device("ipvlan", attribute(1, struct.pack("=H", 2)), attribute(2, struct.pack("=H", 1)))
    assert (ipvlan.shared, ipvlan.ipvlan_flags) == (SharedMode.L3S, 1)
    assert device("ipvlan", attribute(1, struct.pack("=H", 9))).shared is None
    assert device("vrf", attribute(1, struct.pack("=I", 1001))).vrf_table == 1001
    assert device("bond", attribute(1, b"\1"), attribute(2, struct.pack("=I", 7))).bond == Bond(1, 7)


def test_vlan_memberships_with_ranges() -> None:
    """A range is two entries on the wire; flags say which VLAN is the PVID and which leave untagged."""
    entries = [(1, 6), (10, 8), (12, 16), (20, 4)]
    info = b"".join(attribute(2, struct.pack("=HH", flags, vid)) for vid, flags in entries)
    found = netlink.decode_bridge_vlans(link_message(7, attribute(26, info)) + link_message(0) + DONE)
    assert not found.problem
    assert found.entries == (
        (
            5,
            (
                VlanEntry(1, pvid=True, untagged=True),
                VlanEntry(10),
                VlanEntry(11),
                VlanEntry(12),
                VlanEntry(20, untagged=True),
            ),
        ),
    )


@pytest.mark.parametrize("vid", [0, 4095, 60000])
def test_a_vlan_that_cannot_be_is_a_problem(vid: int) -> None:
    """A number outside 1 to 4094 makes the message malformed."""
    info = attribute(2, struct.pack("=HH", 0, vid))
    assert "VLAN" in netlink.decode_bridge_vlans(link_message(7, attribute(26, info)) + DONE).problem


@given(st.binary(max_size=200))
def test_garbage_is_a_problem_and_no_exception(noise: bytes) -> None:
    """Whatever a node sends, decoding ends with entries or a problem."""
    vlans = netlink.decode_bridge_vlans(link_message(7, attribute(26, noise)) + DONE)
    links = netlink.decode_links(link_message(0, attribute(18, noise)) + DONE)
    assert vlans.problem or vlans.entries
    assert links.problem or links.entries
    assert netlink.decode_bridge_vlans(noise).problem
