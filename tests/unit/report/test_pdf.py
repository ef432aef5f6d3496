"""Reports as PDF, read back and drawn."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import pypdf
import pytest

from skoopctl.checks.diagnosis import Endpoint
from skoopctl.errors import UsageError
from skoopctl.report import pdf
from skoopctl.report.fonts import FACES, font_file, within_fonts
from skoopctl.report.incident import About, incident_context
from skoopctl.report.messages import LANGUAGES, messages
from tests.support.paper import needs_pango, needs_poppler
from tests.unit.report import samples

pytestmark = needs_pango
HEADINGS = {"en": ["Cause", "What should be changed"], "zh": ["原因", "应当更改什么"]}
MAKE_ONE = """
import sys
from skoopctl.report.incident import incident_context
from skoopctl.report.messages import messages
from skoopctl.report.pdf import render_pdf
from tests.unit.report import samples
sys.stdout.buffer.write(render_pdf(incident_context(samples.dropped(), messages("zh"))))
"""


@lru_cache
def made(name: str, lang: str = "en") -> bytes:
    """Return the PDF of a sample."""
    return pdf.render_pdf(incident_context(samples.ALL[name](), messages(lang)))


def read(content: bytes) -> pypdf.PdfReader:
    """Open a PDF."""
    return pypdf.PdfReader(io.BytesIO(content))


def words(content: bytes) -> str:
    """Return all words of a PDF, white space made single."""
    return " ".join(" ".join(page.extract_text() for page in read(content).pages).split())


def fonts(reader: pypdf.PdfReader) -> Iterator[Mapping[str, Any]]:
    """Yield the descriptor of every font that a page is set in."""
    for page in reader.pages:
        for font in page["/Resources"].get("/Font", {}).values():
            yield font.get_object()["/DescendantFonts"][0].get_object()["/FontDescriptor"]


@pytest.mark.parametrize("name", samples.ALL)
def test_every_report_can_be_had_on_paper(name: str) -> None:
    """Healthy or hostile, short or long: there are pages, and the verdict's word is on the first."""
    verdict = samples.ALL[name]().path.verdict.value
    assert verdict in read(made(name)).pages[0].extract_text()


@pytest.mark.parametrize("lang", LANGUAGES)
def test_a_pdf_has_title_language_tags_and_bookmarks(lang: str) -> None:
    """A reader of documents, a person's or a program's, finds its way."""
    reader = read(made("dropped", lang))
    catalog = reader.trailer["/Root"]
    assert reader.metadata is not None
    assert reader.metadata.title == incident_context(samples.dropped(), messages(lang))["title"]
    assert catalog["/Lang"] == lang
    assert catalog["/MarkInfo"]["/Marked"]
    assert catalog["/StructTreeRoot"]["/K"]
    titles = [entry.title for entry in reader.outline if not isinstance(entry, list)]
    assert [title for title in HEADINGS[lang] if title not in titles] == []


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_font_is_ours_and_embedded(lang: str) -> None:
    """A PDF looks alike on a machine that has no font at all."""
    used = list(fonts(read(made("dropped", lang))))
    families = {str(font["/FontName"]).partition("+")[2].removesuffix("-Bold") for font in used}
    assert families <= {face.family.replace(" ", "-") for face in FACES}
    assert "Report-Sans" in families
    assert all("/FontFile2" in font or "/FontFile3" in font for font in used)


def test_a_pdf_tells_the_whole_story() -> None:
    """From the verdict to the raw lines, everything stands in order."""
    text = words(made("dropped"))
    position = 0
    for part in (
        "FAIL",
        "Cause",
        "Why.",
        "iptables -D INPUT 1",
        "Path, hop by hop",
        "Appendix",
        "skoopctl.report/1",
    ):
        position = text.index(part, position)


def test_chinese_is_text_that_can_be_searched() -> None:
    """The words of the tables are in the text of the document, not only in its picture."""
    text = words(made("dropped", "zh")).replace(" ", "")
    assert "客户端看到超时" in text
    assert "已在模型中验证" in text


def test_every_page_has_its_number() -> None:
    """Whoever drops the print can put it in order again."""
    pages = read(made("dropped")).pages
    assert len(pages) > 1
    for number, page in enumerate(pages, 1):
        assert f"page {number} of {len(pages)}" in " ".join(page.extract_text().split())


def test_the_same_report_is_the_same_bytes_in_another_process() -> None:
    """Neither the clock, nor the zone, nor the order of a hash is in a PDF."""
    for seed, zone in (("1", "UTC"), ("2", "Asia/Shanghai")):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "TZ": zone}
        done = subprocess.run(
            [sys.executable, "-c", MAKE_ONE], env=environment, capture_output=True, check=True
        )
        assert done.stdout == made("dropped", "zh")


def test_what_no_font_has_is_written_out() -> None:
    """An emoji or a rare character is on the paper as its number; nothing is an empty box."""
    assert within_fonts("a→中ж😀") == "a→中ж\\U0001f600"
    named = replace(samples.healthy(), source=Endpoint("x", "10.0.0.1", "pod", "shop/😀"))
    text = words(pdf.render_pdf(incident_context(named, messages(), About("t"))))
    assert "shop/\\U0001f600" in text.replace(" ", "")


def test_the_fonts_have_every_word_of_the_tables() -> None:
    """No heading or label in any language needs a character that is not in the package."""
    for lang in LANGUAGES:
        known = messages(lang)
        said = [
            *known.texts.values(),
            *(text for entry in known.findings.values() for text in entry.values()),
        ]
        said += [*known.phrases.values(), *(pattern.said for pattern in known.patterns)]
        assert [text for text in said if within_fonts(text) != text] == []


def test_fonts_have_their_licences_beside_them() -> None:
    """Every font file is there, with the licence of its family."""
    folder = font_file(FACES[0]).parent
    assert {file.name for file in folder.glob("*.ttf")} == {face.file for face in FACES}
    assert {"LICENSE-DejaVu", "LICENSE-WenQuanYi"} <= {file.name for file in folder.iterdir()}


def test_missing_libraries_are_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where WeasyPrint cannot be loaded, the error says what to install and what works without."""
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    pdf._weasyprint.cache_clear()
    with pytest.raises(
        UsageError, match=r"^PDF needs Pango.*\(on Debian: apt-get install .*; or write \.html\)$"
    ):
        pdf._weasyprint()
    pdf._weasyprint.cache_clear()


@needs_poppler
def test_the_first_page_is_drawn_with_the_verdict_in_its_colour() -> None:
    """A page that is rendered is neither blank nor black, and a failure is red on it."""
    done = subprocess.run(
        ["pdftoppm", "-r", "40", "-f", "1", "-l", "1", "-"],
        input=made("dropped"),
        capture_output=True,
        check=True,
    )
    _, _, pixels = done.stdout.split(b"\n", 2)
    body = pixels.partition(b"\n")[2]
    colours = [body[place : place + 3] for place in range(0, len(body), 3)]
    white = sum(colour == b"\xff\xff\xff" for colour in colours) / len(colours)
    red = sum(colour[:1] > b"\x90" and colour[1:2] < b"\x30" and colour[2:] < b"\x40" for colour in colours)
    assert 0.4 < white < 0.97
    assert red > 50
