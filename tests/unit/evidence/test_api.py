"""The Kubernetes API: real HTTP against a small server, and what is never kept."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from skoopctl.errors import EvidenceError
from skoopctl.evidence.api import KINDS, fetch_cluster, without_secrets

POD: dict[str, Any] = {
    "metadata": {
        "name": "web",
        "namespace": "shop",
        "annotations": {
            "kubectl.kubernetes.io/last-applied-configuration": "s3cret",
            "cni.projectcalico.org/podIP": "10.1.2.3",
            "kubernetes.io/config.hash": "0123abcd",
        },
        "managedFields": [{"manager": "s3cret"}],
        "labels": {"app": "web"},
    },
    "spec": {
        "nodeName": "node1",
        "volumes": [{"secret": {"secretName": "s3cret"}}],
        "containers": [
            {
                "name": "web",
                "ports": [{"containerPort": 80}],
                "env": [{"name": "PASSWORD", "value": "s3cret"}],
                "envFrom": [{"secretRef": {"name": "s3cret"}}],
                "args": ["--password=s3cret"],
                "command": ["s3cret"],
                "livenessProbe": {"httpGet": {"httpHeaders": [{"name": "Authorization", "value": "s3cret"}]}},
            }
        ],
        "initContainers": [{"name": "init", "env": [{"value": "s3cret"}]}],
        "ephemeralContainers": [{"name": "debug", "args": ["s3cret"]}],
    },
    "status": {"podIP": "10.1.2.3"},
}


class Api(BaseHTTPRequestHandler):
    """Lists of two pages for pods, empty ones for the rest, or a status for everything."""

    status = 200
    asked: list[str]

    def do_GET(self) -> None:
        """Answer one request."""
        url = urlsplit(self.path)
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        token = parse_qs(url.query).get("continue", [""])[0]
        body: object = {"metadata": {}, "items": []}
        if url.path == "/api/v1/pods":
            follow = "" if token else "page2"
            body = {"metadata": {"continue": follow}, "items": [POD | {"page": token}]}
        status = self.server.status  # type: ignore[attr-defined]
        data = json.dumps(body).encode() if status == 200 else b"no"
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Any]:
    """Run the API on a free port of the loopback device."""
    http = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    http.status = 200  # type: ignore[attr-defined]
    http.asked = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield http
    http.shutdown()
    http.server_close()
    thread.join()


def kubeconfig(folder: Path, port: int) -> Path:
    """Write a kubeconfig for a server on the loopback device."""
    named = {"name": "a"}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "a",
        "clusters": [named | {"cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "contexts": [named | {"context": {"cluster": "a", "user": "a"}}],
        "users": [named | {"user": {"token": "t0ken"}}],
    }
    file = folder / "kubeconfig"
    file.write_text(json.dumps(config))
    return file


def test_lists_come_in_pages_and_without_secrets(server: Any, tmp_path: Path) -> None:
    """All kinds are fetched, every page of them, and nothing that may hold a secret is kept."""
    lists = fetch_cluster(kubeconfig(tmp_path, server.server_port))
    assert set(lists) == set(KINDS)
    pods = json.loads(lists["pods"])["items"]
    assert [pod["page"] for pod in pods] == ["", "page2"]
    assert b"s3cret" not in b"".join(lists.values())
    assert pods[0]["spec"]["containers"] == [{"name": "web", "ports": [{"containerPort": 80}]}]
    assert not [path for path in server.asked if "secrets" in path or "configmaps" in path]


def test_what_the_network_needs_is_kept() -> None:
    """Names, labels, addresses, the network's own annotations and a static pod's hash survive."""
    kept = without_secrets(POD)
    assert kept["metadata"]["labels"] == {"app": "web"}
    assert kept["metadata"]["annotations"] == {
        "cni.projectcalico.org/podIP": "10.1.2.3",
        "kubernetes.io/config.hash": "0123abcd",
    }
    assert kept["spec"]["nodeName"] == "node1"
    assert kept["status"] == {"podIP": "10.1.2.3"}
    assert "s3cret" in str(POD)


@pytest.mark.parametrize(
    ("status", "said"), [(403, "refused with 403.*all namespaces"), (500, "failed: 500")]
)
def test_server_that_refuses_is_named(server: Any, tmp_path: Path, status: int, said: str) -> None:
    """A refusal or a failure names the server and the list, and says what is needed."""
    server.status = status
    with pytest.raises(EvidenceError, match=said) as caught:
        fetch_cluster(kubeconfig(tmp_path, server.server_port))
    assert f"127.0.0.1:{server.server_port}: /api/v1/nodes" in str(caught.value)


def test_server_that_is_not_there_is_named(server: Any, tmp_path: Path) -> None:
    """When nothing listens, the error names the server and how to go on without it."""
    file = kubeconfig(tmp_path, server.server_port)
    server.shutdown()
    server.server_close()
    with pytest.raises(EvidenceError, match=r"does not answer: .*refused.*without --kubeconfig"):
        fetch_cluster(file)


@pytest.mark.parametrize(
    "content", ["{}", "a: [", "[]", "", "current-context: nope\nclusters: []\ncontexts: []\nusers: []\n"]
)
def test_kubeconfig_that_cannot_be_used_is_named(content: str, tmp_path: Path) -> None:
    """A kubeconfig that is empty, broken or lacks its context is one error that names the file."""
    file = tmp_path / "broken.yaml"
    file.write_text(content)
    with pytest.raises(EvidenceError, match=r"broken\.yaml: this kubeconfig cannot be used"):
        fetch_cluster(file)
