"""What a configuration would do, as ``--check`` prints it: nobody is asked, nothing is pushed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from skoopctl.events.surroundings import ITEMS
from skoopctl.probes.catalogue import items_of
from skoopctl.pushing.config import PushConfig
from skoopctl.pushing.surroundings import Fleet
from skoopctl.sinks.gateway import JOB
from skoopctl.sinks.loki import own_labels

SCHEMA = "skoopctl.push-check/1"
MOST_SHOWN = 20


def checked(config: PushConfig, fleet: Fleet) -> dict[str, Any]:
    """Return what would be done."""
    gateway, loki, listen = config.gateway, config.loki, config.listen
    return {
        "schema": SCHEMA,
        "cluster": fleet.cluster,
        "hosts": [
            {
                "name": host.name,
                "address": host.address,
                "port": host.port,
                "user": host.user,
                "becomes": (host.become_user or "root") if host.become else None,
                "connection": host.connection,
            }
            for host in fleet.hosts
        ],
        "probes": [*config.probe_names, *config.event_names],
        "items": list(dict.fromkeys((*items_of(config.probe_names), *(ITEMS if config.event_names else ())))),
        "interval_s": config.interval,
        "stale_after_s": config.stale_s,
        "additional_labels": dict(config.additional_labels),
        "names_by": config.kubeconfig or None,
        "pushes_to": gateway.url if gateway else None,
        "group": {"job": JOB, "cluster": fleet.cluster, "node": "NAME"} if gateway else None,
        "events_to": loki.url if loki else None,
        "streams": {**loki.labels, **own_labels(fleet.cluster), "node": "NAME", "type": "KIND"}
        if loki
        else None,
        "tenant": (loki.tenant or None) if loki else None,
        "listens_on": listen.address if listen else None,
        "guarded": listen.guarded if listen else None,
    }


def check_text(found: Mapping[str, Any], config: PushConfig) -> str:
    """Return it for people, with the configuration as YAML behind it."""
    hosts = found["hosts"]
    lines = [
        f"cluster {found['cluster']}: {len(hosts)} nodes, a round of each every {found['interval_s']:g} s"
    ]
    for host in hosts[:MOST_SHOWN]:
        how = (
            "here, without SSH" if host["connection"] == "local" else f"{host['address']} port {host['port']}"
        )
        user = f" as {host['user']}" if host["user"] else ""
        becomes = f", becomes {host['becomes']}" if host["becomes"] else ""
        lines.append(f"  {host['name']}: {how}{user}{becomes}")
    if len(hosts) > MOST_SHOWN:
        lines.append(f"  and {len(hosts) - MOST_SHOWN} more")
    lines.append(f"probes: {', '.join(found['probes'])}")
    lines.append(f"read there: {', '.join(found['items'])}")
    lines.append(f"pods are named by: {found['names_by'] or '/var/log/pods of the nodes'}")
    if found["pushes_to"]:
        group = ", ".join(f'{name}="{value}"' for name, value in found["group"].items())
        lines.append(f"pushed to {found['pushes_to']}: one group a node: {group}")
    if found["events_to"]:
        labels = ", ".join(f'{name}="{value}"' for name, value in found["streams"].items())
        tenant = f", as tenant {found['tenant']}" if found["tenant"] else ""
        lines.append(f"events are sent to {found['events_to']}{tenant}: streams {labels}")
    if found["listens_on"]:
        guard = (
            "only this machine, or who proves to be allowed" if found["guarded"] else "whoever can reach it"
        )
        lines.append(f"served on {found['listens_on']}: read by {guard}")
    lines.append(f"series of a node are withdrawn after {found['stale_after_s']:g} s without a round")
    written = yaml.safe_dump(
        config.model_dump(by_alias=True, exclude_defaults=True), sort_keys=False, allow_unicode=True
    )
    return "\n".join(lines) + "\n\n# the configuration\n" + written
