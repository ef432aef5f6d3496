"""How a watch is told line by line: JSON, KubeSkoop's events, or complaints on standard error."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from skoopctl.evidence.untrusted import printable
from skoopctl.probes.sample import State
from skoopctl.watching.observation import NodeView, Phase

if TYPE_CHECKING:
    from skoopctl.cli.probe_wanted import Wanted
    from skoopctl.events.event import Event
    from skoopctl.evidence.rounds import Round


class Complaints:
    """A line on standard error when a node breaks, once for each reason."""

    def __init__(self) -> None:
        self._said: set[tuple[str, str]] = set()

    def told(self, view: NodeView, _round: Round | None) -> None:
        """Say it, if it is news."""
        if view.phase not in {Phase.BROKEN, Phase.GIVEN_UP} or (view.name, view.why) in self._said:
            return
        self._said.add((view.name, view.why))
        again = "it is tried again" if view.phase is Phase.BROKEN else "it is not tried again"
        click.echo(f"skoopctl: {view.name}: {printable(view.why, 500)}; {again}", err=True)


class Lacks:
    """A line on standard error when an event probe cannot be had, or not whole: once for each reason."""

    def __init__(self) -> None:
        self._said: set[tuple[str, str, str]] = set()

    def fares(self, view: NodeView, probe: str) -> None:
        """Say it, if it is news."""
        given = view.availability()[probe]
        what = probe, str(given.state), given.why
        if given.state is State.AVAILABLE or what in self._said:
            return
        self._said.add(what)
        why = printable(given.why, 300)
        click.echo(f"skoopctl: {view.name}: {probe}: {given.state}: {why}", err=True)


class JsonLines:
    """Writes what comes as JSON lines. A reader that is gone ends the watch."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self.watching: asyncio.Task[Any] | None = None
        self.reader_gone = False

    def hello(self) -> None:
        """Write the first line."""
        from skoopctl.sinks.json_lines import hello

        asked = self._wanted
        names = [host.name for host in asked.hosts]
        self._write(
            hello(
                (*asked.probes, *asked.events),
                names,
                asked.stay.rounds,
                asked.stay.interval_s,
                asked.inventory,
            )
        )

    def told(self, view: NodeView, round_: Round | None) -> None:
        """Write a round, or that a node's watch broke."""
        from skoopctl.sinks import json_lines

        if round_ is not None:
            self._write(json_lines.round_to_json(view, round_, self._wanted.pod))
        elif view.phase in {Phase.BROKEN, Phase.GIVEN_UP}:
            self._write(json_lines.broken(view))

    def happened(self, _view: NodeView, events: Sequence[Event]) -> None:
        """Write events."""
        from skoopctl.sinks.json_lines import event_to_line

        self._write_lines([event_to_line(event) for event in self._wanted.asked_for(events)])

    def fares(self, view: NodeView, probe: str) -> None:
        """Write how an event probe fares on a node."""
        from skoopctl.sinks.json_lines import probe_to_json

        self._write(probe_to_json(view, probe))

    def _write(self, line: dict[str, Any]) -> None:
        self._write_lines([json.dumps(line)])

    def _write_lines(self, lines: Sequence[str]) -> None:
        if self.reader_gone:
            return
        try:
            sys.stdout.write("".join(f"{line}\n" for line in lines))
            sys.stdout.flush()
        except BrokenPipeError:
            self.reader_gone = True
            if self.watching is not None:
                self.watching.cancel()


class KubeSkoopLines(JsonLines):
    """Writes events alone, as KubeSkoop's exporter does; kinds that it does not have are left out."""

    def __init__(self, wanted: Wanted) -> None:
        super().__init__(wanted)
        self._lacks = Lacks()

    def hello(self) -> None:
        """Write nothing: there are events and no more."""

    def told(self, view: NodeView, round_: Round | None) -> None:
        """Write nothing of rounds."""

    def fares(self, view: NodeView, probe: str) -> None:
        """Say on standard error what cannot be had: what does not come must not look like peace."""
        self._lacks.fares(view, probe)

    def happened(self, _view: NodeView, events: Sequence[Event]) -> None:
        """Write events."""
        from skoopctl.events.kubeskoop import kubeskoop_event

        found = map(kubeskoop_event, self._wanted.asked_for(events))
        self._write_lines([json.dumps(each) for each in found if each])
