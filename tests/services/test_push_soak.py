"""The short form of ``make soak``: kills at random for half a minute, over hosts that are this machine."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest

from tests.services.push_process import Pushing
from tests.soak.chaos import INTERVAL_S, Chaos, Outage, Server
from tests.soak.judge import BUSY_S, Gap, gaps, overlap, too_long
from tests.soak.soak import CLUSTER, soak
from tests.support.floods import counting


@pytest.mark.skipif(os.geteuid() != 0, reason="the node program reads other namespaces: that takes root")
@pytest.mark.skipif(
    not all(map(shutil.which, ("prometheus", "prometheus-pushgateway"))),
    reason="prometheus and prometheus-pushgateway are not installed (.ci/packages --tests)",
)
def test_series_recover_from_kills_without_gap_duplicate_or_stale_group(tmp_path: Path) -> None:
    """Gateway, push and node programs are killed at random; what Prometheus has stored is as it must be."""
    names = ["n1", "n2", "n3"]
    service = Pushing(tmp_path, {"inventories": ["./hosts.yaml"], "cluster": CLUSTER, "interval": INTERVAL_S})
    service.inventory(names)

    def chaos(gateway: Server) -> Chaos:
        return Chaos(
            service, gateway, service.programs, lambda: service.inventory(names[:-1]), random.Random(7)
        )

    with counting():
        soak(tmp_path, service, chaos, nodes=3, seconds=25, busy=True, tell=print)


def test_gaps_are_judged_beyond_the_outages() -> None:
    """A gap that a kill explains is none; one that lasts longer is named."""
    outages = [Outage("gateway", 10, 20), Outage("push", 15, 25)]
    assert overlap(5, 30, outages) == 15
    assert overlap(0, 10, outages) == 0
    found = gaps({"n1": [1, 3, 9, 27], "n2": [1, 40]}, outages)
    assert [gap.own_s for gap in found] == [2, 6, 3, 24]
    assert too_long(found) == [str(Gap("n1", 3, 9, 0)), str(Gap("n2", 1, 40, 15))]
    assert too_long(found, BUSY_S) == [str(Gap("n2", 1, 40, 15))]
