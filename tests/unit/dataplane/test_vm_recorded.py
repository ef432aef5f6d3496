"""The walk says what a kernel with every module really did, scenario by scenario, without a guest.

The evidence and the outcomes in ``tests/fixtures/vm`` were recorded in a Debian guest (``make record-vm``): IPVS,
tunnels, VRFs and the like, which the kernels that tests run on may not have.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.vm.truth import Agreement, Compared, Heard, compare, load, recorded

UNDECIDED: dict[str, tuple[str, ...]] = {
    "": ("the scheduler sh takes one of its servers",),  # a hash of the client's address, and of its port
    "legacy-and-nft": ("is hooked to in0",),  # nft 1.0.6 prints no device of a netdev chain in JSON
    "vrf": ("whether a socket is bound to the VRF",),
    "xt-cgroup": ("-m cgroup",),  # a flow does not say which program sends
    "xt-socket": ("-m socket",),  # the packet after the handshake matches where the SYN did not
}
"""By scenario ("" is all), parts of the reasons for which the walk may answer UNKNOWN there."""

NOT_YET: dict[str, tuple[str, ...]] = {
    # The next hop is asked for through the tunnel: the question arrives, the answer is dropped outside of it.
    "geneve-outer-dropped": ("s tcp 10.1.0.1 80",),
}
"""By scenario, how the flows begin that the walk gets wrong as yet."""


def unexpected(name: str, each: Compared) -> bool:
    """Tell whether a row is neither right nor known to be out of the model's reach."""
    if each.row.tried.label.startswith(NOT_YET.get(name, "?")):
        return False
    if each.agreement is Agreement.UNKNOWN and each.predicted is not None:
        parts = UNDECIDED.get(name, ()) + UNDECIDED[""]
        return not all(any(part in said for part in parts) for said in each.predicted.unknowns or ("",))
    return each.agreement is Agreement.WRONG


@pytest.mark.parametrize("name", recorded())
def test_the_walk_says_what_the_guest_did(name: str) -> None:
    """Every flow of the scenario goes as it went in the guest, or is undecided for a reason that is listed."""
    wrong = [str(each) for each in compare(*load(name)) if unexpected(name, each)]
    assert not wrong, "\n".join(wrong)


def test_recorded_flows_are_compared() -> None:
    """Nearly all recorded flows are put to the walk: only those of marked or bound sockets cannot be."""
    rows = [each for name in recorded() for each in compare(*load(name))]
    asked = [each for each in rows if each.agreement is not Agreement.NOT_ASKED]
    assert len(asked) > 0.95 * len(rows) > 200


@pytest.mark.parametrize(
    "heard",
    [
        Heard("timeout"),
        Heard("refused"),
        Heard("connected", "b", "10.1.0.2"),
        Heard("connected", "s", "10.1.0.1"),
    ],
    ids=str,
)
def test_another_outcome_is_a_disagreement(heard: Heard) -> None:
    """Another outcome, another server and another source than the predicted ones are each noticed."""
    bundle, rows = load("ipip")
    assert rows[0].heard == (Heard("connected", "s", "10.1.0.2"),)
    (told,) = compare(bundle, [replace(rows[0], heard=(heard,))])
    assert told.agreement is Agreement.WRONG


def test_a_server_that_never_answered_is_a_disagreement() -> None:
    """Where servers take turns, a predicted server that was not seen is noticed as well as an unpredicted one."""
    bundle, rows = load("ipvs-fwmark")
    row = rows[0]
    assert row.tried.spread
    (told,) = compare(bundle, [replace(row, heard=row.heard[:1])])
    assert told.agreement in {Agreement.WRONG, Agreement.UNKNOWN}
