"""The rules on metrics: each alert fires at its threshold, not below it, and not for a moment only."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from docs.dashboards.rules import PUSH_ALERTS, alerts, rules_yaml
from skoopctl.checks.catalogue import DOCS
from skoopctl.checks.finding import Severity
from skoopctl.probes.thresholds import THRESHOLDS, Compared, Threshold
from tests.support.history import RULES, rules_of

HERE = Path(__file__).parent
LABELS = '{k8s_node="n1",k8s_namespace="shop",k8s_pod="web"}'
OTHERS = 60_000
"""How much a minute grows what a share is of: more than any least."""
ALERTED = {
    alert.finding: (alert, threshold)
    for alert in alerts()
    for threshold in THRESHOLDS.values()
    if alert.finding == threshold.finding
}

pytestmark = pytest.mark.skipif(
    not shutil.which("promtool"), reason="prometheus is not installed (.ci/packages --tests)"
)


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run promtool in this folder."""
    return subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False, cwd=HERE)


def series(threshold: Threshold, times: float) -> Iterator[dict[str, str]]:
    """Yield the series that make so many times what the threshold allows."""
    amount = threshold.default * times
    per_minute = {
        Compared.GROWTH: amount if times >= 1 else 0,
        Compared.PER_SECOND: amount * 60,
        Compared.SHARE: amount * OTHERS,
    }
    now = {Compared.VALUE: amount, Compared.USED: amount * OTHERS}
    first, *rest = threshold.metrics
    if threshold.compared in now:
        yield {"series": first + LABELS, "values": f"{now[threshold.compared]}x40"}
        yield from ({"series": name + LABELS, "values": f"{OTHERS}x40"} for name in threshold.of)
        return
    yield {"series": first + LABELS, "values": f"0+{per_minute[threshold.compared]}x40"}
    for name in rest:
        yield {"series": name + LABELS, "values": "0x40"}
    for number, name in enumerate(threshold.of):
        yield {"series": name + LABELS, "values": f"0+{0 if number else OTHERS}x40"}


def played(tmp_path: Path, given: list[dict[str, str]], name: str, *, fires: bool) -> None:
    """Let promtool play series for half an hour, and hold it to whether the alert fires then, and not at once."""
    expected = [{"labels": f'ALERTS{{alertname="{name}",alertstate="firing",k8s_pod="web"}}', "value": 1}]
    asked = f'max by (__name__, alertname, alertstate, k8s_pod) (ALERTS{{alertname="{name}",alertstate="firing"}})'
    test: dict[str, Any] = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": given,
                "promql_expr_test": [
                    {"expr": asked, "eval_time": "2m", "exp_samples": []},
                    {"expr": asked, "eval_time": "30m", "exp_samples": expected if fires else []},
                ],
            }
        ],
    }
    file = tmp_path / "test.yaml"
    file.write_text(json.dumps(test), encoding="utf-8")
    done = promtool("test", "rules", str(file))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("finding", ALERTED)
def test_an_alert_fires_when_its_threshold_is_passed_for_long_enough(finding: str, tmp_path: Path) -> None:
    """A fifth above the threshold, for half an hour: it fires then, and did not after two minutes."""
    alert, threshold = ALERTED[finding]
    played(tmp_path, list(series(threshold, 1.2)), alert.name, fires=True)


@pytest.mark.parametrize("finding", ALERTED)
def test_an_alert_is_quiet_below_its_threshold(finding: str, tmp_path: Path) -> None:
    """A fifth below the threshold, for half an hour: nothing fires."""
    alert, threshold = ALERTED[finding]
    played(tmp_path, list(series(threshold, 0.8)), alert.name, fires=False)


def test_a_kernel_without_a_counter_has_the_alert_all_the_same(tmp_path: Path) -> None:
    """Receive drops are summed without the counters that came with Linux 4.20."""
    alert, threshold = ALERTED["tcp-receive-drops"]
    given = [row for row in series(threshold, 1.2) if "tcpbacklogdrop" in row["series"]]
    played(tmp_path, given, alert.name, fires=True)


def test_every_finding_of_metrics_that_is_a_warning_has_an_alert() -> None:
    """No threshold is forgotten, each alert has its finding's severity, and its documentation exists."""
    wanted = {each.finding for each in THRESHOLDS.values() if each.severity >= Severity.WARNING}
    assert set(ALERTED) == wanted
    assert {alert.severity for alert, _ in ALERTED.values()} <= {severity.word for severity in Severity}
    assert all(alert.severity == DOCS[finding].severity.word for finding, (alert, _) in ALERTED.items())
    pages = {alert.runbook.partition("#")[0] for alert in (*alerts(), *PUSH_ALERTS)}
    assert [page for page in pages if not (RULES.parents[2] / page).is_file()] == []


def test_every_alert_is_whole() -> None:
    """Each has a time that it waits, a severity, a summary, a description and where to read on."""
    rules = [rule for rule in rules_of(RULES) if "alert" in rule]
    assert len(rules) == len(ALERTED) + len(PUSH_ALERTS)
    for rule in rules:
        assert rule["for"]
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}


def test_promtool_accepts_the_rules_and_they_are_fresh() -> None:
    """The file is well formed, and what docs/dashboards makes now; otherwise: make docs."""
    done = promtool("check", "rules", str(RULES))
    assert done.returncode == 0, done.stderr
    assert RULES.read_text(encoding="utf-8") == rules_yaml()


def test_alerts_say_what_the_rules_tests_say() -> None:
    """Promtool plays series against the rules: what fires, when, and with which words."""
    done = promtool("test", "rules", "metrics_alerts_test.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_accepts_the_configuration_of_compose(tmp_path: Path) -> None:
    """deploy/prometheus/prometheus.yml is right, with our rules where its container has them."""
    text = (RULES.parents[2] / "deploy/prometheus/prometheus.yml").read_text(encoding="utf-8")
    config = tmp_path / "prometheus.yml"
    config.write_text(text.replace("/etc/prometheus/rules", str(RULES.parent)), encoding="utf-8")
    done = promtool("check", "config", str(config))
    assert done.returncode == 0, done.stderr
    assert "2 rule files found" in done.stdout
