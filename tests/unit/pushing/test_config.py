"""The configuration of push: read whole, mistakes named by line, KubeSkoop's file taken over, flags win."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from skoopctl.errors import ConfigurationError, UsageError
from skoopctl.events.catalogue import known_names
from skoopctl.pushing.config import ListenPart, PushConfig, config_schema, split_address
from skoopctl.pushing.load import Wanted, load_config

ROOT = Path(__file__).parents[3]
WHOLE = """\
cluster: prod
inventories: [hosts.yaml, "k8s:"]
hosts: "all:!spare"
refresh: 120
kubeconfig: admin.conf
names: 30
probes: [tcp, udp, {name: rdma, args: {sysfs: /fake}}]
interval: 5
additional-labels: {team: "${labels:team}"}
gateway:
  url: https://gateway:9091/base
  user: u
  password-file: secret
  ca-file: ca.pem
  cert-file: client.pem
  key-file: client.key
  timeout: 3
  connections: 2
  on-stop: delete
  service: shard-1
  prune: false
loki:
  url: https://loki:3100
  token-file: token
  tenant: team-a
  ca-file: ca.pem
  cert-file: client.pem
  key-file: client.key
  timeout: 4
  labels: {site: berlin}
  structured-metadata: true
  batch: 500
  batch-bytes: 100000
  batch-wait: 0.5
  queue: 5000
listen:
  address: 0.0.0.0:9102
  user: prometheus
  password-file: secret
  cert-file: page.pem
  key-file: page.key
deadlines: {connect: 5}
forks: 20
limits: {node-series: 5000, scrapes: 2, scrape: 10}
"""
KUBESKOOP = """\
debugmode: false
port: 9102
enableController: true
metrics:
  additionalLabels: ["team=${labels:team}", "zone=a"]
  probes:
    - name: tcp
    - name: flow
      args: {interfaceName: eth0}
    - name: conntrack
event:
  probes: [{name: tcpreset}, {name: conntrack}]
  sinks:
    - name: stderr
    - name: loki
      args: {addr: loki-service}
