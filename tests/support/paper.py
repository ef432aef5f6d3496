"""What drawing reports on paper needs of a machine."""

from __future__ import annotations

import shutil
from ctypes.util import find_library

import pytest

needs_pango = pytest.mark.skipif(
    find_library("pangoft2-1.0") is None, reason="needs Debian's libpangoft2-1.0-0 (.ci/packages)"
)
needs_poppler = pytest.mark.skipif(shutil.which("pdftoppm") is None, reason="needs poppler-utils")
