"""IFLA_INFO_DATA of the tunnels that the kernel of the tests does not have, by the layouts of its headers."""

from __future__ import annotations

import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skoopctl.kernel.link import Link
from skoopctl.kernel.netlink import decode_links, decode_wireguard
from skoopctl.kernel.tunnel import Df, Geneve, IpTunnel

DONE = struct.pack("=IHHIIi", 20, 3, 2, 1, 0, 0)
ONE, TWO = ip_address("192.168.3.86"), ip_address("192.168.3.87")
SIX = ip_address("fd03::2")


def attribute(kind: int, data: bytes) -> bytes:
    """Frame one attribute."""
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def link(kind: str, *data: tuple[int, bytes]) -> Link:
    """Decode a link of a kind with the given IFLA_INFO_DATA."""
    inside = b"".join(attribute(*each) for each in data)
    info = attribute(1, kind.encode() + b"\0") + attribute(2, inside)
    body = struct.pack("=BxHiII", 0, 768, 9, 0x1 | 0x80, 0) + attribute(3, b"t0\0") + attribute(18, info)
    dump = decode_links(struct.pack("=IHHII", 16 + len(body), 16, 2, 1, 0) + body + DONE)
    assert dump.problem == ""
    return dump.entries[0]


@pytest.mark.parametrize(("kind", "family"), [("ipip", 4), ("sit", 4), ("ip6tnl", 6)])
def test_ip_in_ip(kind: str, family: int) -> None:
    """IFLA_IPTUN_*: link, local, remote, protocol, path MTU discovery, mark."""
    ends = (ONE, TWO) if family == 4 else (SIX, SIX)
    found = link(
        kind,
        (1, struct.pack("=I", 3)),
        (2, ends[0].packed),
        (3, ends[1].packed),
        (9, b"\x04"),
        (10, b"\x00"),
        (20, struct.pack("=I", 0xCA6C)),
    )
    assert found.tunnel == IpTunnel(
        family, int(ends[0]), int(ends[1]), 3, pmtudisc=False, protocol=4, fwmark=0xCA6C
    )


def test_a_fallback_device_has_neither_end() -> None:
    """tunl0: local and remote are there, and zero."""
    found = link("ipip", (2, bytes(4)), (3, bytes(4)), (10, b"\x01"))
    assert found.tunnel == IpTunnel()
    assert found.noarp


def test_metadata_and_udp_wrapping() -> None:
    """IFLA_IPTUN_COLLECT_METADATA is a flag without a value; ENCAP_TYPE says FOU or GUE."""
    tunnel = link("ipip", (19, b""), (15, struct.pack("=H", 1))).tunnel
    assert isinstance(tunnel, IpTunnel)
    assert (tunnel.external, tunnel.wrapped) == (True, True)


@pytest.mark.parametrize("kind", ["gre", "gretap", "ip6gre", "ip6gretap"])
def test_gre(kind: str) -> None:
    """IFLA_GRE_*: keys count only when their flag is set; flags and keys are in network order."""
    flags_in, flags_out = struct.pack(">H", 0x2000), struct.pack(">H", 0x2000 | 0x8000 | 0x1000)
    tunnel = link(
        kind,
        (2, flags_in),
        (3, flags_out),
        (4, struct.pack(">I", 5)),
        (5, struct.pack(">I", 6)),
        (19, b"\x01"),
    ).tunnel
    assert isinstance(tunnel, IpTunnel)
    assert (tunnel.in_key, tunnel.out_key, tunnel.in_checked, tunnel.out_checked) == (5, 6, 0, 3)
    assert tunnel.ignore_df
    plain = link(kind, (4, bytes(4)), (5, bytes(4))).tunnel
    assert isinstance(plain, IpTunnel)
    assert (plain.in_key, plain.out_key) == (None, None)


def test_geneve() -> None:
    """IFLA_GENEVE_*: id, remote of either family, port in network order, DF, metadata."""
    found = link(
        "geneve", (1, struct.pack("=I", 7)), (2, TWO.packed), (5, struct.pack(">H", 6082)), (13, b"\x01")
    )
    assert found.tunnel == Geneve(7, 6082, 4, int(TWO), Df.SET)
    assert link("geneve", (1, bytes(4)), (7, SIX.packed)).tunnel == Geneve(0, 6081, 6, int(SIX))
    assert link("geneve", (6, b"")).tunnel == Geneve(external=True)


def test_vxlan_over_ipv6() -> None:
    """IFLA_VXLAN_LOCAL6 and GROUP6 make the underlay IPv6; DF and LOCALBIND are read."""
    vxlan = link("vxlan", (1, struct.pack("=I", 1)), (17, SIX.packed), (29, b"\x02"), (34, b"\x01")).vxlan
    assert vxlan is not None
    assert (vxlan.family, vxlan.local, vxlan.df, vxlan.local_bind) == (6, "fd03::2", Df.INHERIT, True)
    plain = link("vxlan", (1, struct.pack("=I", 1)), (29, b"\x09")).vxlan
    assert plain is not None
    assert (plain.family, plain.df) == (4, Df.UNSET)


def test_an_address_of_an_odd_size_is_a_problem() -> None:
    """A message that cannot be decoded is named, and its link left out; the others stay."""
    info = attribute(1, b"ipip\0") + attribute(2, attribute(2, b"abc"))
    body = struct.pack("=BxHiII", 0, 768, 9, 1, 0) + attribute(3, b"t0\0") + attribute(18, info)
    message = struct.pack("=IHHII", 16 + len(body), 16, 2, 1, 0) + body
    dump = decode_links(message + DONE)
    assert dump.entries == ()
    assert "an IPv4 address of 3 bytes" in dump.problem


@given(
    st.sampled_from(["ipip", "sit", "gre", "ip6gretap", "geneve", "vxlan", "ip6tnl"]),
    st.lists(st.tuples(st.integers(0, 40), st.binary(max_size=20)), max_size=12),
)
def test_garbage_never_raises(kind: str, data: list[tuple[int, bytes]]) -> None:
    """Whatever is in a tunnel's attributes, the decoder returns a link or a problem."""
    inside = b"".join(attribute(*each) for each in data)
    info = attribute(1, kind.encode() + b"\0") + attribute(2, inside)
    body = struct.pack("=BxHiII", 0, 768, 9, 1, 0) + attribute(3, b"t0\0") + attribute(18, info)
    dump = decode_links(struct.pack("=IHHII", 16 + len(body), 16, 2, 1, 0) + body + DONE)
    assert len(dump.entries) == 1 or dump.problem


@given(st.binary(max_size=300))
def test_wireguard_garbage_never_raises(raw: bytes) -> None:
    """Any bytes give a dump; what is no whole dump has a problem."""
    found = decode_wireguard(raw)
    assert found.entries or found.problem or raw[4:6] == b"\x03\x00"
