"""``skoopctl push`` with a real Pushgateway and Prometheus: groups, reloads, failures, ends."""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families

from skoopctl.sinks.gateway import Access, GatewayClient
from tests.lab.sshd_host import in_time
from tests.services.push_process import Pushing, pushing
from tests.services.servers import ANSWER_S, free_port, pushgateway, query, running, wait_until
from tests.support.floods import counting

SERIES = 'kubeskoop_softnet_processed{k8s_node="n1",k8s_namespace="",k8s_pod=""}'
ROUNDS = 'skoopctl_push_node_rounds_total{node="n1"}'
DROPS = "skoopctl_push_gateway_drops_total"
OPENMETRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="the node program reads other namespaces: that takes root"),
    pytest.mark.skipif(
        not all(map(shutil.which, ("prometheus", "prometheus-pushgateway", "promtool"))),
        reason="prometheus and prometheus-pushgateway are not installed (.ci/packages --tests)",
    ),
]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run one Pushgateway for the module; each test has a cluster's name of its own."""
    with pushgateway(tmp_path_factory.mktemp("gateway")) as url:
        yield url


def groups(url: str, cluster: str) -> set[str]:
    """Return the groups of a cluster at a gateway: names of nodes, and ``service:NAME``."""
    client = GatewayClient(Access(url))
    try:
        found = [pushed.group for pushed in client.groups()]
    finally:
        client.close()
    return {
        group.get("node") or f"service:{group.get('service')}"
        for group in found
        if group.get("cluster") == cluster
    }


def kept(url: str, cluster: str) -> list[str]:
    """Return the lines of a cluster's series at a gateway."""
    with urlopen(f"{url}/metrics", timeout=ANSWER_S) as answer:  # noqa: S310 - our own server on loopback
        lines = answer.read().decode().splitlines()
    return [line for line in lines if f'cluster="{cluster}"' in line]


def test_each_node_has_a_group_and_an_end_leaves_nothing_running(gateway: str, tmp_path: Path) -> None:
    """One group a node and one of the service; SIGTERM ends it with 0 within 5 s, and node programs with it."""
    with pushing(tmp_path, gateway={"url": gateway}, cluster="ends") as service:
        wait_until(lambda: groups(gateway, "ends") == {"n1", "n2", "service:push"}, "the groups")
        assert any(line.startswith("kubeskoop_softnet_processed") for line in kept(gateway, "ends"))
        programs = service.programs()
        assert programs
        status, took = service.stop()
        assert (status, took < in_time(5)) == (0, True), service.log
        wait_until(lambda: not [pid for pid in programs if Path(f"/proc/{pid}").exists()], "no node program")
        assert groups(gateway, "ends") == {"n1", "n2", "service:push"}


def test_a_node_that_leaves_loses_its_group_and_one_that_joins_has_one(gateway: str, tmp_path: Path) -> None:
    """After SIGHUP the inventory counts as it is now, at the gateway and on the page."""
    with pushing(tmp_path, gateway={"url": gateway}, cluster="moves") as service:
        wait_until(lambda: "n2" in groups(gateway, "moves"), "the group of n2")
        service.inventory(["n1", "n3"])
        service.signal(signal.SIGHUP)
        wait_until(lambda: groups(gateway, "moves") == {"n1", "n3", "service:push"}, "n2 gone and n3 here")
        page = service.get("/metrics")[1]
        assert 'k8s_node="n3"' in page
        assert '"n2"' not in page
        assert service.value('skoopctl_push_node_reconnects_total{node="n1"}') == 0


def test_the_inventory_is_read_again_by_itself(tmp_path: Path) -> None:
    """Without any signal, a node that joins is watched; an inventory that is broken changes nothing."""
    with pushing(tmp_path, ["n1"], refresh=1) as service:
        service.inventory(["n1", "n2"])
        wait_until(lambda: service.value('skoopctl_push_nodes{state="up"}') == 2, "n2")
        (tmp_path / "hosts.yaml").write_text("[", encoding="utf-8")
        wait_until(lambda: service.value("skoopctl_push_inventory_last_read_successful") == 0, "the failure")
        assert service.value('skoopctl_push_nodes{state="up"}') == 2
        assert "the hosts of before are still asked" in service.log


