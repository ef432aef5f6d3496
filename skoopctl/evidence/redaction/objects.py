"""Redact Kubernetes lists: an object is written anew with the fields that somebody reads, and nothing else.

A field without a row is left out: annotations, owners, images, whatever newer versions of the API may add.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Union

from skoopctl.evidence.redaction.vocabulary import words
from skoopctl.evidence.redaction.words import Redactor

Rewrite = Callable[[Any, Redactor], Any]
Row = Union[Rewrite, "Fields", "ListOf"]
Fields = Mapping[str, Any]

_WORD = re.compile(r"[A-Za-z][A-Za-z0-9]{0,31}")
_TIME = re.compile(r"[0-9T:Z.+-]{1,40}")
_API_DOMAIN = re.compile(r"(?:[a-z0-9.-]+\.)?(?:kubernetes|k8s)\.io")
_API_KEYS = words(
    "hostname os arch instance-type region zone service-name metadata.name headless managed-by name instance version "
    "component part-of created-by control-plane master worker app k8s-app tier role pod-template-hash "
    "controller-revision-hash pod-template-generation statefulset pod-name pod-index "
    "exclude-from-external-load-balancers"
)
"""Keys of labels, without their domain, that Kubernetes and its customs give."""


class ListOf:
    """A list whose elements all have one row."""

    def __init__(self, row: Row) -> None:
        self.row = row


def _plain(value: Any, _redactor: Redactor) -> Any:
    """Keep a number, a truth value, or a word of the API (``ClusterIP``, ``Running``)."""
    if isinstance(value, bool | int | float) or value is None:
        return value
    return value if isinstance(value, str) and _WORD.fullmatch(value) else None


def _time(value: Any, _redactor: Redactor) -> Any:
    return value if isinstance(value, str) and _TIME.fullmatch(value) else None


def _name(value: Any, redactor: Redactor) -> Any:
    return redactor.names.name(value) if isinstance(value, str) else None


def _word(value: Any, redactor: Redactor) -> Any:
    """Replace a port's name, or keep its number."""
    return redactor.names.word(value) if isinstance(value, str) else _plain(value, redactor)


def _ip(value: Any, redactor: Redactor) -> Any:
    """Replace an address, a network or a host's name; ``None`` is what a headless service has."""
    if not isinstance(value, str):
        return None
    return value if value in {"", "None"} else redactor.ip(value)


def _uid(value: Any, redactor: Redactor) -> Any:
    return redactor.names.identifier(value) if isinstance(value, str) and value else None


def _labels(value: Any, redactor: Redactor) -> Any:
    if not isinstance(value, dict):
        return None
    return {_label_key(str(key), redactor): _name(text, redactor) for key, text in value.items()}


def _label_key(key: str, redactor: Redactor) -> str:
    domain, slash, name = key.rpartition("/")
    if domain and not _API_DOMAIN.fullmatch(domain):
        domain = redactor.names.name(domain)
    return f"{domain}{slash}{name if name in _API_KEYS else redactor.names.name(name)}"


def _expressions(value: Any, redactor: Redactor) -> Any:
    """Rewrite a selector's expressions: their keys as labels' keys, their values as labels' values."""
    if not isinstance(value, list):
        return None
    return [_expression(each, redactor) for each in value if isinstance(each, dict)]


def _expression(each: dict[str, Any], redactor: Redactor) -> dict[str, Any]:
    written = {
        "key": _label_key(str(each.get("key", "")), redactor),
        "operator": _plain(each.get("operator"), redactor),
    }
    if isinstance(each.get("values"), list):
        written["values"] = [_name(text, redactor) for text in each["values"]]
    return written


_METADATA: Fields = {
    "name": _name,
    "namespace": _name,
    "uid": _uid,
    "labels": _labels,
    "creationTimestamp": _time,
}
_IPS = ListOf(_ip)
_CONDITIONS = ListOf({"type": _plain, "status": _plain})
_CONTAINER = {
    "name": _name,
    "ports": ListOf(
        {"name": _word, "protocol": _plain, "containerPort": _plain, "hostPort": _plain, "hostIP": _ip}
    ),
}
_SELECTOR: Fields = {"matchLabels": _labels, "matchExpressions": _expressions}
_POLICY_PEERS = ListOf(
    {
        "ipBlock": {"cidr": _ip, "except": _IPS},
        "namespaceSelector": _SELECTOR,
        "podSelector": _SELECTOR,
    }
)
_POLICY_PORTS = ListOf({"protocol": _plain, "port": _word, "endPort": _plain})

