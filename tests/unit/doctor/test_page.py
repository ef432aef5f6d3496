"""docs/doctor.md and the published schema are those of the code."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from skoopctl.doctor.catalogue import CHECKS

ROOT = Path(__file__).parents[3]


def test_the_page_is_fresh() -> None:
    """docs/doctor.md is what the table of checks prints; otherwise: make docs."""
    words = [sys.executable, "-m", "docs.doctor", "--check"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_check_is_documented() -> None:
    """Each check has a section of its own on the page, in the table's order."""
    page = (ROOT / "docs" / "doctor.md").read_text(encoding="utf-8")
    assert re.findall(r"^### (\S+)$", page, re.MULTILINE) == list(CHECKS)


def test_every_check_says_all_of_itself() -> None:
    """No check lacks what it needs, how it is judged, or what to do."""
    silent = [
        check.id for check in CHECKS.values() if not all((check.title, check.needs, check.judged, check.fix))
    ]
    assert silent == []


def test_the_published_schema_is_the_packaged_one() -> None:
    """The schema in docs/ is byte for byte the one that ships in the package."""
    name = "doctor-1.schema.json"
    published = (ROOT / "docs" / "schema" / name).read_bytes()
    assert published == (ROOT / "skoopctl" / "doctor" / name).read_bytes()
