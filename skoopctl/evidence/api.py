"""The Kubernetes API's lists, as JSON, without what may hold a secret.

Only what the network needs is asked for: never Secrets and never ConfigMaps. Before anything is kept, the
parts of an object in which people put passwords (environment, arguments, annotations) are dropped.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from skoopctl.errors import EvidenceError
from skoopctl.evidence.untrusted import parse_object, printable

KINDS = {
    "nodes": "/api/v1/nodes",
    "namespaces": "/api/v1/namespaces",
    "pods": "/api/v1/pods",
    "services": "/api/v1/services",
    "endpointslices": "/apis/discovery.k8s.io/v1/endpointslices",
    "networkpolicies": "/apis/networking.k8s.io/v1/networkpolicies",
}
"""What is fetched: the name in the bundle, and the path of the list for all namespaces."""

PAGE = 500
MAX_PAGE_BYTES = 64 << 20
MAX_PAGES = 2000

ANNOTATIONS_KEPT = (
    "flannel.alpha.coreos.com/",
    "projectcalico.org/",
    "cni.projectcalico.org/",
    "service.kubernetes.io/",
    "kubernetes.io/config.hash",
)
"""Prefixes of annotations that tell of the network, or which cgroup is a static pod's; people put anything into the
others."""

_CONTAINER_KEPT = ("name", "image", "ports", "restartPolicy")
_POD_DROPPED = ("volumes", "imagePullSecrets")


def fetch_cluster(
    kubeconfig: Path | str, *, timeout_s: float = 20.0, kinds: Iterable[str] = tuple(KINDS)
) -> dict[str, bytes]:
    """Return the lists of ``kinds``, some of `KINDS`, as JSON bytes.

    Raises `EvidenceError` that names the kubeconfig or the server, and says what to do.
    """
    with _client(str(kubeconfig)) as client:
        return {kind: _list_bytes(client, kind, KINDS[kind], timeout_s) for kind in kinds}


def _client(kubeconfig: str) -> Any:
    """Return an API client for the current context of a kubeconfig."""
    import yaml  # noqa: PLC0415 - with the client below, a second of imports
    from kubernetes import client, config  # noqa: PLC0415 - the same

    file = Path(kubeconfig).expanduser()
    if not file.is_file():
        raise EvidenceError(
            f"{kubeconfig}: there is no such kubeconfig", hint="name another with --kubeconfig"
        )
    try:
        settings = client.Configuration()
        config.load_kube_config(config_file=str(file), client_configuration=settings)
        settings.retries = False  # a server that is not there is reported once, and soon
        return client.ApiClient(settings)
    except (config.ConfigException, yaml.YAMLError, OSError, ValueError, TypeError, KeyError) as error:
        raise EvidenceError(
            f"{kubeconfig}: this kubeconfig cannot be used: {printable(str(error))}",
            hint="kubectl config view --minify shows what the current context lacks",
        ) from error


def _list_bytes(client: Any, kind: str, path: str, timeout_s: float) -> bytes:
    items: list[Any] = []
    for page in _pages(client, kind, path, timeout_s):
        items.extend(without_secrets(item) for item in page if isinstance(item, dict))
    return json.dumps({"kind": "List", "apiVersion": "v1", "items": items}, separators=(",", ":")).encode()


def _pages(client: Any, kind: str, path: str, timeout_s: float) -> Iterator[list[Any]]:
    """Yield the items of a list, a page at a time."""
    token = ""
    for _ in range(MAX_PAGES):
        data = _get(client, path, [("limit", PAGE), *([("continue", token)] if token else [])], timeout_s)
        try:
            page = parse_object(data, max_bytes=MAX_PAGE_BYTES)
            items, token = page.get("items") or [], str((page.get("metadata") or {}).get("continue") or "")
        except (ValueError, AttributeError) as error:
            raise EvidenceError(
                f"{client.configuration.host}: {kind} is no Kubernetes list: {error}"
            ) from error
        yield items if isinstance(items, list) else []
        if not token:
            return


def _get(client: Any, path: str, query: list[tuple[str, object]], timeout_s: float) -> bytes:
    """Return the body of one request."""
    from urllib3.exceptions import HTTPError  # noqa: PLC0415 - part of a second of imports

    server = client.configuration.host
    request = client.param_serialize(
        "GET",
        path,
        query_params=query,
        header_params={"Accept": "application/json"},
        auth_settings=["BearerToken"],
    )
    try:
        response = client.call_api(*request, _request_timeout=(min(5.0, timeout_s), timeout_s))
        data = bytes(response.read())
    except (HTTPError, OSError) as error:
        cause = printable(str(getattr(error, "reason", None) or error), 200)
        raise EvidenceError(
            f"{server}: the Kubernetes API does not answer: {cause}",
            hint="is it reachable from here? without --kubeconfig, paths are found by IP alone",
        ) from error
    if response.status in (401, 403):
        hint = "the user of this kubeconfig must be allowed to list it in all namespaces"
        raise EvidenceError(f"{server}: {path} was refused with {response.status}", hint=hint)
    if response.status != 200:
        raise EvidenceError(f"{server}: {path} failed: {response.status} {printable(str(response.reason))}")
    return data


def without_secrets(item: dict[str, Any]) -> dict[str, Any]:
    """Return an object of a list without the parts in which people keep secrets, and without bulk."""
    kept = {**item, "metadata": _metadata(item.get("metadata"))}
    if isinstance(item.get("status"), dict):
        kept["status"] = {key: value for key, value in item["status"].items() if key != "images"}
    if isinstance(item.get("spec"), dict):
        kept["spec"] = {
            key: [_container(each) for each in value] if key.lower().endswith("containers") else value
            for key, value in item["spec"].items()
            if key not in _POD_DROPPED
        }
    return kept


def _metadata(metadata: Any) -> dict[str, Any]:
    if not isinstance(metadata, dict):
        return {}
    kept = {key: value for key, value in metadata.items() if key not in ("annotations", "managedFields")}
    annotations = metadata.get("annotations")
    if isinstance(annotations, dict):
        kept["annotations"] = {
            key: value for key, value in annotations.items() if key.startswith(ANNOTATIONS_KEPT)
        }
    return kept


def _container(container: Any) -> dict[str, Any]:
    """Keep what the network needs of a container."""
    if not isinstance(container, dict):
        return {}
    return {key: value for key, value in container.items() if key in _CONTAINER_KEPT}
