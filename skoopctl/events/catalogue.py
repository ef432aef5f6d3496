"""Event probes by name, beside the probes of metrics: what is chosen on a command line or in a file."""

from __future__ import annotations

from collections.abc import Iterable

from skoopctl.bpf.catalogue import PROBES as EVENT_PROBES
from skoopctl.probes.catalogue import PROBES, check_names

__all__ = ["EVENT_PROBES", "known_names", "parted"]


def known_names() -> tuple[str, ...]:
    """Return the names of all probes, those of metrics first."""
    return (*PROBES, *EVENT_PROBES)


def parted(names: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the probes of metrics and those of events that are named, each once, in the catalogues' order.

    Raises UsageError for a name that is not there, with the nearest that are.
    """
    wanted = set(names)
    check_names(wanted, known_names())
    return tuple(name for name in PROBES if name in wanted), tuple(
        name for name in EVENT_PROBES if name in wanted
    )