def test_a_broken_configuration_changes_nothing_and_is_said(tmp_path: Path) -> None:
    """One line in the log with file and line, a metric that is 0, and rounds go on."""
    with pushing(tmp_path, ["n1"]) as service:
        (tmp_path / "push.yaml").write_text("intervall: 3\n", encoding="utf-8")
        service.signal(signal.SIGHUP)
        wait_until(lambda: service.value("skoopctl_push_config_last_reload_successful") == 0, "the refusal")
        assert "push.yaml:1: unknown key intervall: did you mean 'interval'?" in service.log
        rounds = service.value('skoopctl_push_node_rounds_total{node="n1"}') or 0
        wait_until(
            lambda: (service.value('skoopctl_push_node_rounds_total{node="n1"}') or 0) > rounds + 1, "rounds"
        )
        service.write()
        service.signal(signal.SIGHUP)
        wait_until(lambda: service.value("skoopctl_push_config_last_reload_successful") == 1, "the mending")


def test_other_probes_begin_on_the_connection_that_stands(tmp_path: Path) -> None:
    """After SIGHUP other series come, without a login; and labels can be added."""
    with pushing(tmp_path, ["n1"], probes=["softnet"]) as service:
        assert service.value(SERIES) is not None
        service.write(probes=["tcp"])
        service.signal(signal.SIGHUP)
        wait_until(lambda: "kubeskoop_tcp_activeopens{" in service.get("/metrics")[1], "the other probe")
        assert service.value(SERIES) is None
        assert service.value('skoopctl_push_node_reconnects_total{node="n1"}') == 0
        state = service.get("/status")[1]
        assert [row["name"] for row in json.loads(state)["inuse_probes"]["metrics"]] == ["tcp"]


def test_other_labels_begin_with_new_connections(tmp_path: Path) -> None:
    """Labels are no part of what nodes are asked for: the watch begins anew, with the same secrets."""
    with pushing(tmp_path, ["n1"], probes=["softnet"]) as service:
        service.write(**{"additional-labels": ["zone=a"]})
        service.signal(signal.SIGHUP)
        wait_until(
            lambda: re.search(
                r'kubeskoop_softnet_\w+\{.*k8s_node="n1".*zone="a"', service.get("/metrics")[1]
            ),
            "it",
        )
        assert service.value('skoopctl_push_node_reconnects_total{node="n1"}') == 1


def test_the_page_moves_to_its_new_address(tmp_path: Path) -> None:
    """A new address is served, the old one no longer; an address that is taken is refused, and nothing changes."""
    with pushing(tmp_path, ["n1"]) as service, socket.create_server(("127.0.0.1", 0)) as taken:
        service.write(listen={"address": f"127.0.0.1:{taken.getsockname()[1]}"})
        service.signal(signal.SIGHUP)
        wait_until(lambda: service.value("skoopctl_push_config_last_reload_successful") == 0, "the refusal")
        old, service.port = service.port, free_port()
        service.write(listen={"address": f"127.0.0.1:{service.port}"})
        service.signal(signal.SIGHUP)
        wait_until(lambda: service.get("/healthz")[0] == 200, "the page at its new address")
        service.port = old
        wait_until(lambda: service.get("/healthz")[0] == 0, "the old address to be free")


def test_another_gateway_gets_everything_and_the_old_one_loses_it(gateway: str, tmp_path: Path) -> None:
    """A reload with another gateway leaves no stale group at the one before."""
    with (
        pushgateway(tmp_path) as other,
        pushing(tmp_path, gateway={"url": gateway}, cluster="moved") as service,
    ):
        wait_until(lambda: len(groups(gateway, "moved")) == 3, "groups at the first gateway")
        service.write(gateway={"url": other})
        service.signal(signal.SIGHUP)
        wait_until(lambda: len(groups(other, "moved")) == 3, "groups at the other gateway")
        wait_until(lambda: not groups(gateway, "moved"), "none at the first")


def test_a_gateway_that_is_killed_and_comes_back_has_everything_again(tmp_path: Path) -> None:
    """Meanwhile rounds are taken in, drops are counted, and afterwards each series is there once."""
    port = free_port()
    own = (f"--web.listen-address=127.0.0.1:{port}", "--persistence.file=")
    log = tmp_path / "gateway.log"
    url = f"http://127.0.0.1:{port}"
    with pushing(tmp_path, gateway={"url": url, "timeout": 2}) as service:
        with running("prometheus-pushgateway", port, *own, log=log):
            wait_until(lambda: len(groups(url, "c")) == 3, "the groups")
        wait_until(lambda: service.value("skoopctl_push_gateway_up") == 0, "the failure")
        # Before the gateway was there, some were dropped too.
        rounds, drops = (service.value(series) or 0 for series in (ROUNDS, DROPS))
        wait_until(lambda: (service.value(DROPS) or 0) > drops + 2, "dropped rounds")
        wait_until(lambda: (service.value(ROUNDS) or 0) > rounds, "rounds meanwhile")
        assert (service.value("skoopctl_push_gateway_queue_length") or 0) <= 3
        with running("prometheus-pushgateway", port, *own, log=log):
            wait_until(lambda: len(groups(url, "c")) == 3, "the groups again")
            names = [line.rpartition(" ")[0] for line in kept(url, "c")]
            assert len(names) == len(set(names))


