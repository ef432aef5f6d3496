"""All probes, by name: what ``skoopctl probe list`` and docs/metrics.md print, and what a node is asked for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from types import MappingProxyType

from skoopctl.errors import UsageError
from skoopctl.probes.metric import Metric, Probe
from skoopctl.probes.reading import Reading
from skoopctl.probes.tables.conntrack import CONNTRACK, CONNTRACK_READINGS
from skoopctl.probes.tables.devices import NETDEV, NETDEV_READINGS, QDISC, QDISC_READINGS
from skoopctl.probes.tables.node import IPVS, IPVS_READINGS, SOFTNET, SOFTNET_READINGS
from skoopctl.probes.tables.processes import FD, FD_READINGS, IO, IO_READINGS
from skoopctl.probes.tables.rdma import RDMA, RDMA_READINGS
from skoopctl.probes.tables.snmp import IP, IP_READINGS, TCP, TCP_READINGS, UDP, UDP_READINGS
from skoopctl.probes.tables.sockets import SOCK, SOCK_READINGS, TCPSUMMARY, TCPSUMMARY_READINGS
from skoopctl.probes.tables.tcpext import TCPEXT, TCPEXT_READINGS

_TABLE: tuple[tuple[Probe, tuple[Reading, ...]], ...] = (
    (TCP, TCP_READINGS),
    (UDP, UDP_READINGS),
    (IP, IP_READINGS),
    (TCPEXT, TCPEXT_READINGS),
    (TCPSUMMARY, TCPSUMMARY_READINGS),
    (SOCK, SOCK_READINGS),
    (SOFTNET, SOFTNET_READINGS),
    (NETDEV, NETDEV_READINGS),
    (IO, IO_READINGS),
    (FD, FD_READINGS),
    (QDISC, QDISC_READINGS),
    (CONNTRACK, CONNTRACK_READINGS),
    (IPVS, IPVS_READINGS),
    (RDMA, RDMA_READINGS),
)

PROBES: Mapping[str, Probe] = MappingProxyType({probe.name: probe for probe, _ in _TABLE})
"""Every probe, in the order of pages and lists."""

READINGS: Mapping[str, tuple[Reading, ...]] = MappingProxyType({probe.name: rows for probe, rows in _TABLE})
"""Where each probe's metrics come from."""

METRICS: Mapping[str, Metric] = MappingProxyType(
    {reading.metric.name: reading.metric for _, rows in _TABLE for reading in rows}
)
"""Every metric by its name, in the order of pages."""

DEAR = frozenset({"fd"})
"""Probes that cost a busy node more than all others together: only on request."""

DEFAULT_PROBES: tuple[str, ...] = tuple(name for name in PROBES if name not in DEAR)

ALWAYS = ("identity", "pods", "places")
"""Items that tell whose the numbers are."""


def check_names(wanted: set[str], known: Collection[str]) -> None:
    """Raise UsageError for a probe that is not there, with the nearest that are."""
    for name in sorted(wanted.difference(known)):
        near = get_close_matches(name, known, 2)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(known)}"
        raise UsageError(f"there is no probe {name!r}", hint=hint)


def probes_named(names: Iterable[str]) -> tuple[Probe, ...]:
    """Return probes by their names, each once, in the catalogue's order.

    Raises UsageError for a name that is not there, with the nearest that are.
    """
    wanted = set(names)
    check_names(wanted, PROBES)
    return tuple(probe for name, probe in PROBES.items() if name in wanted)


def items_of(probes: Iterable[str]) -> tuple[str, ...]:
    """Return what a node is asked for, without repetition. Raises UsageError for a probe that is not there."""
    asked = [item for probe in probes_named(probes) for item in probe.items]
    return tuple(dict.fromkeys((*ALWAYS, *asked)))
