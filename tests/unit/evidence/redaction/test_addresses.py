"""The permutations of addresses: prefixes, ranges and special addresses are kept, and nothing meets."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skoopctl.evidence.redaction.addresses import AddressMap
from skoopctl.evidence.redaction.vocabulary import words

KEYS = st.binary(min_size=16, max_size=16)
V4, V6, MAC = st.integers(0, 2**32 - 1), st.integers(0, 2**128 - 1), st.integers(0, 2**48 - 1)
BITS = {4: 32, 6: 128}
FAMILIES = st.sampled_from((4, 6))
KEPT = sorted(
    words(
        "0.0.0.0 127.0.0.1 127.0.0.53 169.254.1.1 169.254.169.254 224.0.0.1 239.1.2.3 255.255.255.255 255.255.0.0 "
        ":: ::1 ff02::1 ff02::2 fe80::"
    )
)
RANGES = sorted(
    words(
        "10.0.0.0/8 100.64.0.0/10 172.16.0.0/12 192.168.0.0/16 fc00::/8 fd00::/8 fe80::/64 2000::/3 "
        "::ffff:0:0/96 64:ff9b::/96"
    )
)


def shared(bits: int, one: int, other: int) -> int:
    """Return how many leading bits two numbers share."""
    return bits - (one ^ other).bit_length()


@given(KEYS, V4, V4)
def test_ipv4_addresses_share_what_they_shared(key: bytes, one: int, other: int) -> None:
    """Two addresses that share a prefix of n bits, and no more, share n bits and no more afterwards."""
    made = AddressMap(key)
    assert shared(32, made.address(4, one), made.address(4, other)) == shared(32, one, other)


@given(KEYS, V6, st.integers(0, 127), V6)
def test_ipv6_addresses_share_what_they_shared(key: bytes, one: int, cut: int, other: int) -> None:
    """The same holds for IPv6 between addresses of global, unique local and link-local scope."""
    made = AddressMap(key)
    base = 0x2 << 124
    mask = (1 << 124) - 1
    first = base | (one & mask)
    second = base | ((first >> cut << cut | other & ((1 << cut) - 1)) & mask)
    assert shared(128, made.address(6, first), made.address(6, second)) == shared(128, first, second)


@given(KEYS, MAC, MAC)
def test_macs_stay_distinct_and_of_their_kind(key: bytes, one: int, other: int) -> None:
    """Distinct MAC addresses stay distinct, and unicast, group and local ones stay what they are."""
    made = AddressMap(key)
    assert (made.mac(one) == made.mac(other)) == (one == other)
    assert made.mac(one) >> 40 & 3 == one >> 40 & 3


@given(KEYS, st.lists(V6 | V4, min_size=2, max_size=6, unique=True))
def test_no_two_ipv6_addresses_meet(key: bytes, values: list[int]) -> None:
    """The permutation is a bijection, special ranges and embedded IPv4 addresses included."""
    made = AddressMap(key)
    assert len({made.address(6, value) for value in values}) == len(values)


@pytest.mark.parametrize("text", KEPT)
@given(key=KEYS)
def test_special_addresses_stay(key: bytes, text: str) -> None:
    """Loopback, link-local IPv4, groups, broadcast and the unspecified address are what they were."""
    address = ip_address(text)
    assert AddressMap(key).address(address.version, int(address)) == int(address)


@pytest.mark.parametrize("text", RANGES)
@given(key=KEYS, value=V6)
def test_ranges_are_mapped_within_themselves(key: bytes, text: str, value: int) -> None:
    """A private address becomes one of the same private range, and an embedded IPv4 address stays embedded."""
    network = ip_network(text)
    inside = int(network.network_address) | value & int(network.hostmask)
    mapped = AddressMap(key).address(network.version, inside)
    assert ip_address(mapped if network.version == 4 else IPv6Address(mapped)) in network


@given(KEYS, V4)
def test_public_addresses_stay_public(key: bytes, value: int) -> None:
    """An address that anybody could have never becomes one of a private or a special range."""
    mapped = IPv4Address(AddressMap(key).address(4, value))
    narrow = [ip_network(text) for text in RANGES if "." in text]
    assert any(mapped in each for each in narrow) == any(IPv4Address(value) in each for each in narrow)


@pytest.mark.parametrize("last", [0, 1, 254, 255])
@given(key=KEYS, value=V4)
def test_networks_gateways_and_broadcasts_can_be_told(key: bytes, last: int, value: int) -> None:
    """The last octets 0, 1, 254 and 255 stay."""
    assert AddressMap(key).address(4, value >> 8 << 8 | last) & 0xFF == last


@given(KEYS, st.integers(0, 0xFFFF))
def test_short_interface_identifiers_stay_short(key: bytes, number: int) -> None:
    """fd00:1:2:3::5 becomes an address that ends as shortly: it is no longer than it was."""
    value = int(IPv6Address("fd00:1:2:3::")) + number
    mapped = AddressMap(key).address(6, value) & 0xFFFFFFFFFFFFFFFF
    assert mapped.bit_length() == number.bit_length()


@given(KEYS, st.integers(0, 0xFFFFFF))
def test_solicited_node_groups_and_their_macs_agree(key: bytes, low: int) -> None:
    """ff02::1:ffXX:XXXX and 33:33:ff:XX:XX:XX tell an address's last bits: both lose them, in the same way."""
    made = AddressMap(key)
    group = made.address(6, int(IPv6Address("ff02::1:ff00:0")) | low)
    mac = made.mac(0x3333FF000000 | low)
    assert group >> 24 == int(IPv6Address("ff02::1:ff00:0")) >> 24
    assert group & 0xFFFFFF == mac & 0xFFFFFF


@given(KEYS, FAMILIES, st.data())
def test_a_pinned_range_stays_a_range(key: bytes, version: int, data: st.DataObject) -> None:
    """After pinning, addresses of a range are between the images of its ends, and no others are."""
    low = 10 << 24 if version == 4 else 0xFD << 120
    span = st.integers(low, low + 5000)
    first, last = sorted((data.draw(span), data.draw(span)))
    value = data.draw(span)
    made = AddressMap(key)
    made.pin(version, first, last)
    assert made.spans(version, first, last)
    ends = [made.network(version, end, BITS[version]) for end in (first, last)]
    host = first ^ last
    if not host & (host + 1) and not first & host and last & host == host:
        ends = [min(ends) & ~host, max(ends) | host]
    assert (min(ends) <= made.address(version, value) <= max(ends)) == (first <= value <= last)


@given(KEYS, st.integers(1, 31), V4, V4)
def test_hosts_are_kept_for_netmap(key: bytes, length: int, one: int, other: int) -> None:
    """Where a rule carries hosts from prefix to prefix, the bits behind prefixes of that length stay."""
    made = AddressMap(key)
    made.keep_hosts(4, length)
    low = (1 << (32 - length)) - 1
    assert made.address(4, one) & low == one & low
    assert made.keeps_hosts(4, length)
    assert shared(32, made.address(4, one), made.address(4, other)) == shared(32, one, other)


def test_another_key_is_another_permutation() -> None:
    """The key decides: with another one, an address becomes another."""
    value = int(IPv4Address("10.244.3.70"))
    assert len({AddressMap(bytes([n]) * 16).address(4, value) for n in range(8)}) > 4
