"""The files of our own that a browser may fetch: a fixed table, read once. No other file can be reached."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from skoopctl.report.assets import reports_folder

_FILES = {
    "report.css": ("css/report.css", "text/css; charset=utf-8"),
    "web.css": ("css/web.css", "text/css; charset=utf-8"),
    "web.js": ("js/web.js", "text/javascript; charset=utf-8"),
    "icon.svg": ("icon.svg", "image/svg+xml"),
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as it is sent."""

    body: bytes
    media_type: str


@lru_cache(maxsize=1)
def assets() -> dict[str, Asset]:
    """Return all of them by the names under which they are asked for."""
    folder = reports_folder()
    return {name: Asset((folder / file).read_bytes(), kind) for name, (file, kind) in _FILES.items()}
