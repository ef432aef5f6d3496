"""``skoopctl demo --metrics``: the lab with a Prometheus beside it, some trouble, and what the metrics say of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from skoopctl.cli.signals import end_politely

if TYPE_CHECKING:
    from skoopctl.lab.metrics_story import Actors, Answered
    from skoopctl.lab.stand import Stand

EXIT_FAILED = 1


def demo_metrics(*, keep: bool) -> int:
    """Build lab and stand, play the story, print the answers; everything is gone afterwards."""
    from skoopctl.lab import up
    from skoopctl.lab.metrics_story import actors_in, play
    from skoopctl.lab.stand import require_servers, stand_beside

    require_servers()
    end_politely()
    began = time.monotonic()
    click.echo("Building the lab, and Prometheus, a Pushgateway and skoopctl push beside it …")
    lab = up()
    try:
        with stand_beside(lab) as stand, actors_in(lab) as actors:
            click.echo(
                f"All of it runs after {time.monotonic() - began:.1f} s. Calm traffic, then a pod goes deaf …\n"
            )
            play(actors, stand)
            status = _say(stand)
            if keep:
                _keep(stand, actors)
    finally:
        lab.down()
    click.echo("Lab, Prometheus, gateway and push are gone again.")
    return status


def _say(stand: Stand) -> int:
    """Print what Prometheus answers; fail if it names other pods than those in trouble."""
    from skoopctl.lab.metrics_story import answers

    found = answers(stand)
    for answered in found:
        click.echo(answered.asked.question)
        click.echo(f"    {answered.asked.expr}")
        for name, value in answered.rows:
            click.echo(f"    {name:<40} {value:10.1f}")
        click.echo()
    wrong = [answered for answered in found if not answered.as_told]
    for answered in wrong:
        click.echo(f"skoopctl: demo: {_complaint(answered)}", err=True)
    return EXIT_FAILED if wrong else 0


def _complaint(answered: Answered) -> str:
    named = ", ".join(name for name, _ in answered.rows) or "nobody"
    return f"{answered.asked.question}: expected {', '.join(answered.asked.names)}, found {named}"


def _keep(stand: Stand, actors: Actors) -> None:
    """Let the trouble go on until somebody has seen enough."""
    click.echo(f"Prometheus   {stand.prometheus.url}/graph")
    click.echo(f"Pushgateway  {stand.gateway.url}")
    click.echo(f"push         {stand.push.url}/metrics  /status  /healthz")
    click.echo(
        "Dashboards to import into a Grafana: reports/grafana/*.json. The trouble goes on; Ctrl-C ends it all."
    )
    try:
        while True:
            stand.check()
            actors.trouble()
            time.sleep(1)
    except KeyboardInterrupt:
        click.echo()
