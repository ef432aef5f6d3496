"""Write docs/metrics.md from the catalogue of probes; with ``--check``, only say whether it is fresh.

Run it with ``make docs``.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from docs.pages import write_or_check
from skoopctl.events.metrics import EVENT_METRICS
from skoopctl.probes.catalogue import DEAR, PROBES, READINGS
from skoopctl.probes.metric import Probe, Scope
from skoopctl.probes.reading import Reading
from skoopctl.probes.thresholds import THRESHOLDS, Compared, Threshold
from skoopctl.pushing.self_metrics import SELF_METRICS

PAGE = Path(__file__).with_name("metrics.md")

_OPENING = """\
# Metrics

<!-- Written by `make docs` from skoopctl/probes/. Edit there. -->

Every probe and every metric: where the number stands on the node, and where it is another one than KubeSkoop's of the
same name. `skoopctl probe list` prints the same tables; with `-i INVENTORY` it asks the nodes how each probe fares
there: *available*, *degraded* (some namespaces or processes could not be read), *unavailable*, and why.

## Names and types

Names that begin with `kubeskoop_` are KubeSkoop's, character for character, and so are their labels: its dashboards
and rules work as they are. They are exposed without a type (`untyped`, in OpenMetrics `unknown`), because a counter's
name would have to end in `_total`. The column *kind* says what they are: take `rate()` of counters only. KubeSkoop
calls nearly all of them gauges.

Names that begin with `skoopctl_` are ours: typed, counters ending in `_total`, units in the names.

A number that is not known has no series. It is never shown as 0: a kernel that does not count something, a namespace
that could not be read, a module that is not loaded give nothing, and `probe list` says why.

Counters fall back when a node is started anew, and some are of 32 bits and begin again at 0: `rate()` copes with
both. Those of `io` count what processes did since the watch of their node began, or before that while they lived.

## Whose a series is

`k8s_node` is the API's name of the node if the API knows the inventory's host by name or address, else the
inventory's name. `k8s_namespace` and `k8s_pod` are empty for the node itself.

- A network namespace belongs to the pod whose UID is in the cgroups of its processes. The UID's name comes from the
  API, or without one from the folders in `/var/log/pods`. A pod that neither names has `k8s_namespace="unknown"` and
  its UID as `k8s_pod`, and so has one whose namespace is really called that. It is never added to the node's own.
- Processes of two pods in one namespace: if the API says that all but one of them are on the host's network, it is
  that one's (network plugins visit pods). Else nobody knows, and it is `unknown`, `netns-INODE`.
- One pod in several namespaces (a browser's sandbox makes some): its own is the one that the container runtime has
  given a name, or else the only one with a device that carried something; the others are not shown. If that does not
  decide, each is `unknown`, `UID-netns-INODE`.
- Pods on the host's network have what is counted by cgroup: `io`, `fd`, and `tcpsummary` where the kernel tells the
  cgroup of a socket (0 then means that it has none). Everything else of them is in the node's own numbers.
- Two pods with one name (one ends, its successor begins): the one that the API knows has the name, the other is
  `unknown`.

`additionalLabels` are KubeSkoop's: `name=text ${labels:podlabel}`. A label that a pod has not is empty.

## Probes

"""

_ANOMALIES = """\
## Thresholds

When a number reaches its threshold between two rounds, `skoopctl probe run` reports a finding; `--threshold
NAME=NUMBER` sets another one. Only what was measured counts: a series that has just appeared gives nothing.

| threshold | default | compared | finding | severity |
|---|---|---|---|---|
"""

_OF = {
    Scope.NAMESPACE: "node and pod",
    Scope.HOST: "node",
    Scope.CGROUP: "node and pod, by processes",
}
_COMPARED = {
    Compared.GROWTH: "growth of {metrics}",
    Compared.PER_SECOND: "growth per second of {metrics}",
    Compared.SHARE: "growth of {metrics}, as a part of that of {of}; at least {least:g} of these",
    Compared.VALUE: "{metrics} now",
    Compared.USED: "{metrics} as a part of {of}",
}


def page() -> str:
    """Return the page: probes in a table, a section each, thresholds."""
    head = ["| probe | tells | of each | costs | needs |", "|---|---|---|---|---|"]
    sections = [part for probe in PROBES.values() for part in _section(probe)]
    note = "\\* only on request: it costs more than the others together.\n"
    thresholds = [_threshold(each) for each in THRESHOLDS.values()]
    rows = [*head, *map(_probe, PROBES.values()), "", note]
    head_part = _OPENING + "\n".join([*rows, *sections]) + "\n" + _of_events()
    return head_part + _ANOMALIES + "\n".join([*thresholds, ""]) + _of_push()


def _of_events() -> str:
    rows = [
        "## Of events",
        "",
        "What the event probes count ([ebpf.md](ebpf.md)). Nodes count for themselves: samples that were lost are in",
        "these numbers. Names that KubeSkoop has are its own. All have `k8s_node`, so that all nodes fit on one page,",
        "and ports are 0.",
        "",
        "| metric | kind | labels | what | from |",
        "|---|---|---|---|---|",
    ]
    for metric in EVENT_METRICS.values():
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        rows.append(f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} | {metric.source} |")
    return "\n".join([*rows, "", ""])


def _of_push() -> str:
    rows = [
        "",
        "## What `skoopctl push` says about itself",
        "",
        "On its page, and at the gateway in a group of its own (`service`): [push.md](push.md).",
        "",
        "| metric | kind | labels | what |",
        "|---|---|---|---|",
    ]
    for name, row in SELF_METRICS.items():
        labels = ", ".join(f"`{label}`" for label in row.labels)
        rows.append(f"| `{name}` | {row.kind} | {labels} | {row.help} |".replace("|  |", "| |"))
    return "\n".join([*rows, ""])


def _probe(probe: Probe) -> str:
    name = f"[`{probe.name}`](#{probe.name})" + (" \\*" if probe.name in DEAR else "")
    return f"| {name} | {probe.title} | {_OF[probe.scope]} | {probe.cost} | {probe.needs} |"


def _section(probe: Probe) -> Iterator[str]:
    yield f"### {probe.name}\n"
    yield f"{_sentence(probe.title)} *Reads* {probe.source}.\n"
    for labels, rows in groupby(READINGS[probe.name], lambda reading: reading.metric.labels):
        yield f"Labels: {', '.join(f'`{label}`' for label in labels)}.\n"
        yield "| metric | kind | what | from | differs |"
        yield "|---|---|---|---|---|"
        yield from map(_metric, rows)
        yield ""


def _metric(reading: Reading) -> str:
    metric = reading.metric
    what = metric.help + (f" Only {reading.only}." if reading.only else "")
    cells = (f"`{metric.name}`", str(metric.kind), what, metric.source, reading.differs)
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")


def _threshold(each: Threshold) -> str:
    words = {"metrics": _names(each.metrics), "of": _names(each.of), "least": each.least}
    compared = _COMPARED[each.compared].format(**words)
    finding = f"[`{each.finding}`](findings.md#{each.finding})"
    return f"| `{each.name}` | {each.default:,} {each.unit} | {compared} | {finding} | {each.severity.word} |"


def _names(metrics: tuple[str, ...]) -> str:
    return " + ".join(f"`{name}`" for name in metrics)


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def main() -> None:
    """Write the page, or check it."""
    write_or_check({PAGE: page()})


if __name__ == "__main__":
    main()
