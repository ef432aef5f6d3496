"""What the grammar may draw, row by row. A row that the model does not decide yet is switched off here.

To widen the grammar, delete a row of ``NOT_YET``. ``python -m tests.kernel --with NAME`` tries one out.
"""

from __future__ import annotations

NOT_YET: dict[str, str] = {}
"""Each row: the name of a theme, match, target or option, and what stands in its way."""
