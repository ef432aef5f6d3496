"""A report as PDF, by WeasyPrint: tagged (PDF/UA-1), with bookmarks, page numbers and our own fonts, and nothing else.

Nothing is fetched, and nothing of this machine or this moment is in it: the same context gives the same bytes with the
same versions of skoopctl, WeasyPrint and its libraries.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from skoopctl.errors import UsageError
from skoopctl.report.assets import reports_folder
from skoopctl.report.fonts import FACES, MONO, SANS, WIDE, font_faces, font_file, within_fonts
from skoopctl.report.messages import messages
from skoopctl.report.page import LONGEST
from skoopctl.report.rendering import Look, render_page

if TYPE_CHECKING:
    from types import ModuleType

_FAMILY = re.compile(r"font-family:([^;}]*)")
_STANDARD = "pdf/ua-1"


def render_pdf(context: Mapping[str, Any], look: Look | None = None) -> bytes:
    """Return a report as PDF. Raises `UsageError` where WeasyPrint's libraries are missing."""
    weasyprint = _weasyprint()
    sheet = font_faces() + _paper_sheet() + _page_numbers(str(context["lang"]))
    page = render_page(_on_paper(context), look, paper=sheet)
    configuration = weasyprint.text.fonts.FontConfiguration()
    document = weasyprint.HTML(string=page, url_fetcher=_fetcher(weasyprint), base_url="about:blank")
    made: bytes = document.write_pdf(font_config=configuration, pdf_variant=_STANDARD)
    return made


@lru_cache(maxsize=1)
def _weasyprint() -> ModuleType:
    """Import WeasyPrint; it prints a page of advice where a library is missing, and one line is enough."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            import weasyprint  # noqa: PLC0415 - heavy, and needs libraries that only PDF needs
            import weasyprint.text.fonts  # noqa: PLC0415
    except (ImportError, OSError) as error:
        raise UsageError(
            f"PDF needs Pango and HarfBuzz: {str(error).splitlines()[0]}",
            hint="on Debian: apt-get install libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0; or write .html",
        ) from None
    # What it does not know of the page's style sheets is for screens.
    logging.getLogger("weasyprint").setLevel(logging.CRITICAL)
    logging.getLogger("fontTools").setLevel(logging.ERROR)
    return weasyprint  # type: ignore[no-any-return]


def check_pdf() -> None:
    """Raise `UsageError` where no PDF can be made, before anybody has worked for one."""
    _weasyprint()


def _fetcher(weasyprint: ModuleType) -> Any:
    """Return what lets a document have our fonts, and refuses every other address."""
    allowed = {font_file(face).as_uri() for face in FACES}

    class OnlyFonts(weasyprint.URLFetcher):  # type: ignore[misc, name-defined]
        """Refuses what is not a font of ours."""

        def fetch(self, url: str, headers: Any = None) -> Any:
            """Return a font, or raise `ValueError`."""
            if url not in allowed:
                raise ValueError("a report fetches nothing")
            return super().fetch(url, headers)

    return OnlyFonts()


def _on_paper(value: Any, key: str = "") -> Any:
    """Return a context in which every character has a glyph, and the picture is set in our fonts."""
    if isinstance(value, str):
        if key == "picture":
            return _FAMILY.sub(_our_family, within_fonts(value))
        return within_fonts(value[:LONGEST]) + value[LONGEST:]  # the rest is cut when it is shown
    if isinstance(value, Mapping):
        return {name: _on_paper(each, name) for name, each in value.items()}
    return [_on_paper(each) for each in value] if isinstance(value, list) else value


def _our_family(found: re.Match[str]) -> str:
    return f'font-family:"{MONO if "mono" in found[1].lower() else SANS}","{WIDE}"'


def _paper_sheet() -> str:
    return (reports_folder() / "css" / "paper.css").read_text(encoding="utf-8")


def _page_numbers(lang: str) -> str:
    """Return the rule for each page's foot: the words of the language around two counters."""
    words = messages(lang).text("label.page", page="\0page\0", pages="\0pages\0")
    parts = [
        f"counter({part})" if part in {"page", "pages"} else f'"{part}"' for part in words.split("\0") if part
    ]
    return f"@page{{@bottom-right{{content:{' '.join(parts)}}}}}"
