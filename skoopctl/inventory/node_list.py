"""Reading ``/api/v1/nodes``: the list as JSON, or one error that names the kubeconfig or the server."""

from __future__ import annotations

import json
import os
from typing import Any

from skoopctl.errors import InventoryError
from skoopctl.inventory.files import at_home
from skoopctl.inventory.tree import Place

PAGE = 500
MOST_PAGES = 200
MOST_BYTES = 64 << 20
CONNECT_S, ANSWER_S = 5.0, 20.0

_SHOW = "kubectl config view --minify shows what the current context holds"


def fetch_nodes(
    place: Place, *, kubeconfig: str | None, context: str | None, selector: str | None
) -> tuple[str, list[dict[str, Any]]]:
    """Return the server's address and its nodes that ``selector`` chooses; ``None`` chooses all of them."""
    with _client(place, kubeconfig, context) as client:
        server = str(client.configuration.host)
        nodes: list[dict[str, Any]] = []
        token = ""
        for _ in range(MOST_PAGES):
            page = _page(client, place, server, selector, token)
            items, metadata = page.get("items"), page.get("metadata")
            nodes += [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
            token = str(metadata.get("continue") or "") if isinstance(metadata, dict) else ""
            if not token:
                return server, nodes
    raise place.error(f"{server}: the list of nodes has no end")


def texts_of(node: dict[str, Any], *path: str) -> dict[str, str]:
    """Return a mapping of text inside an object; empty when it is not there."""
    found: Any = node
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return {k: v for k, v in found.items() if isinstance(v, str)} if isinstance(found, dict) else {}


def addresses_of(node: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the (kind, address) pairs of ``status.addresses``."""
    status = node.get("status")
    entries = status.get("addresses") if isinstance(status, dict) else None
    pairs = [(entry.get("type"), entry.get("address")) for entry in entries or [] if isinstance(entry, dict)]
    return [(kind, text) for kind, text in pairs if isinstance(kind, str) and isinstance(text, str)]


def _client(place: Place, kubeconfig: str | None, context: str | None) -> Any:
    import yaml  # noqa: PLC0415 - with the client below, a second of imports
    from kubernetes import client, config  # noqa: PLC0415 - the same

    named = kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
    if not any(at_home(one).is_file() for one in named.split(os.pathsep)):
        raise place.error(f"{named}: there is no such kubeconfig", hint="name one with kubeconfig")
    settings = client.Configuration()
    try:
        config.load_kube_config(config_file=named, context=context, client_configuration=settings)
    except (config.ConfigException, yaml.YAMLError, OSError, ValueError, TypeError, KeyError) as error:
        hint = "kubectl config get-contexts lists its contexts" if context else _SHOW
        raise place.error(f"{named}: this kubeconfig cannot be used: {_line(error)}", hint=hint) from None
    settings.retries = False  # a server that is not there is reported once, and soon
    return client.ApiClient(settings)


def _page(client: Any, place: Place, server: str, selector: str | None, token: str) -> dict[str, Any]:
    from urllib3.exceptions import HTTPError  # noqa: PLC0415 - part of a second of imports

    query: list[tuple[str, object]] = [("limit", PAGE)]
    query += [("labelSelector", selector)] if selector else []
    query += [("continue", token)] if token else []
    request = client.param_serialize(
        "GET",
        "/api/v1/nodes",
        query_params=query,
        header_params={"Accept": "application/json"},
        auth_settings=["BearerToken"],
    )
    try:
        response = client.call_api(*request, _request_timeout=(CONNECT_S, ANSWER_S))
        data = bytes(response.read())
    except (HTTPError, OSError) as error:
        cause = _line(getattr(error, "reason", None) or error)
        raise place.error(
            f"{server}: the Kubernetes API does not answer: {cause}", hint="is it reachable from here?"
        ) from None
    if response.status != 200:
        raise _refused(place, server, response.status, data, selector)
    return _parsed(place, server, data)


def _refused(place: Place, server: str, status: int, data: bytes, selector: str | None) -> InventoryError:
    """Say why the API server did not answer with a list."""
    if status in {401, 403}:
        return place.error(
            f"{server}: listing nodes was refused with {status}",
            hint="the user of this kubeconfig must be allowed to list nodes",
        )
    try:
        said = str(json.loads(data[:4096])["message"])
    except (ValueError, KeyError, TypeError):
        said = ""
    asked = f" with the selector {selector!r}" if selector else ""
    return place.error(f"{server}: listing nodes{asked} failed with {status}: {_line(said)}".rstrip(": "))


def _parsed(place: Place, server: str, data: bytes) -> dict[str, Any]:
    if len(data) > MOST_BYTES:
        raise place.error(f"{server}: {len(data)} bytes are too much for a list of nodes")
    try:
        page = json.loads(data)
    except (ValueError, RecursionError):
        page = None
    if not isinstance(page, dict) or not isinstance(page.get("items"), list):
        raise place.error(f"{server}: /api/v1/nodes is no Kubernetes list")
    return page


def _line(text: object) -> str:
    """Return a foreign text as one printable line of modest length."""
    words = " ".join(str(text).split())
    return "".join(letter if letter.isprintable() else "?" for letter in words)[:200]
