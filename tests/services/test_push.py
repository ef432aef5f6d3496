"""What a run pushes, at a real Pushgateway and in a real Prometheus, with the alert rules that come along."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from urllib.request import urlopen

import pytest

from skoopctl.errors import PushError
from skoopctl.runs.result import RunResult
from skoopctl.sinks.gateway import Access, GatewayClient
from skoopctl.sinks.run_metrics import METRICS, page_of, registry_of
from tests.services.servers import ANSWER_S, alerts, free_port, prometheus, pushgateway, query, wait_until
from tests.support.broken import drop_vxlan
from tests.support.results import PATH, result_of

RULES = Path(__file__).parents[2] / "reports/prometheus/skoopctl-alerts.yaml"
GROUP = {"cluster": "prod", "plan": "nightly"}
PROD = tuple(GROUP.items())

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("prometheus", "prometheus-pushgateway", "promtool"))),
    reason="prometheus and prometheus-pushgateway are not installed (.ci/packages --tests)",
)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run one Pushgateway for the module; each test deletes its group."""
    with pushgateway(tmp_path_factory.mktemp("gateway")) as url:
        yield url


@pytest.fixture
def broken() -> RunResult:
    """Return the result of a run on a cluster whose tunnel is dropped; one host gave no answer."""
    return result_of(drop_vxlan, statuses=("ok", "ok", "timeout"), paths=[PATH])


def pushed(url: str) -> list[str]:
    """Return our series at a gateway, as its page has them."""
    with urlopen(f"{url}/metrics", timeout=ANSWER_S) as answer:  # noqa: S310 - our own server on loopback
        lines = answer.read().decode().splitlines()
    return [line for line in lines if line.startswith("skoopctl_")]


def put(access: Access, result: RunResult, group: dict[str, str]) -> None:
    """Push a result as a run does."""
    with closing(GatewayClient(access)) as client:
        client.put(group, page_of(result))


def delete(url: str, group: dict[str, str]) -> None:
    """Delete a group, and wait until it is gone: the gateway answers that it will."""
    with closing(GatewayClient(Access(url))) as client:
        client.delete(group)
        wait_until(lambda: group not in [each.group for each in client.groups()], "the group to go")


def test_a_run_is_one_group_that_the_next_run_replaces(gateway: str, broken: RunResult) -> None:
    """Findings of the first run are gone after the second: nothing stale stays at the gateway."""
    put(Access(gateway), broken, GROUP)
    first = pushed(gateway)
    assert any("skoopctl_finding{" in line and 'id="netfilter-drop"' in line for line in first)
    put(Access(gateway), result_of(), GROUP)
    second = pushed(gateway)
    assert not any("skoopctl_finding{" in line for line in second)
    assert any("skoopctl_findings{" in line and 'severity="fatal"} 0' in line for line in second)
    delete(gateway, GROUP)
    assert pushed(gateway) == []


def test_groups_of_other_plans_stay(gateway: str, broken: RunResult) -> None:
    """Two plans on one cluster do not overwrite each other."""
    other = {**GROUP, "plan": "dns"}
    put(Access(gateway), broken, GROUP)
    put(Access(gateway), replace(broken, plan="dns"), other)
    delete(gateway, GROUP)
    assert all('plan="dns"' in line for line in pushed(gateway))
    assert pushed(gateway)
    delete(gateway, other)


def test_prometheus_has_the_findings_and_the_alerts_fire(
    gateway: str, broken: RunResult, tmp_path: Path
) -> None:
    """From the gateway into Prometheus: the series with their labels, and the alert rules on them."""
    put(Access(gateway), broken, GROUP)
    with prometheus(tmp_path, gateway, RULES) as url:
        found = wait_until(lambda: query(url, "skoopctl_finding"), "the first scrape")
        (drop,) = [labels for labels in found if ("id", "netfilter-drop") in labels]
        assert set(drop) > {*PROD, ("severity", "fatal")}
        # A scrape that takes more than its second leaves nothing until the next.
        hosts = 'skoopctl_hosts{status=~"ok|timeout|denied"}'
        wait_until(lambda: sorted(query(url, hosts).values()) == [0, 1, 2], "the numbers of hosts")
        expected = {
            "SkoopctlFinding",
            "SkoopctlPathUnexpected",
            "SkoopctlHostsMissing",
        }
        wait_until(lambda: {name for name, _ in alerts(url)} >= expected, "all alerts")
        assert not {name for name, _ in alerts(url)} & {"SkoopctlRunMissing", "SkoopctlRunBroken"}
    delete(gateway, GROUP)


