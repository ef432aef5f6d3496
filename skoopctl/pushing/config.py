"""The configuration of ``skoopctl push``, as people write it in YAML.

Keys are in kebab-case; what one means is in its description, which the published JSON schema and docs/push.md
print.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from skoopctl.events.catalogue import EVENT_PROBES, known_names
from skoopctl.plans.loki_part import LokiPart
from skoopctl.plans.part import Name, Part, Seconds, ServerPart, known, label_beside
from skoopctl.probes.catalogue import DEFAULT_PROBES, PROBES
from skoopctl.sinks.listen import Listen
from skoopctl.watching.events_asked import EventsHow

TAKEN = frozenset({"k8s_node", "k8s_namespace", "k8s_pod", "job", "instance", "cluster", "node"})
"""Labels that series have already, or that gateway and Prometheus give."""
_TIME = re.compile(r"(\d{1,6}(?:\.\d+)?)(us|ms|s)")
_TIME_UNITS = {"us": 1, "ms": 1_000, "s": 1_000_000}
PORT = 9102
"""What ``listen`` has where the port is left out: KubeSkoop's."""


def microseconds(name: str, text: str) -> int:
    """Return a time such as ``50ms`` in microseconds."""
    found = _TIME.fullmatch(text)
    if not found:
        raise ValueError(f"{name}: expected a time such as 50ms, found {text!r}")
    return round(float(found[1]) * _TIME_UNITS[found[2]])


def _named(value: object) -> object:
    """Take ``tcp`` for ``{name: tcp}``."""
    return {"name": value} if isinstance(value, str) else value


def _as_mapping(value: object) -> object:
    """Take KubeSkoop's list of ``name=text`` for a mapping."""
    if not isinstance(value, list):
        return value
    found: dict[str, str] = {}
    for entry in value:
        name, sign, text = str(entry).partition("=")
        if not sign:
            raise ValueError(f"expected name=text, found {entry!r}")
        if name.strip() in found:
            raise ValueError(f"there is {name.strip()!r} twice")
        found[name.strip()] = text.strip()
    return found


def split_address(text: str) -> tuple[str, int]:
    """Return host and port of ``host:port``, ``:port``, ``[::1]:port`` or ``host``. Raises `ValueError`."""
    found = re.fullmatch(r"(?:tcp://)?(\[[0-9A-Fa-f:.]+\]|[^:\[\]/]*)(?::(\d{1,5}))?", text)
    port = int(found[2]) if found and found[2] else PORT
    if not found or not found[0] or port > 65_535:
        raise ValueError(f"expected HOST:PORT, found {text!r}")
    return found[1].strip("[]") or "127.0.0.1", port


def _address(text: str) -> str:
    split_address(text)
    return text


class ProbePart(Part):
    """A probe; its name alone is enough."""

    name: Annotated[str, known(known_names(), "probe")]
    """One of `skoopctl probe list`."""
    args: dict[str, str] = Field(default_factory=dict)
    """Arguments; `sysfs` of rdma is where /sys is, those of event probes are times, such as `slow: 50ms`."""

    @model_validator(mode="after")
    def _arguments_are_known(self) -> Self:
        there = ARGUMENTS.get(self.name, ())
        wrong = [name for name in self.args if name not in there]
        if wrong:
            known = f"there is {', '.join(there)}" if there else "it has none"
            raise ValueError(f"the probe {self.name} has no argument {wrong[0]!r}: {known}")
        if self.name in EVENT_PROBES:
            for name, text in self.args.items():
                microseconds(name, text)
        return self


ARGUMENTS = {
    "rdma": ("sysfs",),
    **{name: tuple(each.name for each in probe.thresholds) for name, probe in EVENT_PROBES.items()},
}
"""The arguments of probes that have any; those of event probes are times."""


class EventsPart(Part):
    """How events are watched."""

    backend: Literal["auto", "core", "bcc", "tracefs", "proc"] = "auto"
    """Built eBPF programs, BCC, tracefs or counters of /proc; auto is, for each probe, the first that a node has."""
    budget: Annotated[float, Field(ge=0, le=100)] | None = None
    """What an event probe may take of one CPU, in percent, before it is taken off; 2 of all CPUs where it is left out,
    0 is no limit."""


class GatewayPart(ServerPart):
    """A Pushgateway: one group for each node, and one for skoopctl itself."""

    connections: Annotated[int, Field(ge=1, le=64)] = 4
    """Pushes at a time; of one node, always one."""
    on_stop: Literal["keep", "delete"] = "keep"
    """What becomes of the groups when the service is stopped."""
    service: Name = "push"
    """The label `service` of skoopctl's own group; services that share a cluster's name have different ones."""
    prune: bool = True
    """Whether groups of this cluster that nobody pushes any more are deleted."""


