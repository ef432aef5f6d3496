"""The probes of a plan: they are watched after the hosts were asked, and their events go where the plan says."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from skoopctl.cluster.cluster import load_cluster
from skoopctl.runs.probed import Probed, may_be_watched, probed_of
from skoopctl.sinks.loki_for_a_while import to_loki
from skoopctl.watching.blame import blame
from skoopctl.watching.events_asked import events_asked
from skoopctl.watching.for_a_while import Stay, watch_for
from skoopctl.watching.observation import Observation

if TYPE_CHECKING:
    from skoopctl.evidence.bundle import Bundle
    from skoopctl.inventory import InventoryHost
    from skoopctl.plans.model import Plan
    from skoopctl.transport.base import Deadlines
    from skoopctl.transport.choice import RealTransports


async def watch_probes(
    plan: Plan,
    all_hosts: Sequence[InventoryHost],
    hosts: Sequence[InventoryHost],
    bundle: Bundle,
    *,
    transports: RealTransports,
    deadlines: Deadlines,
    cluster: str,
    quiet: bool,
) -> Probed:
    """Watch a plan's probes on those of ``hosts`` that let us in. A refused login is not tried a second time."""
    stay = Stay(plan.probe_duration, plan.probe_interval)
    shows = sys.stderr.isatty() and not quiet
    if shows:
        sys.stderr.write(f"\r\x1b[Kwatching {', '.join(plan.probes)} for {stay.measured_s:g} s")
        sys.stderr.flush()
    asked = [host for host in hosts if may_be_watched(bundle.results[host.name])]
    events = plan.probes_of_events
    observation = Observation(plan.probes_of_metrics, asked, live=False, events=events)
    if bundle.cluster:
        observation.name_pods(load_cluster(bundle.cluster))
    part = plan.push.loki if plan.push is not None and events else None
    async with to_loki(part, cluster, observation, lambda line: click.echo(f"skoopctl: {line}", err=True)):
        await watch_for(
            stay,
            observation,
            transports=transports,
            deadlines=deadlines,
            forks=plan.forks,
            events=events_asked(events, stay.interval_s),
        )
        if shows:
            sys.stderr.write("\r\x1b[K")
    problem = await blame(observation, transports=transports.renewed(), deadlines=deadlines, forks=plan.forks)
    if problem:
        click.echo(f"skoopctl: {problem}: which rules dropped packets is not known", err=True)
    return probed_of(observation, plan, [host.name for host in all_hosts], len(hosts))
