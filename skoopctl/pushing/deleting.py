"""Delete what a service has left at the gateway, for a cluster that nobody watches any more."""

from __future__ import annotations

from skoopctl.errors import UsageError
from skoopctl.pushing.config import PushConfig
from skoopctl.pushing.delivery import nobodys
from skoopctl.pushing.journal import Journal
from skoopctl.pushing.surroundings import Fleet
from skoopctl.sinks.access import access_of
from skoopctl.sinks.gateway import GatewayClient


def delete_groups(config: PushConfig, fleet: Fleet, journal: Journal) -> int:
    """Delete the groups of this cluster's nodes and of the service; return the exit status.

    Blocks. Raises `UsageError` without a gateway, `PushError` if it does not do it.
    """
    part = config.gateway
    if part is None:
        raise UsageError(
            "--delete needs a gateway", hint="give --gateway URL, or gateway: in the configuration"
        )
    client = GatewayClient(access_of(part))
    try:
        nodes = sorted(nobodys(client.groups(), fleet.cluster, -1.0))
        for node in nodes:
            client.delete({"cluster": fleet.cluster, "node": node})
        client.delete({"cluster": fleet.cluster, "service": part.service})
    finally:
        client.close()
    journal.say("deleted", f"{part.url}: the groups of {len(nodes)} nodes of {fleet.cluster} are deleted")
    return 0
