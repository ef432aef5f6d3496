"""What ``skoopctl serve`` is given, found on disk: a bundle, a run's result, or the folder of a plan's runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from skoopctl.errors import EvidenceError, UsageError
from skoopctl.evidence import Bundle, read_bundle
from skoopctl.report.messages import Messages
from skoopctl.runs.saved import read_run
from skoopctl.runs.store import newest_result, state_folder
from skoopctl.web.run_page import KeptRun, run_of


@dataclass(frozen=True, slots=True)
class Opened:
    """What is served: evidence, a run, or both. ``evidence`` says in words what is here of a run's evidence."""

    bundle: Bundle | None
    run: KeptRun | None = None
    file: str = ""
    evidence: str = ""


def open_target(target: str, base: Path | None = None, words: Messages | None = None) -> Opened:
    """Open a bundle, a run's ``.json``, a folder of runs, or CLUSTER/PLAN of the state folder ``base``.

    A run is told in English, or in the language of ``words``; what is said of its evidence, in English.
    Raises `UsageError` when there is no such thing, `EvidenceError` when it cannot be read.
    """
    path = _found(target, base or state_folder())
    if path.is_dir():
        path = newest_result(path)
    if path.suffix != ".json":
        return Opened(read_bundle(path), file=str(path))
    beside = path.with_suffix(".skoop")
    bundle, said = None, f"the evidence of this run was not kept: there is no {beside.name} beside it"
    if beside.is_file():
        try:
            bundle, said = read_bundle(beside), f"the evidence behind it is {beside.name}"
        except EvidenceError as error:
            said = str(error)
    run = run_of(read_run(path), str(path), has_evidence=bundle is not None, words=words)
    return Opened(bundle, run, str(path), said)


def _found(target: str, base: Path) -> Path:
    path = Path(target)
    if path.exists():
        return path
    kept = base / target
    if not path.is_absolute() and ".." not in path.parts and kept.is_dir():
        return kept
    raise UsageError(
        f"{target}: there is no such bundle, run, or CLUSTER/PLAN in {base}",
        hint="name a FILE.skoop, a run's FILE.json, or the folder of a plan's runs",
    )
