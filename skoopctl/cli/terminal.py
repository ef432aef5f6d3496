"""What standard output is: a terminal, how wide, and whether it is to be in colour; or a pipe or a file."""

from __future__ import annotations

import os
import shutil
import sys

_NARROWEST, _WIDEST = 60, 120
"""Columns; longer lines are not read with ease."""
_OF_A_FILE = 100


def in_color() -> bool:
    """Return whether text may have colours (https://no-color.org)."""
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def text_width() -> int:
    """Return how many columns a text for people may take."""
    if not sys.stdout.isatty():
        return _OF_A_FILE
    return min(max(shutil.get_terminal_size().columns, _NARROWEST), _WIDEST)
