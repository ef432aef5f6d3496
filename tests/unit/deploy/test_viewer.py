"""The numbers, axes and texts of the viewer that draws dashboards for the documentation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docs.dashboards.asked import filled, rate_interval
from docs.dashboards.drawn import svg
from docs.dashboards.drawn.numbers import ticks, written


@pytest.mark.parametrize(
    ("value", "unit", "wanted"),
    [
        (0, "pps", "0 p/s"),
        (1234, "pps", "1.23 kp/s"),
        (0.0123, "percentunit", "1.23 %"),
        (1536, "bytes", "1.5 KiB"),
        (1_500_000, "Bps", "1.5 MB/s"),
        (12_300, "short", "12.3K"),
        (0.25, "s", "250 ms"),
        (7200, "s", "2 h"),
        (250, "ns", "250 ns"),
        (12_500, "ns", "12.5 µs"),
        (12_000_000, "ns", "12 ms"),
        (5, "no-such-unit", "5"),
    ],
)
def test_numbers_have_their_unit(value: float, unit: str, wanted: str) -> None:
    """A number is written with three digits, a prefix and its unit."""
    assert written(value, unit) == wanted


@given(st.floats(1e-6, 1e15), st.sampled_from([1000, 1024]))
def test_an_axis_reaches_its_largest_value_in_few_steps(top: float, base: int) -> None:
    """Ticks begin at 0, are evenly apart, reach the top, and are five at most."""
    found = ticks(top, base)
    assert found[0] == 0
    assert 2 <= len(found) <= 6
    assert found[-1] >= top * 0.999
    assert found[-2] < top


def test_texts_are_escaped() -> None:
    """A pod's name cannot become part of the picture."""
    assert "<script>" not in svg.text(0, 0, "<script>alert(1)</script>")


def test_variables_are_filled_in_as_grafana_does() -> None:
    """Both ways to write a variable are known; one that is not known stays."""
    assert filled(
        'a{n="$node",p="${pod}",q="${pod:regex}"}[$__rate_interval] $other', {"node": "n1", "pod": "w"}
    ) == ('a{n="n1",p="w",q="w"}[$__rate_interval] $other')


@pytest.mark.parametrize(("step", "scrape", "wanted"), [(1, 15, "60s"), (60, 15, "75s"), (2, 1, "4s")])
def test_the_rate_interval_holds_four_scrapes_at_least(step: float, scrape: float, wanted: str) -> None:
    """A step and a scrape where that is more."""
    assert rate_interval(step, scrape) == wanted