def test_groups_that_an_earlier_service_left_are_deleted(gateway: str, tmp_path: Path) -> None:
    """Those of nodes of this cluster that nobody pushes any more; other clusters' and plans' stay."""
    client = GatewayClient(Access(gateway))
    for group in (
        {"cluster": "old", "node": "gone"},
        {"cluster": "old", "plan": "x"},
        {"cluster": "o2", "node": "y"},
    ):
        client.put(group, b"a 1\n")
    client.close()
    with pushing(tmp_path, ["n1"], gateway={"url": gateway}, cluster="old"):
        kept = {"n1", "service:push", "service:None"}
        wait_until(lambda: groups(gateway, "old") == kept, "the old group to be deleted, and it alone")
        assert groups(gateway, "o2") == {"y"}


def test_series_are_withdrawn_when_a_node_falls_silent(gateway: str, tmp_path: Path) -> None:
    """A node program that is stopped (not killed) says nothing: its group goes, the other's stays."""
    with pushing(tmp_path, gateway={"url": gateway}, cluster="silent") as service:
        wait_until(lambda: "n1" in groups(gateway, "silent"), "the groups")
        service.write(hosts="n1:n2", inventories=["./hosts.yaml", "127.0.0.1:1,"])
        service.inventory(["n1"])
        (tmp_path / "hosts.yaml").write_text(
            "all: {hosts: {n1: {ansible_connection: local}, n2: {ansible_port: 1, ansible_host: 127.0.0.1}}}\n",
            encoding="utf-8",
        )
        service.signal(signal.SIGHUP)
        wait_until(lambda: groups(gateway, "silent") == {"n1", "service:push"}, "the group of n2 to go")
        assert service.value('skoopctl_push_node_up{node="n2"}') == 0
        assert "n2: no round for" in service.log


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a certificate for 127.0.0.1 that is its own authority; return the folder of cert.pem and key.pem."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(made.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder


