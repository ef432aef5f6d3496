"""Nodes of a cluster as an inventory: real HTTP and the real client, against a small server of recorded lists."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from skoopctl.errors import InventoryError
from skoopctl.inventory import Inventory, load_inventory


def node(name: str, labels: dict[str, str], **addresses: str) -> dict[str, Any]:
    """Return a node as the API has it."""
    return {
        "metadata": {"name": name, "labels": labels, "annotations": {"example.com/vpn": f"vpn-{name}"}},
        "status": {"addresses": [{"type": kind, "address": text} for kind, text in addresses.items()]},
    }


ZONE = "topology.kubernetes.io/zone"
NODES = [
    node(
        "c1",
        {"node-role.kubernetes.io/control-plane": "", ZONE: "eu-1"},
        InternalIP="10.0.0.1",
        Hostname="c1",
    ),
    node("w1", {ZONE: "eu-1"}, InternalIP="10.0.0.2", ExternalIP="192.0.2.2", Hostname="w1"),
    node("w2", {ZONE: "eu-2"}, InternalIP="fd00::3", Hostname="w2"),
]


@dataclass
class Api:
    """What the server answers, and what it was asked."""

    folder: Path
    status: int = 200
    message: str = ""
    nodes: list[dict[str, Any]] = field(default_factory=lambda: NODES)
    body: bytes | None = None
    asked: list[dict[str, list[str]]] = field(default_factory=list)
    url: str = ""

    def answer(self, path: str) -> tuple[int, bytes]:
        """Answer with two pages, or with what the test wants."""
        query = parse_qs(urlsplit(path).query)
        self.asked.append(query)
        if self.status != 200:
            return self.status, json.dumps({"kind": "Status", "message": self.message}).encode()
        if self.body is not None:
            return 200, self.body
        first, rest = self.nodes[:2], self.nodes[2:]
        if "continue" in query or not rest:
            return 200, json.dumps({"items": rest or first, "metadata": {}}).encode()
        return 200, json.dumps({"items": first, "metadata": {"continue": "page2"}}).encode()

    def load(self, *lines: str) -> Inventory:
        """Load a file that asks this server, with more lines in it."""
        text = "\n".join(["skoop_source: kubernetes", "kubeconfig: kubeconfig", *lines])
        (self.folder / "prod.yaml").write_text(text, encoding="utf-8")
        return load_inventory(self.folder / "prod.yaml")


class Handler(BaseHTTPRequestHandler):
    """Hands a request to the `Api` of its server."""

    def do_GET(self) -> None:
        """Answer one request."""
        status, data = self.server.api.answer(self.path)  # type: ignore[attr-defined]
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


def kubeconfig(url: str) -> str:
    """Return a kubeconfig with two contexts, both for the server."""
    contexts = [{"name": name, "context": {"cluster": "c", "user": "u"}} for name in ("one", "two")]
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "one",
            "clusters": [{"name": "c", "cluster": {"server": url}}],
            "users": [{"name": "u", "user": {"token": "s3cret"}}],
            "contexts": contexts,
        }
    )


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    """Run an API server on a free port of the loopback device."""
    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = Api(tmp_path, url=f"http://127.0.0.1:{http.server_address[1]}")
    http.api = made  # type: ignore[attr-defined]
    (tmp_path / "kubeconfig").write_text(kubeconfig(made.url), encoding="utf-8")
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    http.shutdown()
    http.server_close()
    thread.join()


def test_nodes_are_hosts_in_groups_of_their_roles(api: Api) -> None:
    """Names, addresses and groups come from the API, over all pages of the list."""
    inventory = api.load()
    assert [(h.name, h.address, h.groups) for h in inventory.hosts] == [
        ("c1", "10.0.0.1", ("control_plane",)),
        ("w1", "10.0.0.2", ("worker",)),
        ("w2", "fd00::3", ("worker",)),
    ]
    assert [query.get("continue") for query in api.asked] == [None, ["page2"]]


def test_variables_and_labels_are_taken_from_the_file(api: Api) -> None:
    """Login variables hold for every node, and a chosen label makes groups."""
    inventory = api.load(f"labels: [{ZONE}]", "vars: {ansible_user: ops, ansible_become: true}")
    assert {(h.user, h.become) for h in inventory.hosts} == {("ops", True)}
    chosen = inventory.select("label_topology_kubernetes_io_zone_eu_1")
    assert [h.name for h in chosen] == ["c1", "w1"]


def test_files_of_variables_beside_it_count(api: Api) -> None:
    """A source of nodes has group_vars and host_vars like any inventory."""
    (api.folder / "group_vars").mkdir()
    (api.folder / "group_vars" / "worker.yml").write_text("ansible_port: 2222\n", encoding="utf-8")
    assert [h.port for h in api.load().hosts] == [22, 2222, 2222]


def test_the_selector_goes_to_the_server(api: Api) -> None:
    """The API chooses nodes, not we."""
    api.load("selector: a=b,!c", "context: two")
    assert {query["labelSelector"][0] for query in api.asked} == {"a=b,!c"}


@pytest.mark.parametrize(
    ("kind", "addresses"),
    [("Hostname", ["c1", "w1", "w2"]), ("annotation:example.com/vpn", ["vpn-c1", "vpn-w1", "vpn-w2"])],
)
def test_another_address_can_be_chosen(api: Api, kind: str, addresses: list[str]) -> None:
    """A kind of address, or what an annotation says."""
    assert [h.address for h in api.load(f'address: "{kind}"').hosts] == addresses


def test_a_short_form_for_the_command_line(api: Api) -> None:
    """``k8s:`` says the same without a file."""
    source = f"k8s:?kubeconfig={api.folder}/kubeconfig&context=two&user=ops&label={ZONE}&address=Hostname"
    inventory = load_inventory(source)
    assert [(h.name, h.address, h.user) for h in inventory.hosts] == [
        ("c1", "c1", "ops"),
        ("w1", "w1", "ops"),
        ("w2", "w2", "ops"),
    ]
    assert "label_topology_kubernetes_io_zone_eu_2" in inventory.groups


def test_the_example_asks_the_cluster_that_kubectl_would_ask(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shipped file needs nothing but a kubeconfig."""
    monkeypatch.setenv("KUBECONFIG", f"{api.folder}/kubeconfig")
    inventory = load_inventory(Path(__file__).parents[3] / "inventories" / "kubernetes.yaml")
    assert [(h.name, h.user, h.become) for h in inventory.select("worker")] == [
        ("w1", "ops", True),
        ("w2", "ops", True),
    ]
    assert api.asked[0]["labelSelector"] == ["kubernetes.io/os=linux"]


