"""Names of probes: those of metrics and those of events are told apart."""

from __future__ import annotations

import pytest

from skoopctl.errors import UsageError
from skoopctl.events.catalogue import EVENT_PROBES, known_names, parted
from skoopctl.probes.catalogue import PROBES


def test_no_probe_of_events_has_the_name_of_one_of_metrics() -> None:
    """A name on a command line or in a file means one probe."""
    assert not set(PROBES) & set(EVENT_PROBES)
    assert len(known_names()) == len(PROBES) + len(EVENT_PROBES)


def test_a_name_that_is_near_is_offered() -> None:
    """Whoever mistypes a probe of events is told which there is."""
    with pytest.raises(UsageError, match="there is no probe 'packetlos'") as refused:
        parted(["tcp", "packetlos"])
    assert "packetloss" in str(refused.value.hint)