class ListenPart(Part):
    """The page: /metrics, /status, /healthz."""

    address: Annotated[str, AfterValidator(_address)] = f"127.0.0.1:{PORT}"
    """HOST:PORT. Other addresses than loopback need a password and TLS, or `insecure`."""
    user: str = ""
    """For basic authentication."""
    password_file: str = ""
    """A file with the password in its first line."""
    cert_file: str = ""
    """A certificate (with its chain): the page is served over TLS."""
    key_file: str = ""
    """Its key."""
    client_ca_file: str = ""
    """Only clients with a certificate of these authorities are served."""
    insecure: bool = False
    """Whether an address that others reach may do without password and TLS: something else keeps them out."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if bool(self.user) != bool(self.password_file):
            raise ValueError("user and password-file go together")
        if bool(self.cert_file) != bool(self.key_file):
            raise ValueError("cert-file and key-file go together")
        if self.client_ca_file and not self.cert_file:
            raise ValueError("client-ca-file needs cert-file and key-file")
        return self

    @property
    def place(self) -> Listen:
        """Where that is, and what keeps strangers out."""
        host, port = split_address(self.address)
        return Listen(
            host,
            port,
            self.user,
            self.password_file,
            self.cert_file,
            self.key_file,
            self.client_ca_file,
        )

    @property
    def guarded(self) -> bool:
        """Whether strangers are kept out: by loopback, a client's certificate, or a password within TLS."""
        tls = bool(self.cert_file)
        return self.place.is_loopback or bool(self.client_ca_file) or (tls and bool(self.user))


class DeadlinesPart(Part):
    """Deadlines, in seconds."""

    connect: Seconds = 10
    """To be logged in."""
    program: Seconds = 30
    """For a node's answer; rounds have a deadline of their own, made of the interval."""
    host: Seconds = 60
    """For all of one host, with --once."""
    run: Seconds = 300
    """For all hosts together, with --once."""


class LimitsPart(Part):
    """Bounds of what is kept."""

    node_series: Annotated[int, Field(ge=100, le=10_000_000)] = 200_000
    """Series of one node; a node with more is left out as a whole, and the log and a metric say so."""
    scrapes: Annotated[int, Field(ge=1, le=1_000)] = 16
    """Requests at a time; more get 503."""
    scrape: Seconds = 60
    """Seconds for one request; it is ended then."""


class PushConfig(Part):
    """The whole configuration."""

    cluster: str = ""
    """The cluster's name in groups at the gateway; the inventory's name where it is left out."""
    inventories: list[str] = Field(default_factory=list)
    """Inventories, as -i takes them; relative ones stand beside this file. The last wins."""
    hosts: str = "all"
    """Which hosts: a pattern, as for --limit."""
    refresh: Seconds = 300
    """Seconds after which the inventory is read again, for nodes that join and leave."""
    kubeconfig: str = ""
    """A kubeconfig, to name pods by the API; without one, names of /var/log/pods on the nodes are used."""
    names: Seconds = 60
    """Seconds after which the API is asked for pods again."""
    probes: list[Annotated[ProbePart, BeforeValidator(_named)]] = Field(
        default_factory=lambda: [ProbePart(name=name) for name in DEFAULT_PROBES]
    )
    """What is measured; all but the dear ones where it is left out."""
    interval: Annotated[float, Field(ge=1, le=3_600)] = 15
    """Seconds between two rounds of a node."""
    additional_labels: Annotated[
        dict[Annotated[str, label_beside(TAKEN)], str], BeforeValidator(_as_mapping)
    ] = Field(default_factory=dict)
    """Labels that series of pods get, such as `team: "${labels:team}"`; or KubeSkoop's list of name=text."""
    gateway: GatewayPart | None = None
    """Where series are pushed to."""
    events: EventsPart = EventsPart()
    """How events are watched, where probes of events are named."""
    loki: LokiPart | None = None
    """Where events are sent to."""
    listen: ListenPart | None = None
    """Where series can be scraped."""
    deadlines: DeadlinesPart = DeadlinesPart()
    forks: Annotated[int, Field(ge=1, le=1_000)] | None = None
    """Logins at a time; 100 where it is left out."""
    limits: LimitsPart = LimitsPart()

    @property
    def probe_names(self) -> tuple[str, ...]:
        """The names of the probes, each once, in the catalogue's order."""
        wanted = {probe.name for probe in self.probes}
        return tuple(name for name in PROBES if name in wanted)

    @property
    def event_names(self) -> tuple[str, ...]:
        """The names of the event probes, in the same way."""
        wanted = {probe.name for probe in self.probes}
        return tuple(name for name in EVENT_PROBES if name in wanted)

    @property
    def events_how(self) -> EventsHow:
        """How event probes are watched."""
        thresholds = tuple(
            (f"{probe.name}.{name}", microseconds(name, text))
            for probe in self.probes
            if probe.name in EVENT_PROBES
            for name, text in probe.args.items()
        )
        part = self.events
        return EventsHow(part.backend, None if part.budget is None else part.budget / 100, thresholds)

    @property
    def sysfs(self) -> str:
        """Where /sys is on the nodes."""
        return next((p.args["sysfs"] for p in self.probes if "sysfs" in p.args), "/sys")

    @property
    def stale_s(self) -> float:
        """After how many seconds without a round a node's series are withdrawn: two intervals and a grace."""
        return 2 * self.interval + GRACE_S


GRACE_S = 10.0


def config_schema() -> dict[str, object]:
    """Return the JSON schema of configurations, for editors."""
    schema = PushConfig.model_json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["$id"] = "skoopctl.push/1"
    names = sorted(known_names())
    probe = {"anyOf": [{"type": "string", "enum": names}, {"$ref": "#/$defs/ProbePart"}]}
    schema["properties"]["probes"]["items"] = probe
    schema["$defs"]["ProbePart"]["properties"]["name"]["enum"] = names
    labels = schema["properties"]["additional-labels"]
    as_list = {"type": "array", "items": {"type": "string", "pattern": "="}}
    schema["properties"]["additional-labels"] = {
        "anyOf": [
            {key: labels.pop(key) for key in ("type", "additionalProperties") if key in labels},
            as_list,
        ],
        **labels,
    }
    return schema
