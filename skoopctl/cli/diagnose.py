"""``skoopctl diagnose``: the path of a flow, both directions, and what stops it."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from skoopctl.cli.aim import Aim, inventory_options
from skoopctl.cli.deadlines import deadline_options
from skoopctl.cli.ends import Ends, ends_options
from skoopctl.cli.fail_on import fail_on_option
from skoopctl.cli.http import http_options, open_page, serve_page
from skoopctl.cli.login import LoginFlags, login_options
from skoopctl.cli.report_options import ReportFlags, report_options
from skoopctl.cli.source import Gathered, gather
from skoopctl.cli.terminal import in_color, text_width
from skoopctl.errors import SkoopError, UsageError

if TYPE_CHECKING:
    from skoopctl.checks.diagnose import Question
    from skoopctl.checks.diagnosis import Diagnosis
    from skoopctl.checks.snapshot import Snapshot
    from skoopctl.dataplane.trace import Flow
    from skoopctl.report.text import Explain
    from skoopctl.transport.base import Deadlines
    from skoopctl.web.server import Door

F = TypeVar("F", bound=Callable[..., Any])

EXIT_FAILS, EXIT_USAGE, EXIT_SOME, EXIT_NONE = 1, 2, 3, 4

# Flags of `skoop` that tell it what skoopctl finds out by itself. They are taken and change nothing.
_OLD_FLAGS = (
    "--network-plugin",
    "--proxy-mode",
    "--cluster-cidr",
    "--cloud-provider",
    "--calico-host-interface",
    "--calico-host-mtu",
    "--calico-pod-mtu",
    "--calico-ipip-pod-mtu",
    "--flannel-host-interface",
    "--flannel-backend-type",
    "--flannel-bridge",
    "--flannel-pod-mtu",
    "--flannel-ip-masq",
    "--collector-image",
    "--collector-image-pull-policy",
    "--collector-namespace",
    "--collector-cri-address",
    "--collector-pod-wait-interval",
    "--collector-pod-wait-timeout",
)

_EPILOG = """\b
Examples:
  skoopctl diagnose -i inventory.yaml -s 10.244.3.70 -d 10.244.2.201 -p 8080
  skoopctl diagnose -i inventory.yaml -s pod/tools/web-0 -d svc/tools/db --report incident.html
  skoopctl diagnose --bundle cluster.skoop -s node/node1 -d http://10.96.10.1 --json
  skoopctl diagnose -i inventory.yaml -s pod/tools/web-0 -d svc/tools/db --http
  skoopctl diagnose --bundle cluster.skoop --flows flows.jsonl --json

