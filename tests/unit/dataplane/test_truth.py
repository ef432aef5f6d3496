"""Three-valued logic, port ranges and packets' headers."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from hypothesis import given
from hypothesis import strategies as st

from skoopctl.dataplane.packet import Flags, Packet, Ports, Tuple5, Unreachable, describe
from skoopctl.dataplane.rules.matches.transport import any_of
from skoopctl.dataplane.rules.nft.sets import all_of as _all
from skoopctl.dataplane.truth import Chance, Split, Truth, Unknown, negate, ports_within

port = st.integers(0, 65535)
ports = st.tuples(port, port).map(lambda pair: Ports(min(pair), max(pair)))
truth = st.one_of(
    st.booleans(),
    st.builds(Unknown, st.sampled_from(["a", "b"])),
    st.builds(Chance, st.floats(0.1, 0.9), st.just("chance")),
    st.builds(
        Split, st.sampled_from(["source", "destination"]), ports, st.just((Ports(0, 0),)), st.just("split")
    ),
)


def rank(value: Truth) -> int:
    """Order the three values: false, undecided, true."""
    return 0 if value is False else 2 if value is True else 1


@given(truth)
def test_not_not_is_the_same(value: Truth) -> None:
    """Negating twice gives the value back, and undecided stays undecided."""
    again = negate(negate(value, inverted=True), inverted=True)
    assert rank(again) == rank(value)
    assert rank(negate(value, inverted=True)) == 2 - rank(value)
    assert negate(value, inverted=False) is value


@given(st.lists(truth, max_size=4))
def test_or_is_kleenes(values: list[Truth]) -> None:
    """OR is the greatest of its values, and false of none."""
    assert rank(any_of(values)) == max((rank(v) for v in values), default=0)


@given(st.lists(truth, max_size=4))
def test_and_is_kleenes(values: list[Truth]) -> None:
    """AND is the least of its values, and true of none."""
    assert rank(_all(values)) == min((rank(v) for v in values), default=2)


@given(st.lists(truth, max_size=4))
def test_de_morgan(values: list[Truth]) -> None:
    """NOT (a OR b) is NOT a AND NOT b."""
    left = negate(any_of(values), inverted=True)
    right = _all([negate(v, inverted=True) for v in values])
    assert rank(left) == rank(right)


@given(ports, ports)
def test_a_split_divides_the_range_without_loss(held: Ports, wanted: Ports) -> None:
    """Inside and outside together are the packet's ports, and every inside port is in the wanted range."""
    found = ports_within(held, wanted.low, wanted.high, "source")
    overlap = set(range(max(held.low, wanted.low), min(held.high, wanted.high) + 1))
    if found is True:
        assert len(overlap) == held.size
    elif found is False:
        assert not overlap
    else:
        assert isinstance(found, Split)
        assert found.inside.size == len(overlap)
        parts = [found.inside, *found.outside]
        assert sum(p.size for p in parts) == held.size
        assert all(p.within(held) for p in parts)
        assert 0 < found.probability < 1
        negated = found.negated()
        assert isinstance(negated, Split)
        assert abs(negated.probability + found.probability - 1) < 1e-9


def test_chance_negates_to_the_rest() -> None:
    """The opposite of a chance of a quarter is three quarters."""
    assert Chance(0.25, "x").negated() == Chance(0.75, "x")


@given(ports)
def test_ports_write_themselves(value: Ports) -> None:
    """A single port is a number, a range has both ends; sizes and single ports agree."""
    assert str(value) == (str(value.low) if value.size == 1 else f"{value.low}-{value.high}")
    assert value.single == (value.low if value.size == 1 else None)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), ports, ports)
def test_the_inverse_of_the_inverse_is_the_tuple(
    source: int, destination: int, from_: Ports, to: Ports
) -> None:
    """An answer's answer is the packet again; a tuple covers itself and every part of its ranges."""
    key = Tuple5(6, source, from_, destination, to)
    assert key.inverse().inverse() == key
    assert key.covers(key._replace(source_ports=Ports.of(from_.high)))
    if from_.size > 1:
        assert not key._replace(source_ports=Ports.of(from_.high)).covers(key)
    assert not key.covers(key._replace(protocol=17))


def test_a_view_is_what_people_read() -> None:
    """Addresses, ports, flags and marks are written out; protocols without ports have none."""
    syn = Packet(
        4, int(IPv4Address("10.0.0.1")), int(IPv4Address("10.0.0.2")), 6, Ports(1, 2), Ports.of(80), Flags.SYN
    )
    assert describe(syn) == "tcp 10.0.0.1:1-2 > 10.0.0.2:80 SYN"
    ping = Packet(6, int(IPv6Address("fd00::1")), int(IPv6Address("fd00::2")), 58, icmp_type=128)
    assert describe(ping) == "ipv6-icmp fd00::1 > fd00::2"
    error = Packet(4, 0, 1, 1, error=Unreachable.HOST)
    assert error.view().flags == "icmp-host-unreachable"
    odd = Packet(4, 0, 1, 99, mark=5)
    assert (odd.view().protocol, odd.view().source_port, odd.view().mark) == ("99", "", 5)
    outer = Packet(4, 0, 1, 17, Ports.of(5), Ports.of(8472), inner=syn)
    assert outer.view().encapsulates == "tcp 10.0.0.1:1-2 > 10.0.0.2:80 SYN"


def test_a_copy_changes_on_its_own() -> None:
    """Changing a copy leaves the packet as it was, and its view follows the change."""
    first = Packet(4, 1, 2, 6)
    second = first.copy()
    second.mark = 7
    assert (first.view().mark, second.view().mark) == (0, 7)
