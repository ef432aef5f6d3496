"""Write the recording and alert rules for metrics, from the thresholds that ``skoopctl probe run`` has.

An alert asks over five minutes what a probe's run asks over its duration, and waits until it has been so for a while.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from skoopctl.checks.catalogue import DOCS
from skoopctl.checks.finding import Severity
from skoopctl.probes.thresholds import THRESHOLDS, Compared, Threshold

WINDOW_S = 300
FOR = {Severity.WARNING: "10m", Severity.CRITICAL: "5m", Severity.FATAL: "1m"}
PLACE = "{{ $labels.k8s_node }}{{ with $labels.k8s_pod }}, pod {{ $labels.k8s_namespace }}/{{ . }}{{ end }}"
LATE = {"kubeskoop_tcpext_tcprcvqdrop", "kubeskoop_tcpext_tcpzerowindowdrop"}
"""Metrics that old kernels do not have: a sum does without them."""

RECORDED = (
    (
        "skoopctl:tcp_resent:ratio_rate5m",
        "rate(kubeskoop_tcp_retranssegs[5m]) / (rate(kubeskoop_tcp_outsegs[5m]) > 1)",
        "Of those that send more than one segment a second: a share of very little means nothing.",
    ),
    ("skoopctl:listen_overflows:rate5m", "rate(kubeskoop_tcpext_listenoverflows[5m])", ""),
    ("skoopctl:udp_buffer_full:rate5m", "rate(kubeskoop_udp_rcvbuferrors[5m])", ""),
    (
        "skoopctl:conntrack_used:ratio",
        "kubeskoop_conntrack_entries / (kubeskoop_conntrack_maxentries > 0)",
        "Of the node's own table, and of those of pods.",
    ),
)


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert rule. ``finding`` is the id that ``skoopctl explain`` knows; empty for push's own trouble."""

    name: str
    expr: str
    wait: str
    severity: str
    summary: str
    description: str
    finding: str = ""
    runbook: str = ""


PUSH_ALERTS = (
    Alert(
        "SkoopctlNodeSilent",
        "skoopctl_push_node_up == 0",
        "5m",
        "critical",
        "{{ $labels.node }} says nothing: its metrics are missing",
        "No round has come for two intervals. skoopctl doctor -l {{ $labels.node }} says what is in the way.",
        runbook="docs/doctor.md",
    ),
    Alert(
        "SkoopctlPushMissing",
        "max by (cluster, job) (present_over_time(skoopctl_push_build_info[1d]))"
        " unless max by (cluster, job) (skoopctl_push_build_info)",
        "5m",
        "critical",
        "skoopctl push has stopped: no metrics come at all",
        "It was there within the last day. systemctl status skoopctl-push, or the log of its pod, says why.",
        runbook="docs/push.md",
    ),
    Alert(
        "SkoopctlPushStalled",
        'time() - push_time_seconds{job="skoopctl",plan=""} > 300',
        "5m",
        "warning",
        "The gateway's group {{ $labels.node }} is {{ $value | humanizeDuration }} old",
        "What it shows is no longer so. skoopctl push deletes the groups of nodes that left; it may not run any more.",
        runbook="docs/push.md",
    ),
    Alert(
        "SkoopctlGatewayRefuses",
        "skoopctl_push_gateway_up == 0",
        "5m",
        "warning",
        "The Pushgateway does not take what skoopctl pushes",
        "Series at the gateway grow old. The log of skoopctl push says what the gateway answered.",
        runbook="docs/push.md",
    ),
    Alert(
        "SkoopctlLokiRefuses",
        "skoopctl_push_loki_up == 0",
        "5m",
        "warning",
        "Loki does not take the events that skoopctl sends",
        "They wait, and the oldest are dropped when too many do. The log of skoopctl push says what Loki answered.",
        runbook="docs/push.md",
    ),
    Alert(
        "SkoopctlEventsLost",
        'increase(skoopctl_push_loki_events_total{result!="sent"}[15m]) > 0',
        "1m",
        "warning",
        "{{ $value | humanize }} events did not get to Loki in 15 minutes: {{ $labels.result }}",
        "refused: too old or too long for it, or not allowed. dropped: it was down for longer than loki.queue lasts.",
        runbook="docs/push.md",
    ),
    Alert(
        "SkoopctlRoundsSkipped",
        "increase(skoopctl_push_node_skipped_rounds_total[15m]) > 5",
        "15m",
        "warning",
        "{{ $labels.node }} is too slow for the interval: {{ $value | humanize }} rounds skipped in 15 minutes",
        "The node is busy, or the probes are too dear for it: take a longer interval, or leave out fd and io.",
        runbook="docs/push.md",
    ),
    Alert(
        "SkoopctlNodeWithheld",
        "skoopctl_push_node_withheld == 1",
        "5m",
        "warning",
        "{{ $labels.node }} has more series than limits.node-series: none are shown",
        "Raise the limit in the configuration, or ask for fewer probes.",
        runbook="docs/push.md",
    ),
    Alert(
        "SkoopctlConfigRefused",
        "skoopctl_push_config_last_reload_successful == 0",
        "1m",
        "warning",
        "The new configuration of skoopctl push was refused; the old one is in force",
        "skoopctl push --check CONFIG names the line.",
        runbook="docs/push.md",
    ),
    Alert(
        "SkoopctlInventoryUnreadable",
        "skoopctl_push_inventory_last_read_successful == 0",
        "15m",
        "warning",
        "The inventory of skoopctl push cannot be read; nodes that joined or left are not known",
        "skoopctl inventory -i INVENTORY names the line.",
        runbook="docs/inventories.md",
    ),
)


