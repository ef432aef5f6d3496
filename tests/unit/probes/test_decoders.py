"""What nodes send becomes numbers: pairs of files, raw in and JSON out, and what is not fit to be read."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skoopctl.probes.catalogue import READINGS
from skoopctl.probes.decode.conntrack import compile_conntrack
from skoopctl.probes.decode.rows import Rows, checked
from skoopctl.probes.feed import UNREADABLE
from skoopctl.probes.sources import SOURCES

CASES = Path(__file__).with_name("cases")
NAMES = sorted(path.stem for path in CASES.glob("*.json"))
NETNS = 1


def fields_of(source: str) -> list[str]:
    """Return all fields that the catalogue takes of a source."""
    return [each.field for rows in READINGS.values() for each in rows if each.source == source]


def decoded(name: str) -> tuple[dict[str, Any], Rows]:
    """Return a case's JSON, and what its raw files decode to."""
    case = json.loads((CASES / f"{name}.json").read_text())
    source = SOURCES[case["source"]]
    inputs: list[bytes | None] = []
    for item in source.items:
        path = CASES / f"{name}.{item}"
        inputs.append(
            path.read_bytes() if path.is_file() else b"" if item in case.get("absent", ()) else None
        )
    return case, source.compile(fields_of(source.name))(NETNS, case["host"], inputs)


def as_json(source: str, rows: Rows) -> list[dict[str, Any]]:
    """Return rows as a case's JSON has them."""
    return [
        {
            "key": list(key) if isinstance(key, tuple) else key,
            **{
                field: None if value is None else int(value)
                for field, value in zip(fields_of(source), row, strict=True)
            },
        }
        for key, row in rows
    ]


@pytest.mark.parametrize("name", NAMES)
def test_raw_items_become_numbers(name: str) -> None:
    """A raw item decodes to the values that its case says, each under its own name; None where there is none."""
    case, rows = decoded(name)
    assert as_json(case["source"], rows) == case["rows"]


def test_every_raw_file_belongs_to_a_case() -> None:
    """No file in cases/ is without a JSON that says what must come out of it."""
    assert [path.name for path in CASES.iterdir() if path.name.rpartition(".")[0] not in NAMES] == []


@pytest.mark.parametrize("source", SOURCES)
@given(data=st.data())
def test_garbage_is_refused_in_one_way(source: str, data: st.DataObject) -> None:
    """Whatever bytes come, a decoder gives rows as long as its fields, or an error that a feed takes."""
    found = SOURCES[source]
    pieces = st.one_of(st.binary(max_size=200), st.sampled_from(raw_files(source)), mangled(source))
    inputs = [data.draw(pieces) for _ in found.items]
    fields = fields_of(source)
    try:
        rows = found.compile(fields)(NETNS, data.draw(st.booleans()), inputs)
    except UNREADABLE:
        return
    assert all(len(row) == len(fields) for _, row in rows)
    assert all(value is None or isinstance(value, int) or value.isascii() for _, row in rows for value in row)


def raw_files(source: str) -> Sequence[bytes]:
    """Return the raw files of a source's cases."""
    items = SOURCES[source].items
    return [path.read_bytes() for path in sorted(CASES.iterdir()) if path.name.rpartition(".")[2] in items]


def mangled(source: str) -> st.SearchStrategy[bytes]:
    """Return raw files with some bytes cut out, or others put in."""

    def cut(raw: bytes, at: int, more: int, put: bytes) -> bytes:
        at %= len(raw) + 1
        return raw[:at] + put + raw[at + more :]

    numbers = st.integers(0, 5000)
    return st.builds(
        cut, st.sampled_from(raw_files(source)), numbers, st.integers(0, 40), st.binary(max_size=20)
    )


def test_struct_errors_are_taken_too() -> None:
    """What struct says of bytes that are too short is among the errors that a feed takes."""
    assert issubclass(struct.error, UNREADABLE)


@pytest.mark.parametrize(
    "token", ["", "-", "1e5", "0x10", "1_000", "٣", "1\n", "NaN", "+Inf", "1" * 400, " 1"]
)
def test_only_plain_numbers_get_through(token: str) -> None:
    """What is no whole number in plain digits never comes onto a page."""
    with pytest.raises(ValueError, match="is not a number"):
        checked(("1", token))


@given(st.lists(st.integers(-(2**63), 2**64 - 1), min_size=1))
def test_numbers_of_64_bits_get_through_as_they_are(numbers: list[int]) -> None:
    """Every number that a kernel can write keeps its value."""
    found = checked(tuple(map(str, numbers)))
    assert [int(value) for value in found if value is not None] == numbers


@given(st.lists(st.dictionaries(st.sampled_from([2, 4, 8, 9, 10]), st.integers(0, 2**32 - 1), min_size=1)))
def test_cpus_are_added_up_however_they_are_laid_out(cpus: list[dict[int, int]]) -> None:
    """Messages of CPUs give the same sums whether they resemble each other or not."""
    raw = b"".join(netlink(1 << 8 | 4, attributes(cpu)) for cpu in cpus) + netlink(3, bytes(4))
    (found,) = (
        row for _, row in compile_conntrack(["found", "maxentries"])(NETNS, True, [raw, b"", b"max 7"])
    )
    sums = [cpu[2] for cpu in cpus if 2 in cpu]
    assert found == (sum(sums) if sums else None, 7)


def netlink(kind: int, body: bytes) -> bytes:
    """Return one netlink message of a dump."""
    return struct.pack("=IHHII", 16 + len(body), kind, 2, 1, 0) + body


def attributes(numbers: dict[int, int]) -> bytes:
    """Return what follows the header of nfnetlink: numbers by their attributes."""
    return bytes(4) + b"".join(struct.pack("=HH", 8, kind) + n.to_bytes(4) for kind, n in numbers.items())
