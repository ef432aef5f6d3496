"""deploy/compose.yaml and what it mounts, as far as that can be told without Docker."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
SECRET = re.compile(r"password|secret|token", re.IGNORECASE)


def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


COMPOSE = _read(DEPLOY / "compose.yaml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PROVISIONING = DEPLOY / "grafana/provisioning"
KNOWN = {
    "image",
    "command",
    "environment",
    "secrets",
    "ports",
    "volumes",
    "depends_on",
    "healthcheck",
    "restart",
    "cap_drop",
    "security_opt",
    "networks",
    "logging",
}
"""Keys of the Compose specification that are used here; another one may be right, but is not known to be."""


def _mounts(service: str) -> dict[str, str]:
    """Return what a service mounts: the path inside, and what stands behind it."""
    parts = [volume.split(":") for volume in SERVICES[service].get("volumes", [])]
    return {part[1]: part[0] for part in parts}


def test_the_four_services_are_there() -> None:
    """Prometheus, a Pushgateway, Loki and Grafana: what is pushed can be kept and seen."""
    assert set(SERVICES) == {"prometheus", "pushgateway", "loki", "grafana"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_pinned_guarded_and_on_loopback(name: str) -> None:
    """Each image has a full version, each service a check of its health, and no port can be reached from outside."""
    service = SERVICES[name]
    assert set(service) <= KNOWN
    assert re.fullmatch(r"[a-z/]+:v?\d+\.\d+\.\d+", service["image"])
    assert service["healthcheck"]["test"][0] == "CMD"
    assert service["ports"]
    assert [port for port in service["ports"] if not port.startswith("127.0.0.1:")] == []
    assert service["cap_drop"] == ["ALL"]


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_mounts_is_there_or_has_a_name(name: str) -> None:
    """Files of this repository exist and cannot be written; everything else is a named volume."""
    for volume in SERVICES[name].get("volumes", []):
        source, _, mode = volume.partition(":")[0], *volume.partition(":")[1:]
        if source.startswith("."):
            assert (DEPLOY / source).exists(), source
            assert mode.endswith(":ro")
        else:
            assert source in COMPOSE["volumes"]


def test_no_password_is_written_down() -> None:
    """Grafana's password comes from a file that is not in the repository, and nothing else looks like one."""
    environment = SERVICES["grafana"]["environment"]
    assert {name for name in environment if SECRET.search(name)} == {"GF_SECURITY_ADMIN_PASSWORD__FILE"}
    (name,) = SERVICES["grafana"]["secrets"]
    assert environment["GF_SECURITY_ADMIN_PASSWORD__FILE"] == f"/run/secrets/{name}"
    assert Path(COMPOSE["secrets"][name]["file"]).parent == Path("secrets")
    assert "/deploy/secrets/" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()


def test_prometheus_loads_our_rules_and_scrapes_the_gateway() -> None:
    """The folder of the rules is mounted where its configuration looks, and the gateway keeps its labels."""
    config = _read(DEPLOY / "prometheus/prometheus.yml")
    (pattern,) = config["rule_files"]
    behind = DEPLOY / _mounts("prometheus")[str(Path(pattern).parent)]
    assert {path.name for path in behind.glob(Path(pattern).name)} >= {
        "skoopctl-alerts.yaml",
        "skoopctl-metrics.yaml",
    }
    (job,) = config["scrape_configs"]
    assert job["honor_labels"] is True
    assert job["static_configs"] == [{"targets": ["pushgateway:9091"]}]


LOKI = {
    "auth_enabled": {},
    "server": {"http_listen_port", "log_level"},
    "common": {"instance_addr", "path_prefix", "replication_factor", "ring", "storage"},
    "schema_config": {"configs"},
    "limits_config": {"retention_period", "allow_structured_metadata", "volume_enabled"},
    "compactor": {"working_directory", "retention_enabled", "delete_request_store"},
    "analytics": {"reporting_enabled"},
}
"""Keys of Loki's configuration that are used here; it refuses to start with one that it does not know."""


def test_loki_has_a_configuration_that_keeps_and_deletes() -> None:
    """Everything that it writes is in its volume, structured metadata can be kept, and old lines are deleted."""
    (option,) = SERVICES["loki"]["command"]
    mounts = _mounts("loki")
    config = _read(DEPLOY / mounts[option.removeprefix("-config.file=")])
    assert set(config) == set(LOKI)
    for name, keys in LOKI.items():
        assert not keys or set(config[name]) == keys
    (schema,) = config["schema_config"]["configs"]
    assert (schema["store"], schema["schema"], schema["index"]["period"]) == ("tsdb", "v13", "24h")
    written = [config["common"]["path_prefix"], config["compactor"]["working_directory"]]
    written += config["common"]["storage"]["filesystem"].values()
    assert mounts["/loki"] in COMPOSE["volumes"]
    assert [path for path in written if Path("/loki") not in (Path(path), *Path(path).parents)] == []
    assert config["compactor"]["retention_enabled"]
    days = int(config["limits_config"]["retention_period"].removesuffix("h")) // 24
    assert f"--storage.tsdb.retention.time={days}d" in SERVICES["prometheus"]["command"]
    assert config["analytics"]["reporting_enabled"] is False
    port = config["server"]["http_listen_port"]
    assert SERVICES["loki"]["ports"] == [f"127.0.0.1:{port}:{port}"]


def test_push_sends_events_to_the_loki_that_is_there() -> None:
    """The example's address is a service of the file, and Grafana asks the same one."""
    url = _read(DEPLOY / "push.yaml")["loki"]["url"]
    sources = _read(PROVISIONING / "datasources/skoopctl.yaml")["datasources"]
    assert [source["url"] for source in sources if source["type"] == "loki"] == [url]


def test_grafana_finds_our_dashboards_and_data_sources() -> None:
    """Provisioning names services that exist, and the folder where the dashboards are mounted."""
    sources = _read(PROVISIONING / "datasources/skoopctl.yaml")["datasources"]
    hosts = {re.fullmatch(r"http://(\w+):\d+", source["url"]).group(1) for source in sources}  # type: ignore[union-attr]
    assert hosts == {"prometheus", "loki"}
    scrape = _read(DEPLOY / "prometheus/prometheus.yml")["global"]["scrape_interval"]
    assert next(s for s in sources if s["type"] == "prometheus")["jsonData"]["timeInterval"] == scrape
    (provider,) = _read(PROVISIONING / "dashboards/skoopctl.yaml")["providers"]
    folder = DEPLOY / _mounts("grafana")[provider["options"]["path"]]
    boards = {json.loads(path.read_text(encoding="utf-8"))["uid"] for path in folder.glob("*.json")}
    assert boards == {f"skoopctl-{name}" for name in ("fleet", "nodes", "pods", "events", "findings")}
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (folder / Path(home).name).is_file()


def test_the_findings_dashboard_can_link_to_the_documentation() -> None:
    """Where its variable `docs` points, Grafana serves the folder with findings.md."""
    board = json.loads((ROOT / "reports/grafana/skoopctl-findings.json").read_text(encoding="utf-8"))
    (docs,) = [variable for variable in board["templating"]["list"] if variable["name"] == "docs"]
    inside = f"/usr/share/grafana{docs['query']}"
    assert (DEPLOY / _mounts("grafana")[inside] / "findings.md").is_file()
