"""``python -m tests.kernel``: draw states, try them on this kernel, compare with the model (`make fuzz`)."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from tests.kernel.supervise import Crew, Task
from tests.kernel.tally import Disagreement, Tally

CORPUS = Path(__file__).parent / "corpus"
FLOWS_A_STATE = 50


def main() -> int:
    """Run, print the table, and return 0 when the target is met."""
    options = _options()
    tally = campaign(options)
    sys.stdout.write(tally.table() + "\n")
    if options.save:
        Path(options.save).write_text(json.dumps(tally.figures(), indent=1) + "\n", encoding="utf-8")
    return 0 if tally.met else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.kernel", description=__doc__)
    parser.add_argument("-n", "--cases", type=int, default=1000, help="how many flows to try (1000)")
    parser.add_argument("--seed", default="1", help="the same seed draws the same states (1)")
    parser.add_argument("--flows", type=int, default=FLOWS_A_STATE, help="flows in each state (50)")
    parser.add_argument("--jobs", type=int, default=2, help="workers (2)")
    parser.add_argument(
        "--with", dest="on", action="append", default=[], help="switch a row of the grammar on"
    )
    parser.add_argument("--only", default="", help="only themes whose names begin so")
    parser.add_argument("--reduce", type=int, default=6, help="different disagreements to cut down (6)")
    parser.add_argument("--corpus", type=Path, default=CORPUS, help="where reduced states are written")
    parser.add_argument("--save", default="", help="write the figures to a file, as JSON")
    parser.add_argument("--state", type=int, default=None, help="only the state with this number")
    return parser.parse_args()


def campaign(options: argparse.Namespace) -> Tally:
    """Examine as many states as the cases need, then reduce what disagrees."""
    started = time.monotonic()
    tally = Tally(seed=options.seed)
    with Crew(options.jobs) as crew:
        for task, result in crew.run(_tasks(options)):
            tally.add(result, task["seed"])
            _progress(tally, started)
        tally.elapsed_s = time.monotonic() - started
        _write_corpus(crew, _different(tally)[: options.reduce], options.corpus)
    return tally


def _tasks(options: argparse.Namespace) -> list[Task]:
    numbers = range(-(-options.cases // options.flows)) if options.state is None else (options.state,)
    return [
        {"kind": "state", "seed": f"{options.seed}:{n}", "flows": options.flows, "on": options.on,
         "only": options.only}
        for n in numbers
    ]  # fmt: skip


def _progress(tally: Tally, started: float) -> None:
    if sys.stderr.isatty():
        rate = tally.cases / (time.monotonic() - started)
        sys.stderr.write(f"\r{tally.cases:,} cases, {len(tally.disagreements)} disagree, {rate:.1f}/s ")


def _different(tally: Tally) -> list[Disagreement]:
    """Return one disagreement of each kind."""
    return list({each.pattern: each for each in reversed(tally.disagreements)}.values())


def _write_corpus(crew: Crew, found: list[Disagreement], folder: Path) -> None:
    tasks = [{"kind": "reduce", "state": d.state, "flow": d.flow, "seed": d.seed} for d in found]
    for task, result in crew.run(tasks):
        if result.get("words"):
            path = folder / f"seed-{task['seed'].replace(':', '-')}-{task['flow']}.json"
            path.write_text(result["state"], encoding="utf-8")
            sys.stdout.write(f"reduced: {path}: {result['words']}\n")
        else:
            said = result.get("error") or "it agrees when it is built again and tried alone"
            sys.stdout.write(f"not reduced: seed {task['seed']} flow {task['flow']}: {said}\n")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
