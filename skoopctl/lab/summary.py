"""A lab as plain data, for ``lab status --json`` and for its tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from skoopctl.lab.faults import fault_titles, faults_for
from skoopctl.lab.statefile import STATE_DIR, LabState, load_state, state_exists
from skoopctl.lab.topology import (
    OUTSIDE_ADDRESS,
    OUTSIDE_NAME,
    LabOptions,
    LabService,
    Plan,
    plan_lab,
)

SCHEMA = "skoopctl.lab/1"


def lab_summary(plan: Plan, state: LabState) -> dict[str, Any]:
    """Return what is in a lab, how to reach it, and what is broken in it."""
    return {
        "schema": SCHEMA,
        "options": asdict(plan.options),
        "inventory": str(STATE_DIR / "inventory.yaml"),
        "kubeconfig": str(STATE_DIR / "kubeconfig"),
        "pod_identity": state.identity,
        "faults": list(state.faults),
        "hosts": list(_hosts(plan, state)),
        "pods": list(_pods(plan, state)),
        "services": [_service(service) for service in plan.services],
    }


def fault_rows() -> list[dict[str, Any]]:
    """Return every fault that the running lab can have, or the usual lab if none is running."""
    state = load_state() if state_exists() else LabState(LabOptions())
    titles = fault_titles()
    return [
        {
            "name": fault.name,
            "title": titles[fault.name],
            "harmless": fault.harmless,
            "applied": fault.name in state.faults,
            "runs": [str(step) for step in fault.steps],
            "undo": [str(step) for step in fault.undo],
        }
        for fault in faults_for(plan_lab(state.options))
    ]


def _hosts(plan: Plan, state: LabState) -> Iterator[dict[str, Any]]:
    """Yield the nodes and the outside host."""
    for node in plan.nodes:
        yield {
            "name": node.name,
            "address": node.address,
            "pod_cidr": node.pod_cidr,
            "role": "control plane" if node.control_plane else "worker",
            "netns": node.netns,
            "pid": state.pids.get(node.name, 0),
        }
    yield {
        "name": OUTSIDE_NAME,
        "address": OUTSIDE_ADDRESS,
        "pod_cidr": "",
        "role": "not in the cluster",
        "netns": f"skoop-lab-{OUTSIDE_NAME}",
        "pid": state.pids.get(OUTSIDE_NAME, 0),
    }


def _pods(plan: Plan, state: LabState) -> Iterator[dict[str, Any]]:
    """Yield the pods."""
    for pod in plan.pods:
        yield {
            "namespace": pod.namespace,
            "name": pod.name,
            "node": pod.node,
            "address": pod.address,
            "ports": [f"{port.number}/{port.protocol}" for port in pod.ports],
            "host_network": pod.host_network,
            "ready": pod.ready,
            "uid": pod.uid,
            "pid": state.pids.get(pod.key, 0),
        }


def _service(service: LabService) -> dict[str, Any]:
    """Return one service."""
    policies = [
        text
        for text, on in (
            ("external local", service.external_local),
            ("internal local", service.internal_local),
            ("client affinity", service.client_affinity),
        )
        if on
    ]
    ports = [
        f"{port.number}/{port.protocol}" + (f":{port.node_port}" if port.node_port else "")
        for port in service.ports
    ]
    addresses = (*service.external_ips, service.load_balancer_ip)
    return {
        "namespace": service.namespace,
        "name": service.name,
        "type": service.kind,
        "cluster_ip": service.cluster_ip,
        "ports": ports,
        "external": [address for address in addresses if address],
        "policy": ", ".join(policies),
    }