\b
Exit status: 0 the path works · 1 it fails, or a finding reaches --fail-on · 2 usage or inventory ·
3 it could not be decided, or some nodes were not collected · 4 none were · 70 a bug · 130 interrupted
"""


def old_flags(function: F) -> F:
    """Accept the flags of the tool that this one replaces."""
    for flag in _OLD_FLAGS:
        name = "old_" + flag.strip("-").replace("-", "_")
        function = click.option(flag, name, hidden=True)(function)
    return function


@click.command(epilog=_EPILOG)
@ends_options(
    "IP, pod/NS/NAME, node/NAME or a host of the inventory.",
    "The same, or svc/NS/NAME, or a URL.",
    "What is sent; icmp is an echo request, of IPv4 or IPv6 as DST is.",
)
@inventory_options()
@click.option("-b", "--bundle", metavar="FILE", help="Use evidence that was collected before.")
@login_options(short_become=False)
@deadline_options()
@click.option("--kubeconfig", "--kube-config", metavar="FILE", help="Also ask the API server for objects.")
@click.option("--save", metavar="FILE.skoop", help="Keep what was collected.")
@click.option(
    "--flows", metavar="FILE", help="Many flows: JSON lines with source, destination, protocol, port."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object (a line a flow with --flows).")
@click.option("--format", "format_", type=click.Choice(["text", "json", "svg"]), help="What to write.")
@click.option("-o", "--output", metavar="FILE", help="Where --format goes; '-' is standard output.")
@report_options(to_file=True, of_what="The report's and the page's")
@click.option(
    "--explain",
    type=click.Choice(["full", "summary", "minimal"]),
    default="summary",
    show_default=True,
    help="How much text: 'full' is every hook with every rule that matched, those that only set a mark too, and "
    "every branch; 'summary' folds what just passed; 'minimal' is one line a packet, the cause and its fix, "
    "the same for the same network: keep it and compare.",
)
@fail_on_option()
@click.option("--http", is_flag=True, help="Then show it in the browser, until Ctrl-C.")
@http_options
@click.option("-q", "--quiet", is_flag=True, help="No progress on standard error.")
@old_flags
def diagnose(
    *,
    ends: Ends,
    aim: Aim,
    bundle: str | None,
    kubeconfig: str | None,
    save: str | None,
    flows: str | None,
    as_json: bool,
    format_: str | None,
    output: str | None,
    look: ReportFlags,
    explain: str,
    fail_on: str,
    http: bool,
    http_address: str | None,
    insecure: bool,
    quiet: bool,
    login: LoginFlags,
    deadlines: Deadlines,
    **old: str | None,
) -> int:
    """Find out why traffic from SRC to DST does not arrive.

    The packet is walked through what the nodes' kernels hold: every namespace, hook, rule, route and tunnel
    on its way, there and back. Nothing is sent, and nothing on the nodes is changed.
    """
    if aim.list_hosts:
        click.echo(aim.listed(quiet=quiet))
        return 0
    ignored = [
        name.removeprefix("old_").replace("_", "-") for name, value in old.items() if value is not None
    ]
    if ignored and not quiet:
        click.echo(f"skoopctl: --{', --'.join(ignored)}: not needed, found out by itself", err=True)
    kind = _format(as_json, format_, output)
    _check_ends(ends, flows)
    if flows is not None and (look.file or kind == "svg"):
        raise UsageError("--flows prints JSON lines or text", hint="leave out --report and --format svg")
    target = look.target()
    _check_page(http, http_address, flows, insecure=insecure)
    door = open_page(http_address, insecure=insecure) if http else None
    gathered = gather(
        aim, bundle, kubeconfig=kubeconfig, save=save, quiet=quiet, login=login, deadlines=deadlines
    )
    snapshot = gathered.snapshot
    if not snapshot.hosts:
        click.echo(f"skoopctl: {snapshot.coverage.sentence()}: nothing to walk through", err=True)
        return EXIT_NONE
    if flows is not None:
        return _many(flows, snapshot, kind, fail_on)
    from skoopctl.checks.diagnose import diagnose as answer

    question = ends.question()
    diagnosis = answer(question, snapshot)
    _write(_render(diagnosis, kind, explain, to_terminal=_to_terminal(output)), kind, output)
    if target is not None:
        from skoopctl.report.incident import incident_context

        target.write(incident_context(diagnosis, look.words, look.about))
    if door is not None:
        _serve(question, gathered, door, look)
    return exit_code(diagnosis, fail_on)


def _format(as_json: bool, format_: str | None, output: str | None) -> str:
    if as_json and format_ not in {None, "json"}:
        raise UsageError(f"--json and --format {format_} contradict each other", hint="give one of them")
    if format_ is None and not as_json and output is not None:
        raise UsageError("-o needs --format", hint="for example --format svg -o path.svg")
    return "json" if as_json else format_ or "text"


def _check_ends(ends: Ends, flows: str | None) -> None:
    if flows is not None:
        if ends.source or ends.destination:
            raise UsageError("--flows has its own sources and destinations", hint="leave out -s and -d")
        return
    if ends.missing:
        raise UsageError(f"{ends.missing} missing", hint="say where traffic comes from and goes to")


def _check_page(http: bool, address: str | None, flows: str | None, *, insecure: bool) -> None:
    if http and flows is not None:
        raise UsageError("--http shows one path at a time", hint="leave out --flows")
    if not http and (address is not None or insecure):
        raise UsageError(f"{'--insecure' if address is None else '--http-address'} goes with --http")


def _serve(question: Question, gathered: Gathered, door: Door, look: ReportFlags) -> None:
    from skoopctl.web.app import Shown
    from skoopctl.web.wanted import asked

    collect = gathered.asking.collect if gathered.asking is not None else None
    serve_page(Shown(gathered.snapshot, asked(question), collect=collect, words=look.words), door)


def _to_terminal(output: str | None) -> bool:
    return output is None and in_color()


def _render(diagnosis: Diagnosis, kind: str, explain: str, *, to_terminal: bool) -> str:
    if kind == "json":
        from skoopctl.report.jsonout import to_json

        return json.dumps(to_json(diagnosis), indent=2)
    if kind == "svg":
        from skoopctl.report.svg import render_svg

        return render_svg(diagnosis)
    from skoopctl.report.text import render_text

    width = text_width() if to_terminal else 100
    return render_text(diagnosis, width=width, color=to_terminal, explain=cast("Explain", explain))


def _write(text: str, kind: str, output: str | None) -> None:
    """Print, or write to the file; a picture without a name goes to output.svg, as with `skoop`."""
    if output is None and kind == "svg":
        output = "output.svg"
    if output in {None, "-"}:
        click.echo(text)
        return
    Path(str(output)).write_text(text + "\n", encoding="utf-8")
    click.echo(f"written: {output}", err=True)


def exit_code(diagnosis: Diagnosis, fail_on: str) -> int:
    """Return the design's exit status for one diagnosis."""
    from skoopctl.checks.finding import Severity
    from skoopctl.dataplane.trace import Verdict

    threshold = Severity[fail_on.upper()]
    verdict = diagnosis.path.verdict
    if verdict in {Verdict.FAIL, Verdict.MIXED} or any(f.severity >= threshold for f in diagnosis.findings):
        return EXIT_FAILS
    coverage = diagnosis.coverage
    if verdict is Verdict.UNKNOWN or coverage.collected < len(coverage.hosts):
        return EXIT_SOME
    return 0


