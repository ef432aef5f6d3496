"""``python -m skoopctl`` is the program ``skoopctl``."""

from __future__ import annotations

from skoopctl.cli import script

if __name__ == "__main__":
    script()
