"""Which rules dropped the packets that were seen: the rules of those nodes are collected, and asked again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from skoopctl.events.drop_packet import key_of
from skoopctl.events.event import Event
from skoopctl.transport.base import Deadlines, TransportFactory

if TYPE_CHECKING:
    from skoopctl.watching.observation import NodeView, Observation


async def blame(
    observation: Observation,
    *,
    transports: TransportFactory,
    deadlines: Deadlines,
    forks: int | None = None,
    kubeconfig: Path | str | None = None,
) -> str:
    """Collect from the nodes on which rules dropped packets, and give each node's view the answers.

    Returns why it could not be done, in a line, or nothing. Nobody is asked where nothing was dropped.
    """
    from skoopctl.checks.load import snapshot_of  # noqa: PLC0415 - decoders and model, of no use otherwise
    from skoopctl.events.dropped import rules_that_drop  # noqa: PLC0415 - the same
    from skoopctl.evidence.collect import collect  # noqa: PLC0415 - the same

    dropping = {view.name: found for view in observation.nodes.values() if (found := dropped_by_rules(view))}
    if not dropping:
        return ""
    hosts = [view.host for view in observation.nodes.values() if view.name in dropping]
    bundle = await collect(
        hosts, deadlines=deadlines, forks=forks, transports=transports, kubeconfig=kubeconfig
    )
    silent = [name for name in dropping if not bundle.results[name].collected]
    snapshot = snapshot_of(bundle)
    # Events have the API's names of nodes, a collection has the inventory's.
    names = {observation.nodes[name].series.label: name for name in snapshot.hosts}
    for name, events in dropping.items():
        observation.nodes[name].answers = rules_that_drop(snapshot, events, names)
    return f"the rules of {', '.join(silent)} could not be collected" if silent else ""


def dropped_by_rules(view: NodeView) -> Sequence[Event]:
    """Return a node's samples of packets that rules dropped: those that there will be answers for."""
    if view.events is None:
        return ()
    return [event for event in view.events.recent if key_of(event) is not None]
