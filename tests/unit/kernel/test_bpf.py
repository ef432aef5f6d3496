"""The decoders of programs on packets' way, on what a real kernel (Linux 6.18) and the node program gave."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skoopctl.kernel.bpf import Attachment, decode_programs, decode_tc_filters
from tests.support.as_json import expect

CASES = Path(__file__).parent / "cases" / "bpf"
FILTERS = (CASES / "tc-filter.bin").read_bytes()
PROGRAMS = (CASES / "bpf.txt").read_text()


def test_tc_filters() -> None:
    """A recorded dump gives the filters of both sides: a program by its id, another filter by its kind."""
    expect(CASES / "tc-filter.bin", decode_tc_filters(FILTERS))


def test_programs_name_the_filters() -> None:
    """With the node's list of programs, a filter has its program's name and not the file's."""
    expect(CASES / "bpf.txt", decode_programs(PROGRAMS, decode_tc_filters(FILTERS).entries))


@pytest.mark.parametrize(
    ("name", "owner"),
    [
        ("cil_to_netdev", "Cilium"),
        ("cali_tc_main", "Calico's eBPF dataplane"),
        ("sd_fw_ingress", "systemd (IPAccounting, IPAddressAllow/Deny)"),
        ("mine", ""),
    ],
)
def test_an_owner_is_known_by_the_name(name: str, owner: str) -> None:
    """Cilium, Calico and systemd name their programs so that they can be told; others are nobody's."""
    program = Attachment("tc ingress", 2, 7, "sched_cls", name)
    assert program.owner == owner
    assert name in str(program)
    assert "id 7" in str(program)


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[1]", "[[1,2,3,4]]", '[["46",1,2,3,"x"]]', "[[1,2,3,4,5]]", "[" * 100_000, '[[46,1,2,3,"x"]'],
)
def test_a_list_that_is_none_is_refused(text: str) -> None:
    """Whatever is not a list of rows is a ValueError, which becomes a gap."""
    with pytest.raises(ValueError, match=r"."):
        decode_programs(text)


def test_an_unknown_attach_type_is_kept_by_number() -> None:
    """A place that a newer kernel has is shown by its number."""
    assert decode_programs('[[99,0,1,77,"x"]]') == (Attachment("attach type 99", 0, 1, "type 77", "x"),)


@given(st.binary(max_size=200), st.integers(0, len(FILTERS)))
def test_damaged_dumps_raise_nothing(noise: bytes, at: int) -> None:
    """A dump that is cut or overwritten anywhere gives what can be read, and a problem where it ends early."""
    found = decode_tc_filters(FILTERS[:at] + noise)
    assert isinstance(found.entries, tuple)
    assert len(found.entries) <= 2 + len(noise) // 36


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5), lambda s: st.lists(s, max_size=6), max_leaves=20
    )
)
def test_any_json_is_a_list_or_a_value_error(value: object) -> None:
    """JSON of any shape gives programs or ValueError."""
    with contextlib.suppress(ValueError):
        assert isinstance(decode_programs(json.dumps(value)), tuple)
