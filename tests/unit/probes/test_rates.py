"""Rates between two snapshots: counters per second, gauges as they are, and what cannot be compared."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from skoopctl.probes.rates import rates
from skoopctl.probes.sample import SeriesKey, Snapshot

NODE = ("n1", "", "")
SENT: SeriesKey = ("kubeskoop_tcp_outsegs", NODE)
OPEN: SeriesKey = ("kubeskoop_tcp_currestab", NODE)
SECOND = 10**9


def at(seconds: float, **values: int) -> Snapshot:
    """Return a snapshot with some of the two series."""
    keys = {"sent": SENT, "open": OPEN}
    return Snapshot(int(seconds * SECOND), 0, {keys[name]: value for name, value in values.items()})


def test_counters_have_rates_and_gauges_values() -> None:
    """A counter's growth is divided by the node's own time; a gauge is what it is now."""
    found = rates(at(10, sent=100, open=3), at(14, sent=120, open=5))
    assert (found.seconds, dict(found.per_second), dict(found.gauges)) == (4.0, {SENT: 5.0}, {OPEN: 5})


def test_a_counter_that_fell_began_anew() -> None:
    """After a reset, what it has counted since is its growth."""
    found = rates(at(0, sent=1000), at(2, sent=30))
    assert found.growth == {SENT: 30}


def test_series_of_one_side_only_are_told_apart() -> None:
    """A series that came has no rate, and one that went is named."""
    found = rates(at(0, sent=1), at(1, open=1))
    assert (found.per_second, found.appeared, found.gone) == ({}, {OPEN}, {SENT})


def test_without_time_there_is_no_rate() -> None:
    """A node that was started anew has a clock that went back: nothing is divided by it."""
    found = rates(at(1000, sent=5, open=1), at(3, sent=7, open=2))
    assert (found.seconds, found.per_second, found.appeared) == (0.0, {}, {SENT, OPEN})
    assert found.gauges == {OPEN: 2}


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.floats(0.001, 1e6))
def test_no_rate_is_below_zero(before: int, after: int, seconds: float) -> None:
    """Whatever two numbers a counter shows, it has not shrunk."""
    found = rates(at(1, sent=before), at(1 + seconds, sent=after))
    assert found.per_second[SENT] >= 0
