"""What the service gets from outside: its configuration, the hosts, logins, names. All of it may be read again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from skoopctl.cluster.cluster import Cluster, load_cluster
from skoopctl.inventory import InventoryHost
from skoopctl.pushing.config import PushConfig
from skoopctl.pushing.load import Loaded
from skoopctl.transport.base import TransportFactory
from skoopctl.watching.asked import Asked
from skoopctl.watching.events_asked import events_asked


@dataclass(frozen=True, slots=True)
class Fleet:
    """Who is watched, and how the cluster is called."""

    hosts: tuple[InventoryHost, ...]
    cluster: str


class Lists:
    """The API's objects that give names, asked for again and again. What says the same as before is no news.

    Series need pods. Events are between any two addresses: nodes' and services' are asked for too.
    """

    def __init__(self) -> None:
        self._last = b""

    def __call__(self, config: PushConfig) -> Cluster | None:
        """Return the objects, or nothing if they are as before. Blocks; raises `EvidenceError`."""
        from skoopctl.evidence.api import fetch_cluster  # noqa: PLC0415 - importing the client takes a second

        kinds = ("pods", "nodes", "services") if config.event_names else ("pods",)
        lists = fetch_cluster(config.kubeconfig, kinds=kinds)
        digest = hashlib.sha256(b"".join(lists[kind] for kind in kinds)).digest()
        if digest == self._last:
            return None
        self._last = digest
        return load_cluster(lists)


def asked_of(config: PushConfig, rounds: int) -> Asked:
    """Return what nodes are asked for; ``rounds`` is 0 for as long as it takes."""
    # One round is over before anything could happen.
    events = None if rounds else events_asked(config.event_names, config.interval, config.events_how)
    return Asked(config.probe_names, config.interval, rounds, config.sysfs, events=events)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """How to get it. All but ``transports`` and ``asked`` block, and raise `SkoopError`."""

    config: Callable[[], Loaded]
    fleet: Callable[[PushConfig], Fleet]
    transports: Callable[[], TransportFactory]
    names: Callable[[PushConfig], Cluster | None]
    asked: Callable[[PushConfig, int], Asked] = asked_of


def fingerprint(config: PushConfig) -> str:
    """Return a short hash of a configuration: the same for the same, wherever it was written."""
    return hashlib.sha256(config.model_dump_json().encode()).hexdigest()[:12]
