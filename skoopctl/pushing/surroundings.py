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


@dataclass(frozen=True, slots=True)
class Fleet:
    """Who is watched, and how the cluster is called."""

    hosts: tuple[InventoryHost, ...]
    cluster: str


class PodLists:
    """The API's pods, asked for again and again. One that says the same as before is no news."""

    def __init__(self) -> None:
        self._last = b""

    def __call__(self, kubeconfig: str) -> Cluster | None:
        """Return the pods, or nothing if they are as before. Blocks; raises `EvidenceError`."""
        from skoopctl.evidence.api import fetch_cluster  # noqa: PLC0415 - importing the client takes a second

        lists = fetch_cluster(kubeconfig, kinds=("pods",))
        digest = hashlib.sha256(lists["pods"]).digest()
        if digest == self._last:
            return None
        self._last = digest
        return load_cluster(lists)


def asked_of(config: PushConfig, rounds: int) -> Asked:
    """Return what nodes are asked for; ``rounds`` is 0 for as long as it takes."""
    return Asked(config.probe_names, config.interval, rounds, config.sysfs)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """How to get it. All but ``transports`` and ``asked`` block, and raise `SkoopError`."""

    config: Callable[[], Loaded]
    fleet: Callable[[PushConfig], Fleet]
    transports: Callable[[], TransportFactory]
    pods: Callable[[str], Cluster | None]
    asked: Callable[[PushConfig, int], Asked] = asked_of


def fingerprint(config: PushConfig) -> str:
    """Return a short hash of a configuration: the same for the same, wherever it was written."""
    return hashlib.sha256(config.model_dump_json().encode()).hexdigest()[:12]
