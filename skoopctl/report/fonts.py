r"""The fonts that reports on paper are set in: ours, so that a PDF looks alike, and is alike, on every machine.

A character that none of them has is written out (``\U0001f600``): it looks like what it is, and is not lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from skoopctl.report.assets import reports_folder
from skoopctl.report.escape import written_out

SANS, MONO, WIDE = "Report Sans", "Report Mono", "Report CJK"


@dataclass(frozen=True, slots=True)
class Face:
    """One font. ``weight`` is CSS's."""

    family: str
    file: str
    weight: int = 400


FACES = (
    Face(SANS, "sans.ttf"),
    Face(SANS, "sans-bold.ttf", 700),
    Face(MONO, "mono.ttf"),
    Face(MONO, "mono-bold.ttf", 700),
    Face(WIDE, "cjk.ttf"),
)


def font_file(face: Face) -> Path:
    """Return where a font is."""
    return reports_folder() / "fonts" / face.file


def font_faces() -> str:
    """Return the style sheet that names the fonts."""
    return "\n".join(
        f'@font-face{{font-family:"{face.family}";font-weight:{face.weight};src:url("{font_file(face).as_uri()}")}}'
        for face in FACES
    )


@lru_cache(maxsize=1)
def covered() -> frozenset[int]:
    """Return the characters that the upright sans and the wide font have between them; spaces and line ends too."""
    from fontTools.ttLib import TTFont  # noqa: PLC0415 - comes with WeasyPrint, and is heavy

    codes = {ord(" "), ord("\n"), ord("\t")}
    for name in ("sans.ttf", "cjk.ttf"):
        with TTFont(reports_folder() / "fonts" / name, lazy=True) as font:
            codes |= font.getBestCmap().keys()
    return frozenset(codes)


def within_fonts(text: str) -> str:
    """Return text in which every character that the fonts lack is written out."""
    known = covered()
    if all(ord(char) in known for char in text):
        return text
    return "".join(char if ord(char) in known else written_out(char) for char in text)
