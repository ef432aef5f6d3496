"""What ``skoopctl serve`` is given, found on disk: a bundle, a run's result, or the folder of a plan's runs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skoopctl.errors import EvidenceError, UsageError
from skoopctl.evidence import Bundle, read_bundle
from skoopctl.runs.store import kept_files, state_folder
from skoopctl.web.run_page import KeptRun, run_of

_LARGEST_RUN = 256 << 20


@dataclass(frozen=True, slots=True)
class Opened:
    """What is served: evidence, a run, or both. ``evidence`` says in words what is here of a run's evidence."""

    bundle: Bundle | None
    run: KeptRun | None = None
    file: str = ""
    evidence: str = ""


def open_target(target: str, base: Path | None = None) -> Opened:
    """Open a bundle, a run's ``.json``, a folder of runs, or CLUSTER/PLAN of the state folder ``base``.

    Raises `UsageError` when there is no such thing, `EvidenceError` when it cannot be read.
    """
    path = _found(target, base or state_folder())
    if path.is_dir():
        path = _newest(path)
    if path.suffix != ".json":
        return Opened(read_bundle(path), file=str(path))
    beside = path.with_suffix(".skoop")
    bundle, said = None, f"the evidence of this run was not kept: there is no {beside.name} beside it"
    if beside.is_file():
        try:
            bundle, said = read_bundle(beside), f"the evidence behind it is {beside.name}"
        except EvidenceError as error:
            said = str(error)
    run = run_of(_json(path), str(path), has_evidence=bundle is not None)
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


def _newest(folder: Path) -> Path:
    files = kept_files(folder)
    if not files:
        raise UsageError(f"{folder}: no run is kept here", hint="name the folder of one plan: CLUSTER/PLAN")
    return files[-1]


def _json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _LARGEST_RUN:
            raise EvidenceError(f"{path}: larger than {_LARGEST_RUN >> 20} MB", hint="is it a run's result?")
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EvidenceError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise EvidenceError(f"{path}: not JSON: {error}", hint="was it cut while it was copied?") from None
    if not isinstance(found, dict):
        raise EvidenceError(f"{path}: not a run: it must be one object")
    return found
