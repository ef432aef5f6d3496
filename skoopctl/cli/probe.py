"""``skoopctl probe``: metrics of nodes, as they are now and over a while."""

from __future__ import annotations

import click

from skoopctl.cli.probe_list import probe_list
from skoopctl.cli.probe_run import probe_run


@click.group()
def probe() -> None:
    """Metrics of nodes and pods."""


probe.add_command(probe_list)
probe.add_command(probe_run)