def test_a_gateway_behind_tls_and_a_password(tls: Path, tmp_path: Path) -> None:
    """With its authority and the password's file it takes pushes; with a wrong one it says so without telling it."""
    import bcrypt

    hashed = bcrypt.hashpw(b"right-secret", bcrypt.gensalt(4)).decode()
    web = tmp_path / "web.yml"
    web.write_text(
        f"tls_server_config: {{cert_file: {tls}/cert.pem, key_file: {tls}/key.pem}}\n"
        f"basic_auth_users: {{admin: {hashed}}}\n",
        encoding="utf-8",
    )
    secret = tmp_path / "secret"
    secret.write_text("wrong-secret\n", encoding="utf-8")
    port = free_port()
    with subprocess.Popen(
        [
            "prometheus-pushgateway",
            f"--web.listen-address=127.0.0.1:{port}",
            f"--web.config.file={web}",
            "--persistence.file=",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            part = {"url": f"https://127.0.0.1:{port}", "user": "admin", "password-file": str(secret)}
            with pushing(tmp_path, ["n1"], gateway={**part, "ca-file": f"{tls}/cert.pem"}) as service:
                wait_until(lambda: "the gateway says 401 Unauthorized" in service.log, "the refusal")
                secret.write_text("right-secret\n", encoding="utf-8")
                wait_until(lambda: (service.value("skoopctl_push_gateway_pushes_total") or 0) > 2, "pushes")
                assert "wrong-secret" not in service.log
                assert service.value("skoopctl_push_gateway_up") == 1
        finally:
            process.kill()


def scraping(folder: Path, port: int) -> tuple[str, ...]:
    """Return Prometheus' arguments to scrape a page every second, in both formats."""
    config = folder / "prometheus.yml"
    config.write_text(
        f"""
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: push
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
""",
        encoding="utf-8",
    )
    return (f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}")


def test_prometheus_scrapes_the_page(tmp_path: Path) -> None:
    """A real Prometheus takes the page as it negotiates it (OpenMetrics): every node's series, each once."""
    with pushing(tmp_path) as service:
        port = free_port()
        arguments = (*scraping(tmp_path, service.port), f"--web.listen-address=127.0.0.1:{port}")
        with running("prometheus", port, *arguments, log=tmp_path / "prometheus.log") as url:
            wait_until(lambda: 1.0 in query(url, 'up{job="push"}').values(), "a good scrape")
            found = wait_until(lambda: query(url, "kubeskoop_softnet_processed"), "the series")
            nodes = [dict(labels)["k8s_node"] for labels in found]
            assert sorted(node for node in nodes if node) == ["n1", "n2"]
            # A scrape that takes more than its second has none.
            samples = "scrape_samples_scraped"
            wait_until(
                lambda: max(query(url, samples).values(), default=0) > 100, "a scrape of the whole page"
            )
        assert (service.value('skoopctl_push_scrapes_total{code="200"}') or 0) > 1


def test_the_page_is_as_promtool_and_openmetrics_want_it(tmp_path: Path) -> None:
    """Both formats of the whole page are well formed."""
    with pushing(tmp_path) as service:
        text = service.get("/metrics")[1]
        done = subprocess.run(
            ["promtool", "check", "metrics"], input=text.encode(), capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        families = list(openmetrics_families(service.get("/metrics", OPENMETRICS)[1]))
        assert len(families) > 100


def test_a_page_over_tls_with_a_password(tls: Path, tmp_path: Path) -> None:
    """Served to who has the password, within TLS, by an address that others could reach."""
    import ssl
    from base64 import b64encode
    from urllib.error import HTTPError
    from urllib.request import Request

    secret = tmp_path / "secret"
    secret.write_text("s3cret\n", encoding="utf-8")
    port = free_port()
    listen = {
        "address": f"0.0.0.0:{port}",
        "user": "p",
        "password-file": str(secret),
        "cert-file": f"{tls}/cert.pem",
        "key-file": f"{tls}/key.pem",
    }
    trust = ssl.create_default_context(cafile=f"{tls}/cert.pem")
    login = {"Authorization": f"Basic {b64encode(b'p:s3cret').decode()}"}

    def status(headers: dict[str, str]) -> int:
        request = Request(f"https://127.0.0.1:{port}/metrics", headers=headers)
        try:
            with urlopen(request, context=trust, timeout=ANSWER_S) as answer:  # noqa: S310 - our own
                return int(answer.status)
        except HTTPError as error:
            return error.code
        except OSError:
            return 0

    with pushing(tmp_path, ["n1"], listen=listen):
        wait_until(lambda: status(login) == 200, "the page")
        assert status({}) == 401


def test_systemd_is_told(tmp_path: Path) -> None:
    """READY once it runs, RELOADING and READY for a SIGHUP, WATCHDOG now and then, STOPPING at the end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(60)
        service = Pushing(tmp_path, {"inventories": ["./hosts.yaml"], "interval": 1})
        service.environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "2000000"}
        service.inventory(["n1"])
        service.write(listen={"address": f"127.0.0.1:{service.port}"})
        service.start()
        try:
            heard: list[str] = []

            def next_is(word: str) -> None:
                while not (said := sock.recv(4096).decode()).startswith(word):
                    heard.append(said)

            next_is("READY=1")
            next_is("WATCHDOG=1")
            service.signal(signal.SIGHUP)
            next_is("RELOADING=1")
            next_is("READY=1")
            assert service.stop()[0] == 0
            next_is("STOPPING=1")
            assert not [said for said in heard if not said.startswith("WATCHDOG=1")]
        finally:
            assert service.process is not None
            service.process.kill()
            service.process.wait()


def test_an_end_does_not_wait_for_a_gateway_that_hangs(tmp_path: Path) -> None:
    """The gateway takes connections and says nothing: SIGTERM ends it with 0 within 5 s all the same."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pushing(tmp_path, ["n1"], gateway={"url": url}) as service:
            status, took = service.stop()
        assert status == 0, service.log
        assert took < in_time(7)
        assert "did not reach the gateway" in service.log


def test_an_end_does_not_wait_for_an_api_that_hangs(tmp_path: Path) -> None:
    """The API server takes connections and says nothing: rounds come, and SIGTERM ends it in time."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        kubeconfig = {
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{silent.getsockname()[1]}"}}],
            "users": [{"name": "u", "user": {"token": "x"}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "c",
        }
        (tmp_path / "kubeconfig").write_text(json.dumps(kubeconfig), encoding="utf-8")
        with pushing(tmp_path, ["n1"], kubeconfig="kubeconfig") as service:
            silent.settimeout(60)
            asked, _ = silent.accept()  # and gets no answer
            with asked:
                status, took = service.stop()
    assert status == 0, service.log
    assert took < in_time(5)


def test_connections_that_say_nothing_are_closed(tmp_path: Path) -> None:
    """Whoever connects and asks nothing does not keep a place: the service closes it, and serves others meanwhile."""
    with pushing(tmp_path, ["n1"]) as service, contextlib.ExitStack() as stack:
        idle = [
            stack.enter_context(socket.create_connection(("127.0.0.1", service.port), 10)) for _ in range(100)
        ]
        assert service.get("/healthz")[0] == 200
        for sock in idle:
            sock.settimeout(60)
            with contextlib.suppress(ConnectionResetError):
                assert sock.recv(1) == b""
        assert service.get("/healthz")[0] == 200


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    """Whoever cannot wait sends it twice."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pushing(tmp_path, ["n1"], gateway={"url": url}) as service:
            assert service.process is not None
            programs = service.programs()
            service.signal(signal.SIGTERM)
            wait_until(
                lambda: not service.programs() or service.process.poll() is not None, "the end's begin"
            )  # type: ignore[union-attr]
            service.signal(signal.SIGINT)
            assert service.process.wait(in_time(10)) == 130
            wait_until(lambda: not [p for p in programs if Path(f"/proc/{p}").exists()], "no node program")


def once(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``push --once`` over hosts that are this machine, one of which cannot be reached."""
    (folder / "hosts.yaml").write_text(
        "all: {hosts: {n1: {ansible_connection: local}, gone: {ansible_host: 127.0.0.1, ansible_port: 1}}}\n",
        encoding="utf-8",
    )
    return subprocess.run(
        [sys.executable, "-m", "skoopctl", "push", "-i", str(folder / "hosts.yaml"), "--once", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_once_prints_or_pushes_and_says_how_it_went(gateway: str, tmp_path: Path) -> None:
    """For cron: quiet and 0 when all is well; 3 when a node is missing; 4 when nothing arrived."""
    printed = once(tmp_path, "-l", "n1")
    assert (printed.returncode, printed.stderr) == (0, "")
    assert SERIES in printed.stdout
    some = once(tmp_path, "--gateway", gateway, "--cluster", "once")
    assert some.returncode == 3
    assert "no round came from gone" in some.stderr
    assert groups(gateway, "once") == {"n1"}
    assert once(tmp_path, "-l", "gone").returncode == 4
    nowhere = once(tmp_path, "-l", "n1", "--gateway", f"http://127.0.0.1:{free_port()}")
    assert nowhere.returncode == 4
    assert "the gateway cannot be reached" in nowhere.stderr


def test_delete_removes_what_is_left(gateway: str, tmp_path: Path) -> None:
    """All groups of the cluster go, and no others."""
    assert once(tmp_path, "-l", "n1", "--gateway", gateway, "--cluster", "left").returncode == 0
    command: list[Any] = [sys.executable, "-m", "skoopctl", "push", "-i", tmp_path / "hosts.yaml", "--delete"]
    done = subprocess.run(
        [*command, "--gateway", gateway, "--cluster", "left"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    wait_until(
        lambda: not groups(gateway, "left"), "the groups to go, which the gateway does after it has answered"
    )


def _up(service: Pushing) -> set[str]:
    """Return the nodes that are up."""
    return set(re.findall(r'\nskoopctl_push_node_up\{node="(.*)"\} 1', service.get("/metrics")[1]))


def test_memory_is_flat_while_nodes_come_and_go(tmp_path: Path) -> None:
    """A hundred joins and leaves later, the service holds about as much as before."""
    with counting(), pushing(tmp_path, ["n1"]) as service:
        before = service.value("skoopctl_push_memory_bytes") or 0
        for turn in range(10):
            service.inventory(["n1", *(f"x{turn}-{n}" for n in range(5))])
            service.signal(signal.SIGHUP)
            wait_until(lambda turn=turn: _up(service) == {"n1", *(f"x{turn}-{n}" for n in range(5))}, "them")
        service.inventory(["n1"])
        service.signal(signal.SIGHUP)
        wait_until(lambda: _up(service) == {"n1"}, "them gone")
        after = service.value("skoopctl_push_memory_bytes") or 0
        assert after < before + 32 * 2**20, (before, after)
