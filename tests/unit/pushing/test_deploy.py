"""What deploy/ has for push: manifests as the API takes them, files that skoopctl takes, a unit that systemd takes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from skoopctl.inventory.kubernetes_nodes import settings_of
from skoopctl.inventory.nodes import Document
from skoopctl.pushing.load import Wanted, load_config

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
MANIFEST = DEPLOY / "kubernetes/push.yaml"
UNIT = DEPLOY / "skoopctl-push.service"


def documents() -> list[dict[str, Any]]:
    """Return the objects of the manifest."""
    return list(yaml.safe_load_all(MANIFEST.read_text(encoding="utf-8")))


def the(kind: str) -> dict[str, Any]:
    """Return the one object of a kind."""
    (found,) = (each for each in documents() if each["kind"] == kind)
    return found


def strict(definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the API's definitions such that a field that they do not have is a mistake."""
    for definition in definitions.values():
        if "properties" in definition:
            definition.setdefault("additionalProperties", False)
        if definition.get("type") == "string" and "int-or-string" in str(definition):
            definition.pop("type")
    definitions["io.k8s.apimachinery.pkg.util.intstr.IntOrString"] = {"type": ["string", "integer"]}
    definitions["io.k8s.apimachinery.pkg.api.resource.Quantity"] = {"type": ["string", "number"]}
    return definitions


def by_kind() -> Iterator[tuple[tuple[str, str], str, dict[str, Any]]]:
    """Yield (apiVersion, kind), the definition's name, and all definitions."""
    file = ROOT / "tests/fixtures/kubernetes-api-1.36/definitions.json"
    definitions = strict(json.loads(file.read_text(encoding="utf-8"))["definitions"])
    for name, definition in definitions.items():
        for row in definition.get("x-kubernetes-group-version-kind", []):
            version = f"{row['group']}/{row['version']}" if row["group"] else row["version"]
            yield (version, row["kind"]), name, definitions


@pytest.mark.parametrize("document", documents(), ids=lambda each: each["kind"])
def test_the_api_takes_each_object(document: dict[str, Any]) -> None:
    """Every field is one that Kubernetes 1.36 has, of its type."""
    kinds = {key: (name, definitions) for key, name, definitions in by_kind()}
    name, definitions = kinds[document["apiVersion"], document["kind"]]
    jsonschema.validate(document, {"$ref": f"#/definitions/{name}", "definitions": definitions})


def test_a_field_that_is_misspelt_would_be_found() -> None:
    """The check above does not take anything."""
    deployment = the("Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(jsonschema.ValidationError, match="readynessProbe"):
        test_the_api_takes_each_object(deployment)


def test_the_configuration_in_the_manifest_is_taken(tmp_path: Path) -> None:
    """Configuration, inventory and kubeconfig of the ConfigMap are what skoopctl takes."""
    for name, text in the("ConfigMap")["data"].items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    config = load_config(Wanted(tmp_path / "push.yaml")).config
    assert config.inventories == [str(tmp_path / "inventory.yaml")]
    assert config.listen is not None
    assert config.listen.place.port == 9102
    source = settings_of(Document(tmp_path / "inventory.yaml"), tmp_path)
    assert source.settings["ansible_user"].value == "root"
    kubeconfig = yaml.safe_load((tmp_path / "kubeconfig").read_text(encoding="utf-8"))
    assert kubeconfig["users"][0]["user"] == {"tokenFile": "/var/run/secrets/skoopctl/token"}


def test_it_may_list_what_has_addresses_and_nothing_else() -> None:
    """The rights are those that push needs."""
    (rule,) = the("ClusterRole")["rules"]
    assert (rule["apiGroups"], rule["resources"], rule["verbs"]) == (
        [""],
        ["nodes", "pods", "services"],
        ["list", "watch"],
    )


def test_names_in_the_manifest_belong_together() -> None:
    """Ports, selectors, secrets and accounts are those that are there."""
    pod = the("Deployment")["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    service = the("Service")
    assert service["spec"]["ports"][0]["targetPort"] in ports
    assert service["metadata"]["annotations"]["prometheus.io/port"] == str(ports["metrics"])
    for selector in (service["spec"]["selector"], the("NetworkPolicy")["spec"]["podSelector"]["matchLabels"]):
        assert selector.items() <= pod["metadata"]["labels"].items()
    assert {mount["name"] for mount in container["volumeMounts"]} == {
        v["name"] for v in pod["spec"]["volumes"]
    }
    modes = [v["secret"]["defaultMode"] for v in pod["spec"]["volumes"] if "secret" in v]
    assert modes == [0o400]
    monitor = yaml.safe_load((DEPLOY / "kubernetes/podmonitor.yaml").read_text(encoding="utf-8"))
    assert monitor["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert monitor["spec"]["podMetricsEndpoints"][0]["port"] in ports


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """The unit is well formed, and exposed little."""
    text = re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text(encoding="utf-8"))
    unit = tmp_path / UNIT.name
    unit.write_text(text, encoding="utf-8")
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", unit]
    judged = subprocess.run(command, capture_output=True, text=True, check=False)
    assert judged.returncode == 0, judged.stdout[-300:]
