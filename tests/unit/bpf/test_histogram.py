"""Histograms of a node: what their rows are of, and what is no histogram."""

from __future__ import annotations

import pytest

from skoopctl.bpf.catalogue import PROBES
from skoopctl.bpf.histogram import BOUNDS_NS, SLOTS, Histogram, histograms_of

SOFTIRQ, LOSS = PROBES["softirq"], PROBES["packetloss"]
EMPTY = [0] * (SLOTS + 1)


def row(**slots: int) -> list[int]:
    """Return a row with some slots filled: ``s3=7``."""
    made = [0] * (SLOTS + 1)
    for name, count in slots.items():
        made[int(name[1:])] = count
    return made


def test_rows_have_the_names_of_the_catalogue() -> None:
    """A row with something in it is told with its stage and type; empty ones are left out."""
    rows = [EMPTY] * 3 + [row(s2=5, s32=9000)] + [EMPTY] * 28
    assert histograms_of(SOFTIRQ, rows) == (Histogram("wait", "NET_RX", tuple(rows[3][:-1]), 9000),)


def test_a_quantile_is_the_bound_of_its_slot() -> None:
    """Half of them are below the slot in which the middle one is; the last slot has no bound; none have none."""
    made = Histogram("wait", "", tuple(row(s0=5, s3=4, s31=1)[:-1]), 0)
    assert (made.count, made.below(0.5), made.below(0.9)) == (10, BOUNDS_NS[0], BOUNDS_NS[3])
    assert made.below(1.0) is None
    assert Histogram("wait", "", tuple(EMPTY[:-1]), 0).below(0.5) is None


def test_bounds_are_powers_of_two() -> None:
    """The first slot ends at 512 ns and the last bound is some nine minutes."""
    assert (BOUNDS_NS[0], BOUNDS_NS[-1], len(BOUNDS_NS)) == (512, 1 << 39, SLOTS - 1)


@pytest.mark.parametrize("rows", [[], [EMPTY] * 19, [[0] * SLOTS] * 32])
def test_too_few_rows_and_short_rows_are_refused(rows: list[list[int]]) -> None:
    """A probe with histograms must send all of its rows, each whole."""
    with pytest.raises(ValueError, match="histogram"):
        histograms_of(SOFTIRQ, rows)


def test_a_probe_without_histograms_has_none() -> None:
    """A probe that counts no latencies has no histograms, and rows of it are refused."""
    assert histograms_of(LOSS, []) == ()
    with pytest.raises(ValueError, match="histogram"):
        histograms_of(LOSS, [[1]])
