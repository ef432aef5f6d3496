"""The ``skoopctl`` group: commands by name, imported late, so that ``--help`` stays fast.

Exit codes are the design's: 0 clean, 1 findings or a failing path, 2 usage or inventory, 3 some nodes not
collected, 4 none collected, 70 a bug, 130 interrupted.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
import traceback
from typing import NoReturn

import click

from skoopctl import __version__
from skoopctl.errors import SkoopError

COMMANDS = {
    "collect": ("skoopctl.cli.collect:collect", "Collect evidence from nodes into a bundle."),
    "demo": ("skoopctl.cli.demo:demo", "Build the lab, break it, diagnose it, take it down."),
    "diagnose": ("skoopctl.cli.diagnose:diagnose", "Find out why traffic from A to B does not arrive."),
    "diff": ("skoopctl.cli.diff:diff", "Show what differs between two bundles."),
    "doctor": ("skoopctl.cli.doctor:doctor", "Find out what works on each node, and what would."),
    "explain": ("skoopctl.cli.explain:explain", "Explain a finding by its id."),
    "inventory": ("skoopctl.cli.inventory:inventory", "Show who would be asked, and where that is written."),
    "lab": ("skoopctl.cli.lab:lab", "A cluster of network namespaces to try things on."),
    "node": ("skoopctl.cli.node:node", "Install on nodes what skoopctl can use, and remove it."),
    "probe": ("skoopctl.cli.probe:probe", "Metrics of nodes and pods, for a while."),
    "push": ("skoopctl.cli.push:push", "Metrics of all nodes, to a Pushgateway or a page, while it runs."),
    "redact": ("skoopctl.cli.redact:redact", "Write a bundle for others, with other names and addresses."),
    "report": ("skoopctl.cli.report:report", "Write a report from a bundle or a saved run."),
    "run": ("skoopctl.cli.run:run", "Inspect a cluster by a plan, by hand or from cron."),
    "serve": ("skoopctl.cli.serve:serve", "Show a run or a bundle in the browser, and diagnose from it."),
}

EXIT_USAGE = 2
EXIT_BUG = 70
EXIT_INTERRUPTED = 130
EXIT_PIPE = 141
"""What a shell reports for a program that wrote into a closed pipe (128 + SIGPIPE)."""
_GC_THRESHOLDS = (50_000, 20, 20)
"""A model of a cluster is many objects that all stay: looking for cycles after every 700 of them is in vain."""


class LateGroup(click.Group):
    """A group that knows its commands by name and imports one only when it runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names in alphabetical order."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command; an unknown one is an error that names the nearest."""
        if cmd_name not in COMMANDS:
            import difflib

            near = difflib.get_close_matches(cmd_name, COMMANDS, 1)
            meant = f" Did you mean {near[0]!r}?" if near else " See 'skoopctl --help'."
            ctx.fail(f"There is no command {cmd_name!r}.{meant}")
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)  # noqa: S101 - the table above is ours
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Print the table without importing any command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in sorted(COMMANDS)])


@click.group(
    cls=LateGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Example: skoopctl diagnose -i inventory.yaml -s 10.244.3.70 -d 10.244.2.201 -p 8080",
)
@click.version_option(__version__, prog_name="skoopctl")
def app() -> None:
    """Find out why traffic in a Kubernetes cluster does not arrive.

    Nothing is installed on the nodes, nothing on them is changed, and nothing is left behind, except by
    'skoopctl node', which exists to install packages and says so.
    """


def collect_rarely() -> None:
    """Set the garbage collector as the command line runs with it; the benchmarks do the same."""
    gc.set_threshold(*_GC_THRESHOLDS)


def script() -> NoReturn:
    """Run the command line as a program of its own.

    The process ends without taking the interpreter apart, module by module and object by object: after a large
    collection that costs as much as decoding it did. Whatever must be put away has been,
    by context managers, when a command returns.
    """
    collect_rarely()
    code = EXIT_BUG
    try:
        main()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else EXIT_BUG if stop.code else 0
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = EXIT_PIPE
    except OSError as error:
        _say(f"standard output: {error.strerror or error}")
        code = EXIT_USAGE
    os._exit(code)


def main() -> NoReturn:
    """Run the command line and end the process with the design's exit codes."""
    try:
        code = app.main(prog_name="skoopctl", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.Abort:
        _say("interrupted")
        sys.exit(EXIT_INTERRUPTED)
    except KeyboardInterrupt:
        _say("interrupted")
        sys.exit(EXIT_INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except SkoopError as error:
        _say(str(error))
        sys.exit(error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_PIPE)
    except OSError as error:
        _say(f"{error.filename or 'input or output'}: {error.strerror or error}")
        sys.exit(EXIT_USAGE)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is ours, and the exit status says so
        if _is_an_interrupt(error):
            _say("interrupted")
            sys.exit(EXIT_INTERRUPTED)
        traceback.print_exc()
        _say("this is a bug in skoopctl; please report it with the lines above")
        sys.exit(EXIT_BUG)


def _is_an_interrupt(error: Exception) -> bool:
    """Return whether an error is what has become of an interrupt that came while a lock changed hands.

    ``threading.Condition.wait`` lets go of its lock on the way out, and may find that it does not hold it.
    """
    said = {"cannot release un-acquired lock", "release unlocked lock"}
    return isinstance(error.__context__, KeyboardInterrupt) and str(error) in said


def _say(line: str) -> None:
    """Print one line for people on standard error."""
    click.echo(f"skoopctl: {line}", err=True)
