"""The lab's API server, asked by the real ``kubernetes`` client."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client, watch

from skoopctl.lab import LabOptions
from skoopctl.lab.apiserver import VERSION_INFO, kubeconfig_text
from skoopctl.lab.commands import program_argv
from skoopctl.lab.objects import api_objects
from skoopctl.lab.topology import plan_lab

pytestmark = pytest.mark.filterwarnings("ignore")  # the client's own use of urllib3


@pytest.fixture
def api() -> Iterator[client.ApiClient]:
    """Serve the usual lab's objects and return a client for them."""
    request = json.dumps({"version": VERSION_INFO, "objects": api_objects(plan_lab(LabOptions()))})
    with subprocess.Popen(
        program_argv("api_server"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(request)
        server.stdin.close()
        port = json.loads(server.stdout.readline())["port"]
        try:
            with client.ApiClient(client.Configuration(host=f"http://127.0.0.1:{port}")) as connection:
                yield connection
        finally:
            server.kill()


def names(result: Any) -> list[str]:
    """Return the names in a list."""
    return [item.metadata.name for item in result.items]


def test_every_kind_can_be_listed(api: client.ApiClient) -> None:
    """The client decodes the lists of all kinds that a diagnosis reads."""
    core = client.CoreV1Api(api)
    assert names(core.list_node()) == ["master-c4", "node1-c4", "node2-c4"]
    assert "tools" in names(core.list_namespace())
    assert len(core.list_pod_for_all_namespaces().items) == 15
    assert len(core.list_service_for_all_namespaces().items) == 16
    slices = client.DiscoveryV1Api(api).list_endpoint_slice_for_all_namespaces()
    assert len(slices.items) == 16
    assert client.NetworkingV1Api(api).list_network_policy_for_all_namespaces().items == []
    assert client.VersionApi(api).get_code().git_version == "v1.36.2"


def test_discovery_names_what_is_served(api: client.ApiClient) -> None:
    """A client that looks around first finds the groups and their resources."""
    groups = client.ApisApi(api).get_api_versions().groups
    assert [group.name for group in groups] == ["discovery.k8s.io", "networking.k8s.io"]
    core = {resource.name for resource in client.CoreV1Api(api).get_api_resources().resources}
    assert core == {"namespaces", "nodes", "pods", "services"}
    assert client.CoreApi(api).get_api_versions().versions == ["v1"]


@pytest.mark.parametrize(
    ("selectors", "expected"),
    [
        ({"label_selector": "app=web"}, ["web-a", "web-b", "web-c"]),
        ({"label_selector": "app in (web, local)"}, ["local-a", "web-a", "web-b", "web-c"]),
        ({"label_selector": "app,app!=web,app notin (tools,demo)"}, ["local-a"]),
        ({"label_selector": "!app"}, []),
        (
            {"field_selector": "spec.nodeName=node2-c4,metadata.name!=web-b", "label_selector": "app=web"},
            ["web-c"],
        ),
    ],
)
def test_selectors_select(api: client.ApiClient, selectors: dict[str, str], expected: list[str]) -> None:
    """Label and field selectors mean what the API reference says."""
    assert names(client.CoreV1Api(api).list_namespaced_pod("tools", **selectors)) == expected


def test_long_lists_come_in_pieces(api: client.ApiClient) -> None:
    """With a limit, the pieces joined by ``continue`` are the whole list, once."""
    core = client.CoreV1Api(api)
    found: list[str] = []
    token = None
    while token != "":
        piece = core.list_pod_for_all_namespaces(limit=4, **({"_continue": token} if token else {}))
        assert len(piece.items) <= 4
        found += names(piece)
        token = piece.metadata._continue or ""
    assert found == names(core.list_pod_for_all_namespaces())


def test_one_object_can_be_read_and_a_missing_one_is_a_status(api: client.ApiClient) -> None:
    """Get returns a typed object; what is not there is a 404 with the API server's words."""
    core = client.CoreV1Api(api)
    pod = core.read_namespaced_pod("web-a", "tools")
    assert (pod.kind, pod.status.pod_ip) == ("Pod", "10.244.2.10")
    with pytest.raises(client.ApiException) as missing:
        core.read_namespaced_pod("nobody", "tools")
    status = json.loads(missing.value.body)
    assert missing.value.status == 404
    assert (status["kind"], status["reason"]) == ("Status", "NotFound")
    with pytest.raises(client.ApiException) as unknown:
        client.CoreV1Api(api).list_secret_for_all_namespaces()
    assert unknown.value.status == 404


def test_a_watch_from_a_list_sees_what_changes_afterwards(api: client.ApiClient) -> None:
    """From the list's resourceVersion on, a watch of one namespace gets its changes and no others'."""
    core = client.CoreV1Api(api)
    version = core.list_namespaced_pod("tools").metadata.resource_version
    started = threading.Event()

    def change() -> None:
        started.wait(10)
        pod = core.read_namespaced_pod("web-a", "tools")
        pod.metadata.labels["tier"] = "front"
        core.replace_namespaced_pod("web-a", "tools", pod)
        core.delete_namespaced_pod("db-0", "infra")
        core.delete_namespaced_pod("web-b", "tools")
        pod.metadata.name, pod.metadata.resource_version = "web-d", None
        core.create_namespaced_pod("tools", pod)

    changer = threading.Thread(target=change)
    changer.start()
    stream = watch.Watch()
    seen = []
    started.set()
    for event in stream.stream(
        core.list_namespaced_pod, "tools", resource_version=version, timeout_seconds=20
    ):
        seen.append((event["type"], event["object"].metadata.name))
        if len(seen) == 3:
            stream.stop()
    changer.join()
    assert seen == [("MODIFIED", "web-a"), ("DELETED", "web-b"), ("ADDED", "web-d")]


def test_a_watch_without_a_version_begins_with_what_is_there(api: client.ApiClient) -> None:
    """The first events are ADDED, one an object, and the watch ends at its timeout."""
    events = list(watch.Watch().stream(client.CoreV1Api(api).list_node, timeout_seconds=1))
    assert [(event["type"], event["object"].metadata.name) for event in events] == [
        ("ADDED", "master-c4"),
        ("ADDED", "node1-c4"),
        ("ADDED", "node2-c4"),
    ]


def test_a_watch_from_too_long_ago_is_gone(api: client.ApiClient) -> None:
    """A resourceVersion from before the server's start is answered with 410: the client must list again."""
    stream = watch.Watch().stream(client.CoreV1Api(api).list_node, resource_version="1", timeout_seconds=5)
    with pytest.raises(client.ApiException) as gone:
        list(stream)
    assert gone.value.status == 410


def test_the_kubeconfig_leads_to_the_server() -> None:
    """The kubeconfig is one that the client reads, without credentials."""
    import yaml
    from kubernetes.config import new_client_from_config_dict

    with new_client_from_config_dict(yaml.safe_load(kubeconfig_text(6443))) as connection:
        assert connection.configuration.host == "http://127.0.0.1:6443"
