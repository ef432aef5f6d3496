"""``python -m tests.bench``: measure skoopctl against peers and baselines, in one run on one machine.

A missed target is a line in the table and no failure, unless ``--strict`` asks for that. Exit status: 0
measured, 1 a target is missed (``--strict``), 2 usage, 3 something could not be measured, 130 interrupted.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from skoopctl.cli.app import collect_rarely
from skoopctl.errors import SkoopError
from tests.bench.benchmarks import BENCHMARKS, Benchmark
from tests.bench.figure import Figure, NotMeasured
from tests.bench.setting import Setting
from tests.bench.table import Result, as_json, as_text, machine, machine_line

EXIT_MISSED, EXIT_NOT_MEASURED, EXIT_INTERRUPTED = 1, 3, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks that were asked for and print their figures."""
    asked = _parser().parse_args(arguments)
    if asked.list:
        for each in BENCHMARKS:
            _print(f"{each.name:10} {each.what}")
        return 0
    _heed_signals()
    collect_rarely()  # what is measured here in the process is what people run
    facts = machine()
    if not asked.json:
        _print(machine_line(facts) + "\n")
    chosen = [each for each in BENCHMARKS if not asked.only or each.name in asked.only]
    results: list[Result] = []
    interrupted = False
    with tempfile.TemporaryDirectory(prefix="skoop-bench-") as folder:
        try:
            for each in chosen:
                results.extend(_measured(each, Setting(Path(folder), asked.quick)))
        except KeyboardInterrupt:
            interrupted = True
    _print(as_json(facts, results, quick=asked.quick) if asked.json else as_text(results))
    if interrupted:
        sys.stderr.write("bench: interrupted; what was measured before is above\n")
        return EXIT_INTERRUPTED
    return _exit_status(results, strict=asked.strict)


def _measured(benchmark: Benchmark, setting: Setting) -> Iterator[Result]:
    """Yield a benchmark's figures; one that cannot be measured says why and does not stop the others."""
    setting.say(f"{benchmark.name}: {benchmark.what}")
    try:
        yield from benchmark.measure(setting)
    except SkoopError as error:
        yield NotMeasured(benchmark.name, str(error))
    except subprocess.CalledProcessError as error:
        words = error.stderr or b""
        said = words if isinstance(words, str) else words.decode(errors="replace")
        yield NotMeasured(benchmark.name, f"{' '.join(map(str, error.cmd))[:120]}: {said.strip()[-300:]}")


def _exit_status(results: Sequence[Result], *, strict: bool) -> int:
    if any(isinstance(each, NotMeasured) for each in results):
        return EXIT_NOT_MEASURED
    missed = any(isinstance(each, Figure) and each.met is False for each in results)
    return EXIT_MISSED if strict and missed else 0


def _heed_signals() -> None:
    """Treat every request to end as an interrupt, so that the lab is taken down on the way out."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    described = " ".join((__doc__ or "").split())
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=described)
    names = [each.name for each in BENCHMARKS]
    add = parser.add_argument
    add("--only", action="append", choices=names, metavar="NAME", help="only this one; may be repeated")
    add("--quick", action="store_true", help="small numbers: shows that it runs, not how fast it is")
    add("--json", action="store_true", help="print JSON, with every single run")
    add("--strict", action="store_true", help="exit status 1 when a target is missed")
    add("--list", action="store_true", help="print the names")
    return parser


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
