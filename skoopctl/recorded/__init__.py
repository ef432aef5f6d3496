"""Evidence of the demo's three moments, recorded from the lab: for people who are not root."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

MOMENTS = ("healthy", "broken", "mended")


def recorded_bundle(moment: str) -> Path:
    """Return the path of a recorded bundle: ``healthy``, ``broken`` or ``mended``."""
    with as_file(files(__package__).joinpath(f"{moment}.skoop")) as path:
        return path