# --- many flows ----------------------------------------------------------------------------------------------


def _many(path: str, snapshot: Snapshot, kind: str, fail_on: str) -> int:
    """Diagnose every line of a file, in order; one that cannot be is a line with ``error``."""
    codes = []
    with _lines(path) as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                code, text = _one_line(path, number, line, snapshot, kind, fail_on)
                codes.append(code)
                click.echo(text)
    if not codes:
        raise UsageError(f"{path}: no flows in it", hint="one JSON object a line")
    order = (0, EXIT_SOME, EXIT_USAGE, EXIT_FAILS)
    return max(codes, key=order.index)


def _lines(path: str) -> Any:
    if path == "-":
        return contextlib.nullcontext(sys.stdin)
    try:
        return Path(path).open(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", hint="--flows names a file of JSON lines") from error


def _one_line(
    path: str, number: int, line: str, snapshot: Snapshot, kind: str, fail_on: str
) -> tuple[int, str]:
    from skoopctl.checks.diagnose import diagnose as answer
    from skoopctl.report.jsonout import flow_error, to_json

    try:
        question = _question(line)
        diagnosis = answer(question, snapshot)
    except SkoopError as error:
        message = f"{path}:{number}: {error.message}"
        if kind == "json":
            return EXIT_USAGE, json.dumps(flow_error(_as_asked(line), message, error.hint))
        return EXIT_USAGE, f"{message} ({error.hint})" if error.hint else message
    code = exit_code(diagnosis, fail_on)
    if kind == "json":
        return code, json.dumps(to_json(diagnosis))
    flow, path_ = diagnosis.path.flow, diagnosis.path
    ends = f"{question.source} -> {question.destination} {flow.protocol}/{flow.port}"
    cause = f"  {diagnosis.findings[0].summary}" if diagnosis.findings and code else ""
    return code, f"{path_.verdict.value:8}{path_.outcome.value:12}{ends}{cause}"


def _question(line: str) -> Question:
    """Read one line of a file of flows."""
    from skoopctl.checks.diagnose import Question

    try:
        flow = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"not JSON: {error}") from error
    if not isinstance(flow, dict):
        raise UsageError("a flow is an object with source, destination, protocol, port")
    unknown = set(flow) - {"source", "destination", "protocol", "port"}
    if unknown:
        raise UsageError(f"unknown key {min(unknown)!r}", hint="use source, destination, protocol, port")
    source, destination = flow.get("source"), flow.get("destination")
    port, protocol = flow.get("port", 0), flow.get("protocol", "tcp")
    if not isinstance(source, str) or not isinstance(destination, str):
        raise UsageError("source and destination must be text")
    if not isinstance(port, int) or isinstance(port, bool) or not 0 <= port < 65536:
        raise UsageError("port must be a number from 1 to 65535")
    return Question(source, destination, str(protocol), port)


def _as_asked(line: str) -> Flow:
    """Return what can be told of a flow that is not in order, to show it beside its error."""
    from skoopctl.dataplane.trace import Flow

    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    flow = found if isinstance(found, dict) else {}
    texts = (flow.get(key, "") for key in ("source", "destination", "protocol"))
    source, destination, protocol = (text if isinstance(text, str) else "" for text in texts)
    port = flow.get("port", 0)
    in_order = isinstance(port, int) and not isinstance(port, bool) and port >= 0
    return Flow(source, destination, protocol, port if in_order else 0)
