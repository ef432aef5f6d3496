"""docs/metrics.md and the published schema are those of the code."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from skoopctl.events.metrics import EVENT_METRICS
from skoopctl.probes.catalogue import METRICS, PROBES
from skoopctl.probes.thresholds import THRESHOLDS
from skoopctl.pushing.self_metrics import SELF_METRICS

ROOT = Path(__file__).parents[3]


def test_the_page_is_fresh() -> None:
    """docs/metrics.md is what the catalogue prints; otherwise: make docs."""
    words = [sys.executable, "-m", "docs.metrics", "--check"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_metric_probe_and_threshold_is_documented() -> None:
    """Each has its place on the page, in the tables' order."""
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert re.findall(r"^### (\S+)$", page, re.MULTILINE) == list(PROBES)
    rows = re.findall(r"^\| `([\w-]+)` \|", page, re.MULTILINE)
    assert rows == [*METRICS, *EVENT_METRICS, *THRESHOLDS, *SELF_METRICS]


def test_the_published_schema_is_the_packaged_one() -> None:
    """The schema in docs/ is byte for byte the one that ships in the package."""
    name = "probe-list-1.schema.json"
    published = (ROOT / "docs" / "schema" / name).read_bytes()
    assert published == (ROOT / "skoopctl" / "probes" / name).read_bytes()