"""


def written(folder: Path, text: str, name: str = "push.yaml") -> Path:
    """Write a file."""
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def whole(folder: Path) -> Path:
    """Write the whole configuration, and the files that it names."""
    for name in (
        "hosts.yaml",
        "admin.conf",
        "secret",
        "token",
        "ca.pem",
        "client.pem",
        "client.key",
        "page.pem",
        "page.key",
    ):
        written(folder, "", name)
    return written(folder, WHOLE)


def refused(folder: Path, text: str) -> str:
    """Return the one line that a configuration is refused with."""
    with pytest.raises(UsageError) as caught:
        load_config(Wanted(written(folder, text)))
    return str(caught.value)


def test_every_key_is_read_and_files_stand_beside_it(tmp_path: Path) -> None:
    """A configuration with all keys has all of their values; relative files are taken from its folder."""
    config = load_config(Wanted(whole(tmp_path))).config
    assert (config.cluster, config.hosts, config.refresh, config.names) == ("prod", "all:!spare", 120, 30)
    assert config.inventories == [str(tmp_path / "hosts.yaml"), "k8s:"]
    assert config.kubeconfig == str(tmp_path / "admin.conf")
    assert config.probe_names == ("tcp", "udp", "rdma")
    assert (config.sysfs, config.interval, config.forks) == ("/fake", 5, 20)
    assert config.additional_labels == {"team": "${labels:team}"}
    assert config.gateway is not None
    assert config.gateway.password_file == str(tmp_path / "secret")
    assert (config.gateway.on_stop, config.gateway.service, config.gateway.prune) == (
        "delete",
        "shard-1",
        False,
    )
    assert config.loki is not None
    assert config.loki.token_file == str(tmp_path / "token")
    assert (config.loki.tenant, config.loki.labels) == ("team-a", {"site": "berlin"})
    assert (config.loki.batch, config.loki.batch_bytes, config.loki.batch_wait, config.loki.queue) == (
        500,
        100_000,
        0.5,
        5000,
    )
    assert config.listen is not None
    assert config.listen.cert_file == str(tmp_path / "page.pem")
    assert config.listen.guarded
    assert config.limits.node_series == 5000
    assert config.stale_s == 20


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the configuration is empty"),
        (
            "inventories: [a]\nlisten: {}\nintervall: 5\n",
            "push.yaml:3: unknown key intervall: did you mean 'interval'?",
        ),
        (
            "inventories: [a]\nlisten: {}\ninterval: 0.5\n",
            "push.yaml:3: interval: input should be greater than or",
        ),
        (
            "inventories: [a]\nlisten: {}\nprobes: [tcpp]\n",
            "push.yaml:3: probes.0.name: there is no probe 'tcpp'",
        ),
        (
            "inventories: [a]\ngateway:\n  url: http://u:p@h\n",
            "push.yaml:3: gateway.url: expected http://HOST:PORT",
        ),
        ("inventories: [a]\ngateway:\n  urll: x\n", "push.yaml:2: gateway.url is missing"),
        (
            "inventories: [a]\nlisten:\n  adress: x\n",
            "push.yaml:3: unknown key listen.adress: did you mean 'address'?",
        ),
        ("inventories: [a]\nlisten: {address: 'a:b:c'}\n", "push.yaml:2: listen.address: expected HOST:PORT"),
        ("inventories: [a]\nlisten: {user: x}\n", "push.yaml:2: listen: user and password-file go together"),
        (
            "inventories: [a]\nlisten: {}\nadditional-labels: [team]\n",
            "push.yaml:3: additional-labels: expected name=",
        ),
        (
            "inventories: [a]\nlisten: {}\nadditional-labels: {k8s_pod: x}\n",
            "the label 'k8s_pod' is there already",
        ),
        (
            "inventories: [a]\nlisten: {}\nprobes: [{name: tcp, args: {x: y}}]\n",
            "the probe tcp has no argument 'x'",
        ),
        ("listen: {}\n", "push.yaml: nobody is asked"),
        ("inventories: [a]\n", "push.yaml: series and events go nowhere"),
        (
            "inventories: [a]\nloki:\n  url: http://l\n  labels: {type: x}\n",
            "push.yaml:4: loki.labels.type: the label 'type' is there already: choose another name",
        ),
        (
            "inventories: [a]\nloki:\n  url: http://l\n  labels: {a-b: x}\n",
            "push.yaml:4: loki.labels.a-b: expected a label's name, found 'a-b'",
        ),
        (
            "inventories: [a]\nloki:\n  url: http://l\n  user: u\n  password-file: p\n  token-file: t\n",
            "push.yaml:2: loki: user and token-file exclude each other",
        ),
        (
            'inventories: [a]\nloki:\n  url: http://l\n  tenant: "a\\r\\nX: y"\n',
            "push.yaml:4: loki.tenant: expected a tenant of at most 150",
        ),
        (
            "inventories: [a]\nloki:\n  url: http://l\n  token-file: gone\n",
            "push.yaml: loki.token-file: there is no such file",
        ),
        ("inventories: [a]\nloki: {}\n", "push.yaml:2: loki.url is missing"),
        (
            "inventories: [a]\nlisten: {address: '0.0.0.0:1'}\n",
            "others can reach 0.0.0.0:1, and nothing keeps them out",
        ),
        ("inventories: [a]\nkubeconfig: x\nlisten: {}\n", "push.yaml: kubeconfig: there is no such file: /"),
        ("inventories: [a]\nlisten: {}\nlisten: {}\n", "push.yaml:3: the file has 'listen' twice"),
    ],
)
def test_a_mistake_is_one_line_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    """Each mistake names the file and line, and what would be right."""
    line = refused(tmp_path, text)
    assert said in line
    assert "\n" not in line


def test_a_password_without_tls_does_not_guard_an_address(tmp_path: Path) -> None:
    """Others could read the password on its way, so that is refused too, until somebody says --insecure."""
    written(tmp_path, "", "f")
    text = "inventories: [a]\nlisten: {address: '10.0.0.1:9102', user: u, password-file: f}\n"
    assert "nothing keeps them out" in refused(tmp_path, text)
    config = load_config(Wanted(tmp_path / "push.yaml", insecure=True)).config
    assert config.listen is not None
    assert config.listen.insecure


def test_flags_win_over_the_file(tmp_path: Path) -> None:
    """What a flag says counts, and what it does not say stays: the gateway keeps its password."""
    wanted = Wanted(
        whole(tmp_path),
        inventories=("other.ini",),
        gateway="http://elsewhere:9091",
        interval=7.0,
        probes=("fd",),
        listen="127.0.0.1:1",
        cluster="test",
    )
    config = load_config(wanted).config
    assert config.inventories == ["other.ini"]
    assert (config.interval, config.probe_names, config.cluster) == (7, ("fd",), "test")
    assert config.gateway is not None
    assert (config.gateway.url, config.gateway.user) == ("http://elsewhere:9091", "u")
    assert config.listen is not None
    assert (config.listen.address, config.listen.user) == ("127.0.0.1:1", "prometheus")


def test_a_flag_that_is_wrong_is_named() -> None:
    """A mistake in a flag names the flag."""
    with pytest.raises(UsageError, match=r"^--gateway: expected http://HOST:PORT"):
        load_config(Wanted(inventories=("a",), gateway="gateway:9091"))
    with pytest.raises(UsageError, match=r"^--probe: there is no probe 'tcpexr': did you mean 'tcpext'\?"):
        load_config(Wanted(inventories=("a",), listen="127.0.0.1:1", probes=("tcpexr",)))


def test_flags_alone_are_enough() -> None:
    """Without a file, an inventory and somewhere to put series is all that is needed."""
    config = load_config(Wanted(inventories=("a,b",), listen=":9102")).config
    assert config.listen is not None
    assert (config.listen.place.host, config.listen.place.port) == ("127.0.0.1", 9102)


def test_kubeskoop_s_probes_and_labels_are_taken_over(tmp_path: Path) -> None:
    """Its probes and labels count; whatever has no counterpart is named, with what to do instead."""
    file = written(tmp_path, KUBESKOOP, "config.yaml")
    loaded = load_config(Wanted(kubeskoop=file, inventories=("a,",), listen="127.0.0.1:1"))
    assert loaded.config.probe_names == ("tcp", "conntrack")
    assert loaded.config.event_names == ("tcpreset", "conntrackevents", "flow")
    assert loaded.config.loki is not None
    assert loaded.config.loki.url == "http://loki-service:3100"
    assert loaded.config.additional_labels == {"team": "${labels:team}", "zone": "a"}
    notes = "\n".join(loaded.notes)
    for named in ("debugmode", "port", "enableController", "the sink stderr"):
        assert f"{named} is not taken over" in notes


def test_kubeskoop_s_file_in_place_of_ours_is_recognised(tmp_path: Path) -> None:
    """Whoever gives it as the configuration is told how to give it."""
    line = refused(tmp_path, KUBESKOOP)
    assert "'debugmode' belongs to a configuration of KubeSkoop" in line
    assert "--kubeskoop-config" in line


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:80", "127.0.0.1", 80),
        ("[::1]:80", "::1", 80),
        (":80", "127.0.0.1", 80),
        ("localhost", "localhost", 9102),
        ("tcp://0.0.0.0:9102", "0.0.0.0", 9102),
    ],
)
def test_addresses_are_written_in_many_ways(text: str, host: str, port: int) -> None:
    """Host and port, either alone, IPv6 in brackets, and KubeSkoop's tcp://."""
    assert split_address(text) == (host, port)


