"""Read the API's lists (``kubectl get KIND -A -o json``) into typed objects.

Objects come from outside: one that cannot be used is named in the problems, and the rest stays.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

from skoopctl.cluster.objects import (
    ContainerPort,
    Endpoint,
    EndpointPort,
    EndpointSlice,
    NetworkPolicy,
    Node,
    Pod,
    Service,
    ServicePort,
)

T = TypeVar("T")

CONFIG_HASH = "kubernetes.io/config.hash"
"""pkg/kubelet/types/pod_update.go: ConfigHashAnnotationKey."""
SERVICE_NAME_LABEL = "kubernetes.io/service-name"


class _UnusableError(Exception):
    """A field that the object needs is missing or of another type; the message names it."""


def decode_list(kind: str, raw: bytes, decode: Callable[[Any], T]) -> tuple[list[T], list[str]]:
    """Decode one list with ``decode`` for each item: the objects, and what could not be used."""
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        return [], [f"{kind}: not JSON: {str(error)[:100]}"]
    items = document.get("items") if isinstance(document, dict) else document
    if items is None:
        items = []
    if not isinstance(items, list):
        return [], [f"{kind}: no list of items"]
    objects: list[T] = []
    problems: list[str] = []
    for number, item in enumerate(items):
        try:
            objects.append(decode(item))
        except _UnusableError as error:
            problems.append(f"{kind}[{number}]{_called(item)}: {error}")
    return objects, problems


def decode_node(item: Any) -> Node:
    """Decode a core/v1 Node."""
    metadata, spec, status = _parts(item)
    conditions = {_string(c, "type"): _string(c, "status") for c in _objects(status, "conditions")}
    cidrs = _strings(spec, "podCIDRs") or tuple(filter(None, (_string(spec, "podCIDR"),)))
    ready = conditions.get("Ready")
    return Node(
        _name(metadata),
        tuple((_string(a, "type"), _string(a, "address")) for a in _objects(status, "addresses")),
        cidrs,
        None if ready is None else ready == "True",
        _labels(metadata, "labels"),
    )


def decode_pod(item: Any) -> Pod:
    """Decode a core/v1 Pod."""
    metadata, spec, status = _parts(item)
    ips = tuple(filter(None, (_string(entry, "ip") for entry in _objects(status, "podIPs"))))
    conditions = {_string(c, "type"): _string(c, "status") for c in _objects(status, "conditions")}
    return Pod(
        _string(metadata, "namespace") or "default",
        _name(metadata),
        _string(metadata, "uid"),
        _string(spec, "nodeName"),
        ips or tuple(filter(None, (_string(status, "podIP"),))),
        _string(status, "phase"),
        bool(spec.get("hostNetwork", False)),
        conditions.get("Ready") == "True",
        _labels(metadata, "labels"),
        tuple(_container_port(p) for c in _objects(spec, "containers") for p in _objects(c, "ports")),
        _string(metadata, "creationTimestamp"),
        _labels(metadata, "annotations").get(CONFIG_HASH, ""),
    )


def _container_port(port: dict[str, Any]) -> ContainerPort:
    return ContainerPort(
        _string(port, "name"),
        _string(port, "protocol") or "TCP",
        _integer(port, "containerPort"),
        _integer(port, "hostPort"),
        _string(port, "hostIP"),
    )


def decode_service(item: Any) -> Service:
    """Decode a core/v1 Service."""
    metadata, spec, status = _parts(item)
    cluster_ips = _strings(spec, "clusterIPs") or (_string(spec, "clusterIP"),)
    client_ip = _object(_object(spec, "sessionAffinityConfig"), "clientIP")
    ingress = _objects(_object(status, "loadBalancer"), "ingress")
    return Service(
        _string(metadata, "namespace") or "default",
        _name(metadata),
        _string(spec, "type") or "ClusterIP",
        tuple(ip for ip in cluster_ips if ip and ip != "None"),
        _strings(spec, "externalIPs"),
        tuple(filter(None, (_string(entry, "ip") for entry in ingress))),
        _strings(spec, "loadBalancerSourceRanges"),
        tuple(_service_port(p) for p in _objects(spec, "ports")),
        _string(spec, "internalTrafficPolicy") or "Cluster",
        _string(spec, "externalTrafficPolicy") or "Cluster",
        _string(spec, "sessionAffinity") or "None",
        _integer(client_ip, "timeoutSeconds"),
        _labels(spec, "selector"),
        _string(spec, "externalName"),
    )


def _service_port(port: dict[str, Any]) -> ServicePort:
    target = port.get("targetPort", "")
    return ServicePort(
        _string(port, "name"),
        _string(port, "protocol") or "TCP",
        _integer(port, "port"),
        str(target) if isinstance(target, str | int) else "",
        _integer(port, "nodePort"),
    )


def decode_endpoint_slice(item: Any) -> EndpointSlice:
    """Decode a discovery.k8s.io/v1 EndpointSlice."""
    metadata = _object(_mapping(item), "metadata")
    return EndpointSlice(
        _string(metadata, "namespace") or "default",
        _name(metadata),
        _labels(metadata, "labels").get(SERVICE_NAME_LABEL, ""),
        tuple(_endpoint(e) for e in _objects(item, "endpoints")),
        tuple(
            EndpointPort(_string(p, "name"), _string(p, "protocol") or "TCP", _integer(p, "port") or None)
            for p in _objects(item, "ports")
        ),
    )


def _endpoint(endpoint: dict[str, Any]) -> Endpoint:
    conditions = _object(endpoint, "conditions")
    reference = _object(endpoint, "targetRef")
    target = "/".join(filter(None, (_string(reference, "namespace"), _string(reference, "name"))))
    # discovery/v1 EndpointConditions: a nil ready counts as true, a nil serving as ready.
    ready = conditions.get("ready") is not False
    serving = conditions.get("serving")
    return Endpoint(
        _strings(endpoint, "addresses"),
        ready,
        ready if serving is None else bool(serving),
        bool(conditions.get("terminating")),
        _string(endpoint, "nodeName"),
        target,
    )


def decode_network_policy(item: Any) -> NetworkPolicy:
    """Decode a networking.k8s.io/v1 NetworkPolicy."""
    metadata, spec, _ = _parts(item)
    selector = _object(spec, "podSelector")
    return NetworkPolicy(
        _string(metadata, "namespace") or "default",
        _name(metadata),
        _labels(selector, "matchLabels"),
        bool(selector.get("matchExpressions")),
        _strings(spec, "policyTypes"),
    )


def decode_namespace(item: Any) -> str:
    """Decode the name of a core/v1 Namespace."""
    return _name(_object(_mapping(item), "metadata"))


# --- fields -------------------------------------------------------------------------------------------


def _called(item: Any) -> str:
    metadata = item.get("metadata") if isinstance(item, dict) else None
    if not isinstance(metadata, dict):
        return ""
    named = "/".join(str(metadata[k])[:80] for k in ("namespace", "name") if metadata.get(k))
    return f" {named}" if named else ""


def _parts(item: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    item = _mapping(item)
    return _object(item, "metadata"), _object(item, "spec"), _object(item, "status")


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _UnusableError(f"an object was expected, found {type(value).__name__}")
    return value


def _name(metadata: dict[str, Any]) -> str:
    name = _string(metadata, "name")
    if not name:
        raise _UnusableError("no metadata.name")
    return name


def _object(parent: dict[str, Any], key: str) -> dict[str, Any]:
    value = parent.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _UnusableError(f"{key} is not an object")
    return value


def _objects(parent: dict[str, Any], key: str) -> list[dict[str, Any]]:
    value = parent.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(v, dict) for v in value):
        raise _UnusableError(f"{key} is not a list of objects")
    return value


def _string(parent: dict[str, Any], key: str) -> str:
    value = parent.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _UnusableError(f"{key} is not a text")
    return value


def _strings(parent: dict[str, Any], key: str) -> tuple[str, ...]:
    value = parent.get(key)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise _UnusableError(f"{key} is not a list of texts")
    return tuple(value)


def _integer(parent: dict[str, Any], key: str) -> int:
    value = parent.get(key)
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool):
        raise _UnusableError(f"{key} is not a number")
    return value


def _labels(parent: dict[str, Any], key: str) -> dict[str, str]:
    return {str(k): str(v) for k, v in _object(parent, key).items()}
