"""The flags that say how events are watched."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from skoopctl.cli.options import with_options
from skoopctl.errors import UsageError

if TYPE_CHECKING:
    from skoopctl.watching.events_asked import EventsHow


def event_options() -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the flags; it gets ``how``, an `EventsHow`."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def called(*, backend: str, budget: float | None, slow: tuple[str, ...], **values: Any) -> Any:
            return command(how=_how(backend, budget, slow), **values)

        return with_options(called, _OPTIONS)  # type: ignore[no-any-return]

    return decorate


def _complete_slow(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    from skoopctl.bpf.catalogue import PROBES

    names = (
        f"{probe.name}.{each.name}={each.default_us / 1000:g}ms"
        for probe in PROBES.values()
        for each in probe.thresholds
    )
    return [name for name in names if name.startswith(incomplete)]


_OPTIONS = (
    click.option(
        "--backend",
        type=click.Choice(["auto", "core", "bcc", "tracefs", "proc"]),
        default="auto",
        show_default=True,
        help="What event probes run by: built eBPF programs, BCC, tracefs, or counters of /proc; auto is the first "
        "that the node has.",
    ),
    click.option(
        "--budget",
        type=click.FloatRange(min=0, max=100),
        metavar="PERCENT",
        help="Of one CPU, what an event probe may take before it is taken off; default 2 % of all CPUs, 0: any.",
    ),
    click.option(
        "--slow",
        multiple=True,
        metavar="PROBE.NAME=TIME",
        shell_complete=_complete_slow,
        help="From how long on something is an event, such as tcpconnect.slow=50ms; may be given several times.",
    ),
)


def _how(backend: str, budget: float | None, slow: tuple[str, ...]) -> EventsHow:
    from skoopctl.watching.events_asked import EventsHow

    thresholds = tuple(dict(_threshold(text) for text in slow).items())
    return EventsHow(backend, None if budget is None else budget / 100, thresholds)


def _threshold(text: str) -> tuple[str, int]:
    from skoopctl.bpf.catalogue import PROBES
    from skoopctl.cli.probe_options import Duration

    name, _, value = text.partition("=")
    known = [f"{probe.name}.{each.name}" for probe in PROBES.values() for each in probe.thresholds]
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        raise UsageError(f"--slow {text}: there is no threshold {name!r}", hint=meant)
    try:
        seconds = Duration().convert(value, None, None)
    except click.UsageError:
        raise UsageError(f"--slow {text}: expected a time", hint=f"such as {name}=50ms") from None
    return name, round(seconds * 1e6)
