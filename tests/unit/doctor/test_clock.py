"""The offset between two clocks, and how wrong it can be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from skoopctl.doctor.clock import Offset, offset

NANOSECONDS = st.integers(0, 10**10)


@given(st.integers(-(10**18), 10**18), NANOSECONDS, NANOSECONDS, NANOSECONDS)
def test_the_truth_lies_within_the_uncertainty(true_ns: int, way_ns: int, work_ns: int, back_ns: int) -> None:
    """However unequal both ways are, the true offset is not farther away than the uncertainty."""
    begun, ending = way_ns, way_ns + work_ns
    found = offset(0, begun + true_ns, ending + true_ns, ending + back_ns)
    assert found is not None
    assert abs(found.seconds - true_ns / 1e9) <= found.uncertainty_s + 1e-6 * (1 + abs(found.seconds))


def test_the_time_that_the_node_works_makes_nothing_uncertain() -> None:
    """Only the two ways count, not the time between the node's two readings."""
    found = offset(0, 5_000_000, 9_005_000_000, 9_010_000_000)
    assert found == Offset(0.0, 0.005)


def test_times_that_contradict_each_other_give_no_offset() -> None:
    """A clock that was set in between cannot be compared."""
    assert offset(0, 0, 10_000_000_000, 1_000_000_000) is None


def test_words_say_the_side_and_the_error() -> None:
    """People read on which side the node is, and by how much that may be wrong."""
    assert Offset(-0.012, 0.03).words() == "12 ms behind, ± 30 ms"
    assert Offset(7200.0, 1.25).words() == "2.0 h ahead, ± 1.2 s"