def test_promtool_accepts_the_rules_and_the_metrics(broken: RunResult) -> None:
    """The rules are well formed, and the series are as promtool wants series to be."""
    from prometheus_client import generate_latest

    rules = subprocess.run(
        ["promtool", "check", "rules", str(RULES)], capture_output=True, text=True, check=False
    )
    assert rules.returncode == 0, rules.stderr
    assert "5 rules found" in rules.stdout
    exposed = generate_latest(registry_of(broken))
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=exposed, capture_output=True, check=False
    )
    assert checked.returncode == 0, checked.stderr.decode()


def test_alerts_are_as_the_rules_tests_say() -> None:
    """Promtool plays series against the rules: what fires, when, and with which words."""
    tests = Path(__file__).with_name("alerts_test.yaml")
    done = subprocess.run(
        ["promtool", "test", "rules", str(tests)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tests.parent,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_metric_is_produced_and_every_rule_asks_for_one(broken: RunResult) -> None:
    """Nothing in the table is never there, and no rule asks for something that is not in it."""
    from prometheus_client import generate_latest

    text = generate_latest(registry_of(broken)).decode()
    assert [name for name in METRICS if f"\n{name}" not in text] == []
    rules = RULES.read_text()
    asked = {word for line in rules.splitlines() if "expr:" in line for word in METRICS if word in line}
    assert asked >= {"skoopctl_finding", "skoopctl_hosts", "skoopctl_run_timestamp_seconds"}


def test_names_from_nodes_cannot_break_the_page(gateway: str, broken: RunResult) -> None:
    """A node whose name holds quotes and newlines is one label value, not another series."""
    where = replace(broken.findings[0].finding.where, node='x"} 1\nskoopctl_evil{a="\\')
    finding = replace(broken.findings[0].finding, where=where)
    noted = replace(broken.findings[0].noted, finding=finding)
    result = replace(broken, findings=(replace(broken.findings[0], noted=noted),))
    put(Access(gateway), result, GROUP)
    assert not any(line.startswith("skoopctl_evil") for line in pushed(gateway))
    delete(gateway, GROUP)


def test_basic_authentication_and_what_is_said_without_it(tmp_path: Path, broken: RunResult) -> None:
    """A gateway that wants a password gets it from the file; a wrong one is one line without the password."""
    import bcrypt

    web = tmp_path / "web.yml"
    hashed = bcrypt.hashpw(b"right-secret", bcrypt.gensalt(4)).decode()
    web.write_text(f"basic_auth_users: {{admin: {hashed}}}\n", encoding="utf-8")
    secret = tmp_path / "password"
    with pushgateway(tmp_path, f"--web.config.file={web}") as url:
        secret.write_text("right-secret\n", encoding="utf-8")
        put(Access(url, "admin", str(secret)), broken, GROUP)
        secret.write_text("wrong-secret\n", encoding="utf-8")
        with pytest.raises(PushError, match="the gateway says 401 Unauthorized") as caught:
            put(Access(url, "admin", str(secret)), broken, GROUP)
        assert "wrong-secret" not in str(caught.value)
        with pytest.raises(PushError, match="the gateway says 401"):
            put(Access(url), broken, GROUP)


def test_a_gateway_that_is_not_there_is_one_line(broken: RunResult) -> None:
    """Nothing listens; a password file that is missing; a server that hangs: each is one clear line."""
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(PushError, match=r"^http://127.0.0.1:\d+: the gateway cannot be reached: .*refused"):
        put(Access(url), broken, GROUP)
    with pytest.raises(PushError, match=r"nothing was sent: /nowhere/password: No such file"):
        put(Access(url, "admin", "/nowhere/password"), broken, GROUP)


def test_a_gateway_that_hangs_costs_its_timeout(broken: RunResult) -> None:
    """It takes the connection and says nothing: the push ends by itself."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(PushError, match=r"the gateway gave no answer within 0\.3 s"):
            put(Access(url, timeout_s=0.3), broken, GROUP)