def alerts() -> Iterator[Alert]:
    """Yield an alert for each threshold whose finding is at least a warning, then push's own."""
    for threshold in THRESHOLDS.values():
        if threshold.severity >= Severity.WARNING:
            yield _alert(threshold)
    yield from PUSH_ALERTS


def _alert(threshold: Threshold) -> Alert:
    doc = DOCS[threshold.finding]
    part = threshold.compared in {Compared.SHARE, Compared.USED}
    number = "{{ $value | humanizePercentage }}" if part else "{{ $value | humanize }}"
    over = " in five minutes" if threshold.compared is Compared.GROWTH else ""
    return Alert(
        f"Skoopctl{''.join(word.capitalize() for word in threshold.name.split('-'))}",
        expression(threshold),
        FOR[threshold.severity],
        threshold.severity.word,
        f"{PLACE}: {doc.title[0].lower() + doc.title[1:] if doc.title[1].islower() else doc.title}",
        f"{number} {threshold.unit}{over}. skoopctl explain {doc.id} says what it means and what to do.",
        doc.id,
        f"docs/findings.md#{doc.id}",
    )


def expression(threshold: Threshold) -> str:
    """Return a threshold as PromQL."""
    if threshold.compared in {Compared.VALUE, Compared.USED}:
        counted, of = _added(threshold.metrics, "{}"), _added(threshold.of, "{}")
    elif threshold.compared is Compared.GROWTH:
        counted, of = _added(threshold.metrics, "increase({}[5m])"), ""
    else:
        counted, of = _added(threshold.metrics, "rate({}[5m])"), _added(threshold.of, "rate({}[5m])")
    # A counter that grew by one has grown by a little less or more when it is extrapolated.
    limit = "> 0" if threshold.compared is Compared.GROWTH else f">= {threshold.default:.15g}"
    if not of:
        return f"{counted} {limit}"
    least = threshold.least / WINDOW_S
    return f"{_within(counted)} / ({of} > {least:.4g}) {limit}"


def _added(metrics: tuple[str, ...], form: str) -> str:
    terms = [form.format(name) for name in metrics]
    first = terms[:1]
    return " + ".join(
        first
        + [
            f"({term} or 0 * {first[0]})" if name in LATE else term
            for name, term in zip(metrics[1:], terms[1:], strict=True)
        ]
    )


def _within(expr: str) -> str:
    return f"({expr})" if " + " in expr else expr


_HEAD = """\
# Recording and alert rules for the metrics of `skoopctl push`: kubeskoop_* and skoopctl_push_*.
# Written by `make docs` from the thresholds of `skoopctl probe run`.
# Check with: promtool check rules skoopctl-metrics.yaml
# The dashboard skoopctl-fleet shows what is recorded here.
groups:
  - name: skoopctl-recording
    interval: 30s
    rules:
"""


def rules_yaml() -> str:
    """Return the whole file."""
    lines = [_HEAD.rstrip("\n")]
    for name, expr, why in RECORDED:
        lines += [f"      # {why}"] if why else []
        lines += [f"      - record: {name}", f"        expr: {expr}"]
    lines += ["  - name: skoopctl-metrics", "    rules:"]
    for alert in alerts():
        lines += _lines(alert)
    return "\n".join(lines) + "\n"


def _lines(alert: Alert) -> Iterator[str]:
    yield f"      - alert: {alert.name}"
    yield f"        expr: {json.dumps(alert.expr) if chr(34) in alert.expr else alert.expr}"
    yield f"        for: {alert.wait}"
    yield "        labels:"
    yield f"          severity: {alert.severity}"
    if alert.finding:
        yield f"          finding: {alert.finding}"
    yield "        annotations:"
    yield f"          summary: {json.dumps(alert.summary)}"
    yield f"          description: {json.dumps(alert.description)}"
    yield f"          runbook_url: {alert.runbook}"
