"""Maps are read by one call where the kernel has it, and entry by entry where not: with the same result."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.bpf_loader import loader

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="making maps needs root"),
]

LRU_HASH, ENTRIES, KEY = 9, 8192, 44


@pytest.fixture
def maps() -> Iterator[Any]:
    """Return a map like that of flows, with some entries."""
    node = loader()
    node.raise_memlock()
    row = {"name": "flows", "type": LRU_HASH, "key": KEY, "value": 8, "entries": ENTRIES, "flags": 0}
    made = node.Maps(node.Loader(), [row])
    made.make("flows")
    for number in range(500):
        made.put("flows", struct.pack("=Q36x", number), struct.pack("=Q", number + 7))
    yield made
    made.close()


def test_both_ways_give_every_entry(maps: Any) -> None:
    """Each key comes once, with its own value."""
    expected = {struct.pack("=Q36x", number): struct.pack("=Q", number + 7) for number in range(500)}
    for way in (maps.at_once, maps.one_by_one):
        found = way("flows", 10_000)
        assert len(found) == len(expected)
        assert dict(found) == expected


def test_no_more_come_than_are_asked_for(maps: Any) -> None:
    """A limit below what is there cuts; the kernel gives whole buckets at once, and none that would go beyond it."""
    assert 80 < len(maps.at_once("flows", 100)) <= 100
    assert len(maps.one_by_one("flows", 100)) == 100


def test_an_empty_map_has_no_entries(maps: Any) -> None:
    """When all are deleted, neither way finds any."""
    for key, _ in maps.items("flows", 10_000):
        maps.drop("flows", key)
    assert maps.at_once("flows", 10_000) == maps.one_by_one("flows", 10_000) == []


def test_a_kernel_without_the_call_is_asked_entry_by_entry(
    maps: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before 5.6 the call is refused (EINVAL), and everything comes all the same."""
    whole, real = sorted(maps.items("flows", 10_000)), maps.bpf.call

    def old_kernel(command: int, attr: bytearray) -> int:
        if command == loader().MAP_LOOKUP_BATCH:
            raise OSError(errno.EINVAL, "bpf")
        return int(real(command, attr))

    monkeypatch.setattr(maps.bpf, "call", old_kernel)
    assert sorted(maps.items("flows", 10_000)) == whole
    assert len(whole) == 500
