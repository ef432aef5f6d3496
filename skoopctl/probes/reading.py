"""One row of a probe's table: a metric, and where its value stands in what a node sends."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from skoopctl.probes.metric import POD_LABELS, Kind, Metric

COUNTER, GAUGE = Kind.COUNTER, Kind.GAUGE


@dataclass(frozen=True, slots=True)
class Reading:
    """A metric as one source makes it.

    ``source`` is a name of `skoopctl.probes.sources.SOURCES`; ``field`` is what that source calls the value.
    ``differs`` says where KubeSkoop's number of the same name is another one; ``only`` says which kernels or which
    hardware have the value, when not all do.
    """

    metric: Metric
    source: str
    field: str
    differs: str = ""
    only: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table: the kernel's field, a help text, and what `Reading` adds.

    ``name`` is the whole name of a series of our own; else it is the field in small letters behind the probe's prefix.
    """

    field: str
    help: str
    kind: Kind = COUNTER
    name: str = ""
    differs: str = ""
    only: str = ""
    where: str = ""
    """What `Metric.source` says, when the field does not say it."""


def readings(
    probe: str,
    source: str,
    rows: Iterable[Row],
    *,
    where: str = "",
    labels: tuple[str, ...] = POD_LABELS,
) -> tuple[Reading, ...]:
    """Return the readings of a table; ``where`` (``TcpExt``) is put before each field."""
    return tuple(_reading(probe, source, row, where, labels) for row in rows)


def _reading(probe: str, source: str, row: Row, where: str, labels: tuple[str, ...]) -> Reading:
    name = row.name or f"kubeskoop_{probe}_{row.field.lower()}"
    told = row.where or (f"{where}: {row.field}" if where else row.field)
    field = f"{where}.{row.field}" if where else row.field
    metric = Metric(name, row.help, row.kind, labels, told)
    return Reading(metric, source, field, row.differs, row.only)
