"""An inspection plan, as people write it in YAML: who is asked, what is looked at, and what must be so.

Keys are in kebab-case. What a key means is in its description, which the published JSON schema and docs/plans.md
print.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from skoopctl.checks.inspections import INSPECTIONS, THRESHOLDS
from skoopctl.events.catalogue import EVENT_PROBES, known_names
from skoopctl.events.thresholds import EVENT_THRESHOLDS
from skoopctl.plans.loki_part import LokiPart
from skoopctl.plans.part import Name, Part, Seconds, Url, known
from skoopctl.probes.anomalies import THRESHOLDS as PROBE_THRESHOLDS
from skoopctl.probes.catalogue import PROBES

Severity = Literal["info", "warning", "critical", "fatal"]
InspectionName = Annotated[str, known(INSPECTIONS, "inspection")]
ThresholdName = Annotated[str, known((*THRESHOLDS, *PROBE_THRESHOLDS, *EVENT_THRESHOLDS), "threshold")]
ProbeName = Annotated[str, known(known_names(), "probe")]


class Path(Part):
    """One path, or several of one kind, with what is expected."""

    name: str = ""
    """For people; source and destination where it is left out."""
    from_: str | list[str]
    """Who connects: an IP, pod/NS/NAME, node/NAME or a host of the inventory; or a list of such."""
    to: str | list[str]
    """The destination: the same, or svc/NS/NAME, or a URL; or a list of such."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 0
    """The destination's port; a service with one port and a URL say it themselves."""
    protocol: Literal["tcp", "udp", "sctp", "icmp"] = "tcp"
    """What is sent; icmp is an echo request."""
    expect: Literal["reachable", "refused", "blocked"] = "reachable"
    """``reachable``: it works. ``refused``: at once. ``blocked``: it does not work, in whatever way."""
    severity: Severity = "critical"
    """The severity of the finding when it is otherwise."""


class DeadlinesPart(Part):
    """The four deadlines, in seconds."""

    connect: Seconds = 10
    """To be logged in."""
    program: Seconds = 30
    """For a node's answer."""
    host: Seconds = 60
    """For all of one host, once its turn has come."""
    run: Seconds = 300
    """For all hosts together."""


class Report(Part):
    """One file that the run writes."""

    format: Literal["json", "text", "html", "md", "pdf"]
    """``json`` is what --json prints, ``text`` the recap; ``html md pdf`` are reports, as --report writes them."""
    file: str
    """Where; {plan}, {cluster} and {time} are filled in. Beside the plan's file unless it is absolute."""


class Push(Part):
    """Where the run's metrics go, and the events of its probes."""

    gateway: Url = ""
    """A Pushgateway's URL, without user and password."""
    user: str = ""
    """For basic authentication."""
    password_file: str = ""
    """A file with the password in its first line."""
    ca_file: str = ""
    """A file with the certificates that the gateway's is checked against."""
    timeout: Seconds = 10
    """Seconds for the whole push; a gateway that fails is a warning, never the run's failure."""
    loki: LokiPart | None = None
    """A Loki that gets the events; one that fails is a warning too. Its files are named as the gateway's are."""

    @model_validator(mode="after")
    def _goes_somewhere(self) -> Self:
        if not self.gateway and self.loki is None:
            raise ValueError("push goes nowhere: give it gateway, loki or both")
        return self


class Keep(Part):
    """What is kept of earlier runs, in the state folder."""

    runs: Annotated[int, Field(ge=1, le=10_000)] = 30
    """Results: for --diff, and for trends."""
    bundles: Annotated[int, Field(ge=0, le=1_000)] = 1
    """Evidence; 0 keeps none, and --retry-failed then looks at the repeated hosts alone."""


class Plan(Part):
    """An inspection plan."""

    plan: Name = "plan"
    """The plan's name, in metrics and in the state folder; the file's name where it is left out."""
    description: str = ""
    """One line for people."""
    cluster: str = ""
    """The cluster's name in metrics; the inventory's name where it is left out."""
    hosts: str = "all"
    """Which hosts of the inventory: a pattern, as for --limit."""
    kubeconfig: str = ""
    """A kubeconfig, to ask the API for nodes, pods, services and endpoint slices too."""
    inspections: list[InspectionName] = Field(default_factory=list)
    """What is looked at on every node; ``skoopctl run --list`` shows the names."""
    probes: list[ProbeName] = Field(default_factory=list)
    """Metrics and events that are watched on every node after it was inspected; ``skoopctl probe list`` has names."""
    probe_duration: Annotated[float, Field(ge=1, le=86_400)] = 30
    """For how many seconds they are watched: so much longer does the run take."""
    probe_interval: Annotated[float, Field(ge=0.2, le=3600)] = 5
    """Seconds between two rounds of them."""
    paths: list[Path] = Field(default_factory=list)
    """Paths with what is expected of them."""
    thresholds: dict[ThresholdName, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    """Numbers that inspections and probes compare with."""
    deadlines: DeadlinesPart = DeadlinesPart()
    forks: Annotated[int, Field(ge=1, le=1_000)] | None = None
    """Hosts at a time; all, at most 100, where it is left out."""
    fail_on: Severity = "critical"
    """The least severity that makes the exit status 1."""
    fail_percent: Annotated[float, Field(ge=0, le=100)] = 0
    """The share of hosts that may fail before the exit status is 3."""
    reports: list[Report] = Field(default_factory=list)
    """Files to write."""
    push: Push | None = None
    """Where metrics and events go."""
    keep: Keep = Keep()

    @property
    def probes_of_metrics(self) -> tuple[str, ...]:
        """The probes that tell metrics, in the plan's order."""
        return tuple(name for name in self.probes if name in PROBES)

    @property
    def probes_of_events(self) -> tuple[str, ...]:
        """The probes that tell events."""
        return tuple(name for name in self.probes if name in EVENT_PROBES)

    @model_validator(mode="after")
    def _looks_at_something(self) -> Self:
        if not self.inspections and not self.paths and not self.probes:
            raise ValueError("the plan looks at nothing: give it inspections, probes or paths")
        if self.probes and self.probe_interval > self.probe_duration:
            raise ValueError("probe-interval is longer than probe-duration: there would be no rates")
        return self


def plan_schema() -> dict[str, object]:
    """Return the JSON schema of plans, for editors."""
    schema = Plan.model_json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["$id"] = "skoopctl.plan/1"
    names = sorted(INSPECTIONS)
    schema["properties"]["inspections"]["items"] = {"type": "string", "enum": names}
    schema["properties"]["probes"]["items"] = {"type": "string", "enum": list(known_names())}
    schema["properties"]["thresholds"]["propertyNames"] = {
        "enum": sorted({*THRESHOLDS, *PROBE_THRESHOLDS, *EVENT_THRESHOLDS})
    }
    return schema
