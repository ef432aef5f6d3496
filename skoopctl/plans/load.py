"""Read a plan: from a file, whose mistakes are named by line, or one of those that come with skoopctl."""

from __future__ import annotations

import difflib
from importlib import resources
from pathlib import Path

from skoopctl.errors import PlanError
from skoopctl.plans.model import Plan
from skoopctl.plans.written import read_written

_BUILTIN = "builtin"
_SUFFIXES = (".yaml", ".yml")


def builtin_plans() -> dict[str, Path]:
    """Return the plans that come with skoopctl, by name."""
    folder = Path(str(resources.files("skoopctl.plans") / _BUILTIN))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load_plan(name: str) -> tuple[Plan, Path]:
    """Return a plan and its file. A name without a folder or suffix is one of the built-in plans.

    Raises `PlanError` with the file and the line.
    """
    built_in = builtin_plans()
    if name in built_in:
        path = built_in[name]
    elif "/" in name or name.endswith(_SUFFIXES) or Path(name).is_file():
        path = Path(name).expanduser()
    else:
        near = difflib.get_close_matches(name, built_in, 1)
        meant = f"did you mean {near[0]!r}? " if near else ""
        hint = f"{meant}there are {', '.join(built_in)}, or name a file"
        raise PlanError(f"there is no plan {name!r}", path=name, hint=hint)
    return read_written(path, Plan, PlanError, "plan", "inspections, probes or paths", plan=path.stem), path
