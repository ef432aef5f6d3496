"""The lab's Kubernetes objects."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from skoopctl.lab import LabOptions
from skoopctl.lab.cgroups import pod_cgroup
from skoopctl.lab.objects import api_objects
from skoopctl.lab.topology import plan_lab

sys.path.insert(0, str(Path(__file__).parent))
from rule_text import recorded_objects

OBJECTS = api_objects(plan_lab(LabOptions()))


def by_name(items: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return objects by the service that they are or belong to."""
    return {
        (item["metadata"].get("labels") or {}).get(
            "kubernetes.io/service-name", item["metadata"]["name"]
        ): item
        for item in items
    }


@pytest.mark.parametrize("service", sorted(set(by_name(recorded_objects("iptables", "services")))))
def test_services_are_those_of_the_recorded_cluster(service: str) -> None:
    """Each recorded service is in the lab with the same spec and status."""
    mine = by_name(OBJECTS["services"])[service]
    recorded = by_name(recorded_objects("iptables", "services"))[service]
    assert mine["spec"] == recorded["spec"]
    assert mine["status"] == recorded["status"]


@pytest.mark.parametrize("service", sorted(set(by_name(recorded_objects("iptables", "services")))))
def test_endpoint_slices_have_the_recorded_shape(service: str) -> None:
    """Slices have the recorded ports and conditions, and addresses of the lab's own pod networks."""
    mine = by_name(OBJECTS["endpointslices"])[service]
    recorded = by_name(recorded_objects("iptables", "endpointslices"))[service]
    assert mine["ports"] == recorded["ports"]

    def shape(item: dict[str, Any]) -> list[tuple[str, object]]:
        return sorted((e.get("nodeName", ""), str(e["conditions"])) for e in item["endpoints"] or ())

    assert shape(mine) == shape(recorded)
    assert set(mine["metadata"]["labels"]) == set(recorded["metadata"]["labels"])


@pytest.mark.parametrize("resource", ["pods", "nodes", "namespaces"])
def test_objects_have_the_fields_of_recorded_ones(resource: str) -> None:
    """What a reader may look for in a real object's status is in the lab's too."""
    recorded = recorded_objects("iptables", resource)[0]
    for item in OBJECTS[resource]:
        assert set(recorded["status"]) <= set(item["status"])
        assert set(recorded["metadata"]) - {"managedFields", "resourceVersion", "generation"} <= {
            *item["metadata"],
            "annotations",
        }


def test_the_object_and_the_control_group_name_one_uid() -> None:
    """The UID that a node's /proc shows is the UID of the pod's object."""
    plan = plan_lab(LabOptions())
    uids = {item["metadata"]["name"]: item["metadata"]["uid"] for item in OBJECTS["pods"]}
    for pod in plan.pods:
        path = str(pod_cgroup(Path("/lab"), pod))
        assert f"kubepods-besteffort-pod{uids[pod.name].replace('-', '_')}.slice" in path
        assert path.startswith(f"/lab/{pod.node}/")
