"""``skoopctl report``: a report from a bundle or a saved run alone, on any machine, at any time."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skoopctl.cli.ends import Ends, ends_options
from skoopctl.cli.report_options import ReportFlags, report_options, write_whole
from skoopctl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMATS = ("html", "pdf", "md", "json")

_EPILOG = """\b
Examples:
  skoopctl report cluster.skoop -s pod/tools/web-0 -d svc/tools/db -o incident.html
  skoopctl report cluster.skoop -s 10.244.3.70 -d 10.244.2.201 -p 8080 --format md --lang zh
  skoopctl report ~/.local/state/skoopctl/runs/prod/nightly -o nightly.pdf
  skoopctl report 20261130T023000Z.json -o nightly.html
"""


@click.command(epilog=_EPILOG)
@click.argument("evidence", metavar="RUN|BUNDLE")
@ends_options(
    "Of a bundle: who connects, as for diagnose.",
    "Of a bundle: the destination, as for diagnose.",
    "What is sent.",
)
@click.option("--format", "format_", type=click.Choice(FORMATS), help="The report's form; the ending of -o.")
@click.option("-o", "--output", metavar="FILE", help="Where it goes; standard output where it is left out.")
@report_options()
def report(
    *,
    evidence: str,
    ends: Ends,
    format_: str | None,
    output: str | None,
    look: ReportFlags,
) -> None:
    """Write a report from a saved RUN or a BUNDLE; no host is asked.

    A bundle and a question (-s, -d) give an incident report. A run's JSON, or the folder where runs of a plan are
    kept, gives an inspection report; earlier runs beside it are its trend. The same evidence gives the same bytes,
    whenever and wherever it is asked.
    """
    from skoopctl.report.form import render

    form = _form(format_, output)
    chosen = look.look
    if _is_run(Path(evidence)):
        if ends.source or ends.destination or ends.port:
            raise UsageError(f"-s, -d and -p go with a bundle, and {evidence} is a run")
        context = _inspection(Path(evidence), look)
    else:
        context = _incident(evidence, ends, look)
    content = render(context, form, chosen)
    _write(content, output)


def _form(format_: str | None, output: str | None) -> str:
    from skoopctl.report.form import form_of

    if output in {None, "-"}:
        return format_ or "html"
    if not Path(str(output)).absolute().parent.is_dir():
        raise UsageError(f"-o {output}: there is no folder {Path(str(output)).parent}", hint="make it first")
    return format_ or form_of("-o", str(output))


def _is_run(path: Path) -> bool:
    """Tell a run's JSON, or a folder of them, from a bundle, which is a zip file."""
    return path.is_dir() or path.suffix == ".json"


def _inspection(path: Path, look: ReportFlags) -> Mapping[str, Any]:
    from skoopctl.runs.inspection import inspection_context
    from skoopctl.runs.saved import earlier_runs, read_run

    run = read_run(path)
    return inspection_context(run, earlier_runs(path, run), look.words, look.about, source=str(path))


def _incident(bundle: str, ends: Ends, look: ReportFlags) -> Mapping[str, Any]:
    from skoopctl.checks.diagnose import diagnose
    from skoopctl.checks.load import snapshot_of
    from skoopctl.evidence import read_bundle
    from skoopctl.report.incident import incident_context

    if ends.missing:
        raise UsageError(
            f"{ends.missing} missing: {bundle} is a bundle",
            hint="say which traffic the report is about",
        )
    snapshot = snapshot_of(read_bundle(bundle))
    if not snapshot.hosts:
        raise UsageError(f"{bundle}: {snapshot.coverage.sentence()}: nothing to walk through")
    answer = diagnose(ends.question(), snapshot)
    return incident_context(answer, look.words, look.about)


def _write(content: bytes, output: str | None) -> None:
    if output not in {None, "-"}:
        write_whole(Path(str(output)), content)
        click.echo(f"written: {output}", err=True)
        return
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()
