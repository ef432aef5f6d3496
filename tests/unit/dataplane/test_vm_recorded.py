"""The walk says what a kernel with every module really did, scenario by scenario, without a guest.

The evidence and the outcomes in ``tests/fixtures/vm`` were recorded in a Debian guest (``make record-vm``): IPVS,
tunnels, VRFs and the like, which the kernels that tests run on may not have.
"""

from __future__ import annotations

import pytest

from tests.vm.truth import Agreement, compare, load, problems, recorded

UNDECIDED = ("which the walk does not follow",)
"""Parts of the reasons for which the walk may answer UNKNOWN here."""


@pytest.mark.parametrize("name", recorded())
def test_the_walk_says_what_the_guest_did(name: str) -> None:
    """Every flow of the scenario goes as it went in the guest, or is undecided for a reason that is listed."""
    wrong = problems(compare(*load(name)), UNDECIDED)
    assert not wrong, "\n".join(wrong)


def test_recorded_flows_are_compared() -> None:
    """Most recorded flows are put to the walk: only those of marked or bound sockets cannot be."""
    rows = [each for name in recorded() for each in compare(*load(name))]
    asked = [each for each in rows if each.agreement is not Agreement.NOT_ASKED]
    assert len(asked) > 0.8 * len(rows) > 0