def test_loopback_needs_no_guard() -> None:
    """Only this machine reaches it."""
    assert ListenPart(address="[::1]:1").guarded
    assert not ListenPart(address="[::]:1").guarded


def test_the_schema_takes_what_is_taken_and_refuses_the_rest() -> None:
    """The published schema agrees with the model, for editors."""
    schema = config_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    whole = yaml.safe_load(WHOLE)
    jsonschema.validate(whole, schema)
    jsonschema.validate({**whole, "additional-labels": ["a=b"]}, schema)
    jsonschema.validate({**whole, "probes": list(known_names())}, schema)
    for wrong in ({"probes": ["tcpp"]}, {"intervall": 1}, {"interval": 0}, {"loki": {}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**whole, **wrong}, schema)


def test_the_published_schema_is_fresh() -> None:
    """docs/schema has the model's schema; otherwise: make docs."""
    published = json.loads((ROOT / "docs/schema/push-1.schema.json").read_text(encoding="utf-8"))
    assert published == config_schema()


def test_the_example_works() -> None:
    """deploy/push.yaml is a configuration that is taken as it stands."""
    config = load_config(Wanted(ROOT / "deploy/push.yaml")).config
    assert isinstance(config, PushConfig)
    assert config.gateway is not None
    assert config.loki is not None


def test_an_error_is_of_the_configuration_s_kind(tmp_path: Path) -> None:
    """Whoever calls can tell which file is meant, and where."""
    with pytest.raises(ConfigurationError) as caught:
        load_config(Wanted(written(tmp_path, "interval: x\n")))
    assert (caught.value.path, caught.value.line) == (str(tmp_path / "push.yaml"), 1)
