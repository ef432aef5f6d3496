"""Sets of ipset: the kernel's dump and the text of ``ipset save``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skoopctl.kernel.ipset import TYPES, Dimension, Interface, IpSet, Member, Net, ProtocolPort, Value
from skoopctl.kernel.ipset_save import decode_ipset_save
from skoopctl.kernel.netlink import decode_ipset_dump
from tests.support.as_json import expect
from tests.support.ipset_wire import dump_of

CASES = Path(__file__).parent / "cases"
RAW = (CASES / "ipset/every-type.bin").read_bytes()


@pytest.mark.parametrize("path", sorted(CASES.glob("ipset/*.bin")), ids=lambda path: path.stem)
def test_a_dump_decodes_to_its_model(path: Path) -> None:
    """The raw dump beside each JSON file is decoded to what the file says."""
    expect(path, decode_ipset_dump(path.read_bytes()))


@pytest.mark.parametrize("path", sorted(CASES.glob("ipset_save/*.txt")), ids=lambda path: path.stem)
def test_a_text_decodes_to_its_model(path: Path) -> None:
    """The text beside each JSON file is decoded to what the file says."""
    expect(path, decode_ipset_save(path.read_text()))


def test_dump_and_text_of_one_kernel_say_the_same() -> None:
    """Both were recorded from the same sets of every type that the kernel had."""
    text = decode_ipset_save((CASES / "ipset_save/every-type.txt").read_text())
    raw = decode_ipset_dump(RAW)
    assert raw.sets.keys() == text.sets.keys()
    for name, ipset in raw.sets.items():
        shown = text.sets[name]
        assert (ipset.type, ipset.family, ipset.mask, ipset.first, ipset.last) == (
            shown.type,
            shown.family,
            shown.mask,
            shown.first,
            shown.last,
        )
        assert {m.values for m in ipset.members} == {m.values for m in shown.members}
        assert {m.values for m in ipset.members if m.nomatch} == {
            m.values for m in shown.members if m.nomatch
        }


def test_a_line_that_makes_no_sense_marks_its_own_set() -> None:
    """What cannot be read is told where it belongs; the other sets, and the other members, stay."""
    found = decode_ipset_save((CASES / "ipset_save/rare-types.txt").read_text())
    assert {name for name, each in found.sets.items() if each.problem} == {"broken", "future"}
    assert [member.values for member in found.sets["broken"].members] == [(Net(10 << 24, 8),)]
    assert "nowhere" in found.problem
    assert "gibberish" in found.problem


def test_a_text_that_was_cut_marks_the_set_it_was_cut_in() -> None:
    """A dump that ends within a line has lost members of its last set, and maybe sets."""
    found = decode_ipset_save(
        "create a hash:ip family inet\nadd a 10.0.0.1\ncreate b hash:ip family inet\nadd b 10.0."
    )
    assert not found.sets["a"].problem
    assert found.sets["b"].problem
    assert found.problem


def test_a_range_too_large_to_write_out_is_a_problem_of_its_set() -> None:
    """No line can make the model larger than a cap."""
    found = decode_ipset_save("create a hash:ip family inet\nadd a 10.0.0.0-10.255.255.255\n")
    assert "range" in found.sets["a"].problem
    assert found.sets["a"].members == ()


@pytest.mark.parametrize("size", [0, 10, 100, 1000, len(RAW) - 1])
def test_a_dump_that_was_cut_has_a_problem(size: int) -> None:
    """A dump without its end is never taken for whole: the whole and the set at the cut say so."""
    found = decode_ipset_dump(RAW[:size])
    assert found.problem
    if found.sets:
        assert list(found.sets.values())[-1].problem


def test_members_come_in_several_messages() -> None:
    """The kernel sends a set in as many messages as it needs; the later ones have its name alone."""
    half = IpSet("a", "hash:ip", 4, (Member((Net(1, 32),)),))
    raw = dump_of([half])[:-20]
    found = decode_ipset_dump(raw + dump_of([IpSet("a", "hash:ip", 4, (Member((Net(2, 32),)),))]))
    assert [member.values[0] for member in found.sets["a"].members] == [(1, 32), (2, 32)]
    assert not found.problem


# --- every type, there and back ------------------------------------------------------------------------------


def _values(dimension: Dimension, family: int, kind: str) -> st.SearchStrategy[Value]:
    bits = 32 if family == 4 else 128
    hosts = st.integers(0, (1 << bits) - 1).map(lambda ip: Net(ip, bits))
    nets = st.tuples(st.integers(0, (1 << bits) - 1), st.integers(0, bits)).map(
        lambda pair: Net(pair[0] >> (bits - pair[1]) << (bits - pair[1]), pair[1])
    )
    words = st.from_regex(r"[a-z][a-z0-9.-]{0,14}", fullmatch=True)
    protocols = st.just(0) if kind == "bitmap:port" else st.integers(1, 255)
    by_dimension: dict[Dimension, st.SearchStrategy[Any]] = {
        Dimension.IP: hosts,
        Dimension.NET: nets,
        Dimension.PORT: st.builds(ProtocolPort, protocols, st.integers(0, 65535)),
        Dimension.MAC: st.integers(0, (1 << 48) - 1),
        Dimension.IFACE: st.builds(Interface, words, st.booleans(), st.booleans()),
        Dimension.MARK: st.integers(0, (1 << 32) - 1),
        Dimension.SET: words,
    }
    return by_dimension[dimension]


@st.composite
def sets(draw: st.DrawFn) -> IpSet:
    """Draw a set of any type with members and extensions."""
    kind = draw(st.sampled_from(sorted(TYPES)))
    dimensions = TYPES[kind]
    without = not {Dimension.IP, Dimension.NET} & set(dimensions)
    family = 0 if without else 4 if kind.startswith("bitmap") else draw(st.sampled_from([4, 6]))
    members = draw(
        st.lists(
            st.builds(
                Member,
                st.tuples(*(_values(each, family, kind) for each in dimensions)),
                st.booleans(),
                st.none() | st.integers(1, 1 << 31),
                st.none() | st.integers(0, 1 << 60),
                st.none() | st.integers(0, 1 << 60),
                st.text("abc äß", max_size=9),
                st.none() | st.tuples(st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFFFFFF)),
                st.none() | st.integers(0, 0xFFFFFFFF),
                st.none() | st.integers(0, 0xFFFF),
            ),
            max_size=4,
        )
    )
    mark_mask = draw(st.sampled_from([0xFFFFFFFF, 0xFF])) if kind == "hash:ip,mark" else 0xFFFFFFFF
    return IpSet("set", kind, family, tuple(members), mark_mask=mark_mask)


@given(sets())
@settings(max_examples=100, deadline=None)
def test_every_type_survives_the_way_through_a_dump(ipset: IpSet) -> None:
    """Decoding is the inverse of what the kernel writes, for every type, family and extension."""
    found = decode_ipset_dump(dump_of([ipset]))
    assert not found.problem
    assert found.sets == {"set": ipset}


@given(
    st.lists(st.tuples(st.integers(0, len(RAW) - 1), st.integers(0, 255)), max_size=20),
    st.integers(0, len(RAW)),
)
@settings(max_examples=60, deadline=None)
def test_damaged_dumps_are_told_and_never_raise(changes: list[tuple[int, int]], size: int) -> None:
    """Whatever bytes are changed or lost, decoding ends, with sets and problems."""
    raw = bytearray(RAW)
    for at, value in changes:
        raw[at] = value
    found = decode_ipset_dump(bytes(raw[:size]))
    assert json.dumps(found.problem) is not None
    assert all(len(each.members) < 1000 for each in found.sets.values())


PIECES = ["create a hash:net", "add a", "\n", "10.0.0.0/8", " ", '"', "nomatch", "timeout", "-", ",", "inet6"]


@given(st.text(max_size=300) | st.lists(st.sampled_from(PIECES)).map(" ".join))
@settings(max_examples=150, deadline=None)
def test_any_text_is_read_without_an_exception(text: str) -> None:
    """The reader of ``ipset save`` takes whatever a node sends."""
    found = decode_ipset_save(text)
    assert all(isinstance(name, str) for name in found.sets)
