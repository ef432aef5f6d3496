"""``skoopctl serve``: a bundle or a kept run as a page in the browser."""

from __future__ import annotations

from pathlib import Path

import click

from skoopctl.cli.ends import Ends, ends_options
from skoopctl.cli.http import http_options, open_page, serve_page
from skoopctl.cli.report_options import lang_option
from skoopctl.errors import UsageError

_EPILOG = """\b
Examples:
  skoopctl serve cluster.skoop
  skoopctl serve cluster.skoop -s pod/tools/web-0 -d svc/tools/db -p 5432
  skoopctl serve prod/nightly                  # the newest run of a plan
  skoopctl serve prod/nightly --lang zh        # the same, in Chinese
  ssh -t -L 8080:127.0.0.1:8080 jump skoopctl serve cluster.skoop

\b
Exit status: 0 after Ctrl-C · 2 usage, or a file that cannot be read · 4 nothing in it · 70 a bug
"""

EXIT_NONE = 4


@click.command(epilog=_EPILOG)
@click.argument("target", metavar="RUN|BUNDLE")
@ends_options(
    "Begin with this path: IP, pod/NS/NAME, node/NAME or a host.",
    "The same, or svc/NS/NAME, or a URL.",
    "What is sent; icmp is an echo request.",
)
@click.option(
    "--state-dir", metavar="DIR", help="Where results of runs are kept; default ~/.local/state/skoopctl/runs."
)
@http_options
@lang_option("The page's")
def serve(
    *,
    target: str,
    ends: Ends,
    state_dir: str | None,
    http_address: str | None,
    insecure: bool,
    lang: str,
) -> int:
    """Show a RUN or a BUNDLE in the browser, and diagnose any path from the same evidence.

    BUNDLE is what 'skoopctl collect' wrote. RUN is a result that 'skoopctl run' kept: its .json, the folder of a
    plan's runs, or CLUSTER/PLAN. No host is asked, and nothing is written.
    """
    from skoopctl.checks.load import snapshot_of
    from skoopctl.report.messages import messages
    from skoopctl.web.app import Shown
    from skoopctl.web.opened import open_target
    from skoopctl.web.wanted import asked

    if ends.missing in {"-s", "-d"}:
        raise UsageError(f"{ends.missing} missing", hint="say where traffic comes from and goes to")
    words = messages(lang)
    opened = open_target(target, Path(state_dir) if state_dir else None, words)
    snapshot = snapshot_of(opened.bundle) if opened.bundle is not None else None
    if opened.run is None and (snapshot is None or not snapshot.hosts):
        said = snapshot.coverage.sentence() if snapshot is not None else "nothing"
        click.echo(f"skoopctl: {target}: {said}: nothing to walk through", err=True)
        return EXIT_NONE
    if ends.source and snapshot is None:
        raise UsageError(f"-s goes with evidence, and {opened.evidence}")
    if ends.source and snapshot is not None:
        from skoopctl.checks.target import resolve

        resolve(ends.source, snapshot)
        resolve(ends.destination, snapshot)
    first = asked(ends.question())
    shown = Shown(snapshot, first, opened.run, opened.file, opened.evidence, words=words)
    serve_page(shown, open_page(http_address, insecure=insecure))
    return 0
