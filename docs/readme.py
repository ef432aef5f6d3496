"""Put the recorded demo's output and picture into README.md; with ``--check``, only say whether they are fresh.

Run it with ``make readme``. The same evidence gives the same text and picture, so a check is a comparison.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
PICTURE = ROOT / "docs" / "pictures" / "path.svg"
BEGIN, END = "<!-- demo:begin -->", "<!-- demo:end -->"


@dataclass(frozen=True, slots=True)
class Telling:
    """What one run of the recorded demo gave: its words and its picture of the broken path."""

    text: str
    picture: str


def tell() -> Telling:
    """Run ``skoopctl demo --recorded`` as anybody would, in a folder that is gone afterwards."""
    environment = {**os.environ, "NO_COLOR": "1", "PYTHONPATH": str(ROOT)}
    code = "from skoopctl.cli import main; main()"
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-c", code, "demo", "--recorded", "--picture", "path.svg"],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(f"skoopctl demo --recorded failed: {done.stderr.strip()}")
        return Telling(done.stdout, (Path(folder) / "path.svg").read_text(encoding="utf-8"))


def with_demo(readme: str, text: str) -> str:
    """Return the README with the demo's words between its marks."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"{README}: the marks {BEGIN} and {END} are not there: put them around the demo's output")
    return f"{before}{BEGIN}\n```text\n{text.strip()}\n```\n{END}{after}"


def main() -> None:
    """Write both, or check both."""
    told = tell()
    readme = README.read_text(encoding="utf-8")
    fresh = with_demo(readme, told.text)
    if "--check" not in sys.argv[1:]:
        README.write_text(fresh, encoding="utf-8")
        PICTURE.write_text(told.picture, encoding="utf-8")
    elif readme != fresh or not PICTURE.is_file() or PICTURE.read_text(encoding="utf-8") != told.picture:
        sys.exit(f"{README}: the demo's output or picture is stale: run 'make readme'")


if __name__ == "__main__":
    main()