def test_a_node_without_the_wanted_address_is_named(api: Api) -> None:
    """So are the addresses that it has."""
    with pytest.raises(InventoryError) as caught:
        api.load("address: ExternalIP")
    assert "node 'c1' has no ExternalIP" in str(caught.value)
    assert "it has: InternalIP 10.0.0.1, Hostname c1" in str(caught.value)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_is_one_line(api: Api, status: int) -> None:
    """Server and status are named, and what the user lacks; its token is not."""
    api.status = status
    with pytest.raises(InventoryError) as caught:
        api.load()
    said = str(caught.value)
    assert f"{api.url}: listing nodes was refused with {status}" in said
    assert "s3cret" not in said
    assert "\n" not in said


def test_a_selector_that_the_server_refuses_is_shown(api: Api) -> None:
    """What the API server says is passed on, on one line."""
    api.status, api.message = 400, "unable to parse requirement:\n found '=='"
    with pytest.raises(
        InventoryError, match="with the selector '==' failed with 400: unable to parse requirement: found"
    ):
        api.load("selector: ==")


def test_no_node_is_an_error(api: Api) -> None:
    """A selector that matches nothing must not look like a healthy cluster."""
    api.nodes = []
    with pytest.raises(InventoryError, match="no node matches the selector 'a=b'"):
        api.load("selector: a=b")


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"items": 5}'])
def test_an_answer_that_is_no_list_is_an_error(api: Api, body: bytes) -> None:
    """A proxy's page is not an empty cluster."""
    api.body = body
    with pytest.raises(InventoryError, match="is no Kubernetes list"):
        api.load()


