"""What the grammar may draw, row by row. A row that the model does not decide yet is switched off here.

To widen the grammar, delete a row of ``NOT_YET``. ``python -m tests.kernel --with NAME`` tries one out.
"""

from __future__ import annotations

NOT_YET: dict[str, str] = {
    "family:6": "neighbour discovery is not walked through ip6tables and nft yet",
    "nft:bridge": "tables of the bridge family are not walked at every hook yet",
}
"""Each row: the name of a theme, match, target or flow, and what stands in its way."""
