"""One ``probe run``: nodes are watched, somebody is shown how it goes, and the API names the pods meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from skoopctl.cli.probe_lines import Complaints, JsonLines, KubeSkoopLines, Lacks
from skoopctl.cli.probe_wanted import Wanted
from skoopctl.cli.terminal import in_color
from skoopctl.watching.events_asked import events_asked
from skoopctl.watching.for_a_while import watch_for
from skoopctl.watching.observation import NodeView, Observation
from skoopctl.watching.summary import Summary, summary_of

if TYPE_CHECKING:
    from skoopctl.events.event import Event
    from skoopctl.evidence.rounds import Round
    from skoopctl.sinks.live_table import LiveTable
    from skoopctl.transport.choice import RealTransports

TEXT, JSON, KUBESKOOP = "text", "json", "kubeskoop"
Told = Callable[[NodeView, "Round | None"], None]


@dataclass(slots=True)
class Session(Wanted):
    """One watch of what is wanted. `watch` does it once."""

    def watch(self, transports: RealTransports, *, form: str, quiet: bool) -> Summary:
        """Watch the nodes until the time is up or Ctrl-C; return what was seen. Raises `BrokenPipeError`.

        Where rules dropped packets, the rules of these nodes are collected then, to say which. Ctrl-C ends the watch
        with its last counts; a second one does not wait for them, nor for rules.
        """
        as_lines = form != TEXT
        shows_rates = as_lines or (not quiet and sys.stderr.isatty())
        observation = Observation(self.probes, self.hosts, live=shows_rates, events=self.events)
        lines = {JSON: JsonLines, KUBESKOOP: KubeSkoopLines}[form](self) if as_lines else None
        interrupted = False
        try:
            with self._shown(observation, lines, quiet=quiet):
                asyncio.run(self._watch(observation, transports, lines))
        except KeyboardInterrupt:
            interrupted = True
        try:
            if self.events:
                asyncio.run(self._blame(observation, transports))
        except KeyboardInterrupt:
            interrupted = True
            click.echo("skoopctl: interrupted: which rules dropped packets is not known", err=True)
        return summary_of(
            observation,
            self.stay.rounds,
            self.stay.interval_s,
            self.thresholds,
            interrupted=interrupted,
            sort=self.sort,
            pod=self.pod,
        )

    @contextlib.contextmanager
    def _shown(self, observation: Observation, lines: JsonLines | None, *, quiet: bool) -> Iterator[None]:
        """Show how it goes: JSON lines, a live table on a terminal, or a line for each node that breaks."""
        if lines is not None:
            observation.told, observation.happened = lines.told, lines.happened
            observation.fares = lines.fares
            yield
            return
        if quiet:
            with self._events_shown(observation, None):
                yield
            return
        from skoopctl.sinks.live_table import live_table

        observation.fares = Lacks().fares
        live = live_table(observation, self.stay, thresholds=self.thresholds, sort=self.sort, pod=self.pod)
        if live is None:
            observation.told = Complaints().told
        with live or contextlib.nullcontext(), self._events_shown(observation, live):
            yield

    @contextlib.contextmanager
    def _events_shown(self, observation: Observation, live: LiveTable | None) -> Iterator[None]:
        """Show events a line each: above the live table, or on standard output."""
        if not self.events:
            yield
            return
        import time

        from skoopctl.report.terminal import Line, painted
        from skoopctl.sinks.event_text import EventText

        color = in_color()

        def write(shown: Line) -> None:
            if live is not None:
                live.above(painted([shown], color=color))
            else:
                click.echo(painted([shown], color=color), nl=False)

        text = EventText(write, time.monotonic)

        def happened(view: NodeView, events: Sequence[Event]) -> None:
            for event in self.asked_for(events):
                text.told(view.name, event)

        observation.happened = happened
        try:
            yield
        finally:
            text.finish()

    async def _watch(
        self, observation: Observation, transports: RealTransports, lines: JsonLines | None
    ) -> None:
        if lines is not None:
            lines.watching = asyncio.current_task()
            lines.hello()
        naming = asyncio.create_task(self._name_pods(observation), name="pods' names")
        try:
            async with self._to_loki(observation):
                await watch_for(
                    self.stay,
                    observation,
                    transports=transports,
                    deadlines=self.deadlines,
                    forks=self.forks,
                    sysfs=self.sysfs,
                    events=events_asked(self.events, self.stay.interval_s, self.how),
                )
        except asyncio.CancelledError:
            if lines is not None and lines.reader_gone:
                raise BrokenPipeError from None
            raise
        finally:
            late = not naming.done()
            naming.cancel()
            await asyncio.wait([naming])
            if late and self.kubeconfig is not None:
                click.echo(
                    "skoopctl: the API did not answer in time: pods have the names that nodes tell", err=True
                )
            if not naming.cancelled():
                naming.result()

    async def _blame(self, observation: Observation, transports: RealTransports) -> None:
        """Find the rules that dropped packets."""
        from skoopctl.watching.blame import blame

        problem = await blame(
            observation,
            transports=transports.renewed(),
            deadlines=self.deadlines,
            forks=self.forks,
            kubeconfig=self.kubeconfig,
        )
        if problem:
            click.echo(f"skoopctl: {problem}: which rules dropped packets is not known", err=True)

    def _to_loki(self, observation: Observation) -> contextlib.AbstractAsyncContextManager[None]:
        """Send events to Loki while the block lasts, if that is asked for."""
        if self.loki is None:
            return contextlib.nullcontext()
        from skoopctl.sinks.loki_for_a_while import to_loki

        cluster = Path(self.inventory).stem
        return to_loki(
            self.loki, cluster, observation, lambda line: click.echo(f"skoopctl: {line}", err=True)
        )

    async def _name_pods(self, observation: Observation) -> None:
        """Ask the API once; a pod that it does not know yet has the name that its node tells."""
        from skoopctl.cluster.cluster import load_cluster
        from skoopctl.evidence.collect import lists_of

        lists, problem = await lists_of(self.kubeconfig)
        if problem:
            click.echo(f"skoopctl: {problem}: pods have the names that nodes tell", err=True)
        if lists:
            observation.name_pods(load_cluster(lists))