@pytest.mark.parametrize("name", ["-oX", "../x", "a b", "", None, "A"])
def test_a_name_that_no_node_may_have_is_refused(api: Api, name: object) -> None:
    """What the API says is foreign input: it gets into paths and command lines."""
    api.nodes = [{**NODES[0], "metadata": {"name": name}}]
    with pytest.raises(InventoryError, match="a node has no usable name"):
        api.load()


def test_an_address_that_looks_like_an_option_is_refused(api: Api) -> None:
    """The same for addresses."""
    api.nodes = [node("a", {}, InternalIP="-oProxyCommand=x")]
    with pytest.raises(InventoryError, match="does not begin with '-'"):
        api.load()


def test_labels_that_make_one_group_are_an_error(api: Api) -> None:
    """Two zones must not become one group because their names lose a sign."""
    api.nodes = [node("a", {"z": "1-2"}, InternalIP="1.1.1.1"), node("b", {"z": "1_2"}, InternalIP="1.1.1.2")]
    with pytest.raises(InventoryError, match="the labels z=1-2 and z=1_2 make one group 'label_z_1_2'"):
        api.load("labels: [z]")


def test_a_server_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    """Nobody listens: the server is named, at once."""
    (tmp_path / "kubeconfig").write_text(kubeconfig("http://127.0.0.1:9"), encoding="utf-8")
    with pytest.raises(InventoryError, match=r"http://127\.0\.0\.1:9: the Kubernetes API does not answer"):
        load_inventory(f"k8s:?kubeconfig={tmp_path}/kubeconfig")


WRONG = {
    "no kubeconfig": (["kubeconfig: gone"], "gone: there is no such kubeconfig"),
    "no context": (["context: three"], "kubectl config get-contexts"),
    "unknown key": (["selectr: a"], "there are: skoop_source, kubeconfig"),
    "kind of address": (["address: PublicIP"], "there are: InternalIP, ExternalIP"),
    "labels": (["labels: zone"], "expected a list of label keys"),
    "text": (["selector: [a]"], "selector: expected text"),
    "password": (["vars: {ansible_password: x}"], "ansible_password is not honoured"),
}


@pytest.mark.parametrize(("lines", "says"), WRONG.values(), ids=WRONG.keys())
def test_a_mistake_in_the_file_is_named(api: Api, lines: list[str], says: str) -> None:
    """The file and what is wrong in it, before anything is asked."""
    text = "\n".join(["skoop_source: kubernetes", *lines])
    if not lines[0].startswith("kubeconfig"):
        text += "\nkubeconfig: kubeconfig\n"
    (api.folder / "prod.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(InventoryError) as caught:
        load_inventory(api.folder / "prod.yaml")
    assert says in str(caught.value)
    assert caught.value.path == str(api.folder / "prod.yaml")
    assert not api.asked


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("k8s:?contxt=x", "unknown word 'contxt'"),
        ("k8s:?user=", "user has no value"),
        ("k8s:?user=-x", "begin"),
    ],
)
def test_a_mistake_in_the_short_form_is_named(source: str, says: str) -> None:
    """The flag is named as it was written."""
    with pytest.raises(InventoryError) as caught:
        load_inventory(source)
    assert says in str(caught.value)
    assert str(caught.value).startswith(f"-i {source}: ")


def test_other_inventories_do_not_load_the_client() -> None:
    """A second of imports is spent by those only who ask for nodes of a cluster."""
    code = (
        "import sys; from skoopctl.inventory import load_inventory; load_inventory('a,');"
        "print('kubernetes' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "False\n"
