"""Draw a report's first page, of the recorded demo, in both languages; with ``--check``, only say whether it is fresh.

``make readme`` runs it. Drawing needs poppler-utils. Its versions smooth letters differently, so a check compares
loosely: it fails when more than a fiftieth of the page is another colour.
"""

from __future__ import annotations

import subprocess
import sys
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageChops

from skoopctl.checks.diagnose import Question, diagnose
from skoopctl.checks.load import snapshot_of
from skoopctl.evidence import read_bundle
from skoopctl.lab.story import DESTINATION, PORT, SOURCE
from skoopctl.recorded import recorded_bundle
from skoopctl.report.incident import incident_context
from skoopctl.report.messages import LANGUAGES, messages
from skoopctl.report.pdf import render_pdf

PICTURES = Path(__file__).resolve().parent / "pictures"
DOTS_PER_INCH = 80
DIFFERENT, ALLOWED = 96, 0.02


def drawn(lang: str) -> bytes:
    """Return the first page of the broken moment's report as PNG."""
    snapshot = snapshot_of(read_bundle(recorded_bundle("broken")))
    diagnosis = diagnose(Question(SOURCE, DESTINATION, "tcp", PORT), snapshot)
    content = render_pdf(incident_context(diagnosis, messages(lang)))
    command = ["pdftoppm", "-r", str(DOTS_PER_INCH), "-singlefile", "-png", "-"]
    return subprocess.run(command, input=content, capture_output=True, check=True).stdout


def alike(one: bytes, other: bytes) -> bool:
    """Return whether two pictures show the same page."""
    pictures = [Image.open(BytesIO(content)).convert("L") for content in (one, other)]
    if pictures[0].size != pictures[1].size:
        return False
    changed = ImageChops.difference(*pictures).histogram()[DIFFERENT:]
    width, height = pictures[0].size
    return sum(changed) <= ALLOWED * width * height


def main() -> None:
    """Write the pictures, or check them."""
    for lang in LANGUAGES:
        file = PICTURES / f"report-{lang}.png"
        fresh = drawn(lang)
        if file.is_file() and alike(file.read_bytes(), fresh):
            continue
        if "--check" in sys.argv[1:]:
            sys.exit(f"{file}: stale: run 'make readme'")
        file.write_bytes(fresh)
        print(f"{file.name}: drawn")


if __name__ == "__main__":
    main()
