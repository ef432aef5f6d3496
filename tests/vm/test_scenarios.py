"""The recorded truth is what the guest does: a sample of the scenarios is played again, and predicted anew."""

from __future__ import annotations

import pytest

from tests.unit.dataplane.test_vm_recorded import unexpected
from tests.vm.guest import Guest
from tests.vm.play import play
from tests.vm.scenario import SCENARIOS
from tests.vm.scenarios import load_all
from tests.vm.truth import compare, load, recorded

pytestmark = [pytest.mark.vm, pytest.mark.timeout(600, func_only=True)]

SAMPLE = (
    "bond",
    "geneve",
    "gre-key",
    "ipip",
    "ipip-tunl0",
    "ipset-types",
    "ipvlan-l3",
    "ipvs-kube",
    "ipvs-dr",
    "macvlan",
    "vlan-bridge",
    "vrf",
    "wireguard",
    "zones",
)
"""One of a subject: each takes seconds. ``make record-vm`` plays them all."""


@pytest.mark.parametrize("name", SAMPLE)
def test_the_walk_says_what_the_guest_does(guest: Guest, name: str) -> None:
    """Played again, every flow goes as it was recorded, and as the walk says from the evidence of today."""
    _, known = load(name)
    bundle, rows = play(guest, SCENARIOS[name], known)
    now = {row.tried.label: {(h.outcome, h.who, h.seen) for h in row.heard} for row in rows}
    then = {row.tried.label: {(h.outcome, h.who, h.seen) for h in row.heard} for row in known}
    assert now == then
    wrong = [str(each) for each in compare(bundle, rows) if unexpected(name, each)]
    assert not wrong, "\n".join(wrong)


def test_every_scenario_is_recorded() -> None:
    """There is a recording of each scenario, and none of a scenario that is gone."""
    load_all()
    assert sorted(SCENARIOS) == recorded()