KINDS: Mapping[str, Fields] = {
    "nodes": {
        "metadata": _METADATA,
        "spec": {"podCIDR": _ip, "podCIDRs": _IPS},
        "status": {"addresses": ListOf({"type": _plain, "address": _ip}), "conditions": _CONDITIONS},
    },
    "namespaces": {"metadata": _METADATA, "status": {"phase": _plain}},
    "pods": {
        "metadata": _METADATA,
        "spec": {"nodeName": _name, "hostNetwork": _plain, "containers": ListOf(_CONTAINER)},
        "status": {
            "phase": _plain,
            "podIP": _ip,
            "podIPs": ListOf({"ip": _ip}),
            "hostIP": _ip,
            "conditions": _CONDITIONS,
        },
    },
    "services": {
        "metadata": _METADATA,
        "spec": {
            "type": _plain,
            "clusterIP": _ip,
            "clusterIPs": _IPS,
            "externalIPs": _IPS,
            "loadBalancerIP": _ip,
            "loadBalancerSourceRanges": _IPS,
            "ports": ListOf(
                {"name": _word, "protocol": _plain, "port": _plain, "targetPort": _word, "nodePort": _plain}
            ),
            "internalTrafficPolicy": _plain,
            "externalTrafficPolicy": _plain,
            "healthCheckNodePort": _plain,
            "ipFamilies": ListOf(_plain),
            "ipFamilyPolicy": _plain,
            "sessionAffinity": _plain,
            "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": _plain}},
            "selector": _labels,
            "externalName": _ip,
        },
        "status": {"loadBalancer": {"ingress": ListOf({"ip": _ip, "hostname": _ip, "ipMode": _plain})}},
    },
    "endpointslices": {
        "metadata": _METADATA,
        "addressType": _plain,
        "endpoints": ListOf(
            {
                "addresses": _IPS,
                "conditions": {"ready": _plain, "serving": _plain, "terminating": _plain},
                "nodeName": _name,
                "hostname": _name,
                "targetRef": {"kind": _plain, "namespace": _name, "name": _name, "uid": _uid},
            }
        ),
        "ports": ListOf({"name": _word, "protocol": _plain, "port": _plain}),
    },
    "networkpolicies": {
        "metadata": _METADATA,
        "spec": {
            "podSelector": _SELECTOR,
            "policyTypes": ListOf(_plain),
            "ingress": ListOf({"from": _POLICY_PEERS, "ports": _POLICY_PORTS}),
            "egress": ListOf({"to": _POLICY_PEERS, "ports": _POLICY_PORTS}),
        },
    },
}
"""The fields of each kind of object that stay, and what becomes of them."""


def redact_objects(kind: str, payload: bytes, redactor: Redactor) -> bytes:
    """Return a Kubernetes list with other names and addresses. Raises ValueError when it is no such list."""
    try:
        document = json.loads(payload)
    except RecursionError as error:
        raise ValueError("JSON nested too deeply") from error
    items = document.get("items") if isinstance(document, dict) else document
    if not isinstance(items, list):
        raise ValueError("no list of items")  # noqa: TRY004 - one error for what cannot be read
    rows = KINDS[kind]
    written = [_rewritten(item, rows, redactor) for item in items]
    document = {"kind": "List", "apiVersion": "v1", "items": written}
    return json.dumps(document, separators=(",", ":")).encode()


def _rewritten(value: Any, row: Row, redactor: Redactor) -> Any:
    if isinstance(row, ListOf):
        return [_rewritten(each, row.row, redactor) for each in value] if isinstance(value, list) else None
    if isinstance(row, Mapping):
        if not isinstance(value, dict):
            return None
        return {key: _rewritten(value[key], inner, redactor) for key, inner in row.items() if key in value}
    return row(value, redactor)
