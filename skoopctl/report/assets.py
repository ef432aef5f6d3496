"""Where templates and style sheets are: in the wheel's package data, or beside the package in a checkout."""

from __future__ import annotations

from pathlib import Path

from skoopctl.errors import SkoopError

_PACKAGE = Path(__file__).resolve().parents[1]


def reports_folder(package: Path = _PACKAGE) -> Path:
    """Return the folder ``reports``; ``package`` is where ``skoopctl`` is installed."""
    for folder in (package / "_data" / "reports", package.parent / "reports"):
        if (folder / "templates").is_dir():
            return folder
    raise SkoopError(
        f"no report templates in {package / '_data' / 'reports'}",
        hint="the installation is not whole: install again",
    )
