"""A host pattern taken apart: pieces joined by ``,`` or ``:``, each with its sign; ``@file`` is a file of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from skoopctl.errors import InventoryError
from skoopctl.inventory.files import at_home, read_text
from skoopctl.inventory.tree import Place

# A colon separates patterns unless it stands in brackets, or the whole text is one IPv6 address.
_COLON = r":(?![^\[]*\])"
_IPV6 = r"^[0-9A-Fa-f]*:[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*(%\w+)?$"


class Piece(NamedTuple):
    """One name, group, glob, range or regular expression; ``sign`` is ``""``, ``!`` (not) or ``&`` (also)."""

    text: str
    sign: str = ""
    place: Place | None = None
    """The line of the ``@file`` that says so."""


def pieces_of(pattern: str) -> list[Piece]:
    """Take a pattern apart. Raises `InventoryError` for an ``@file`` that cannot be read or says nothing."""
    return list(_pieces(pattern, None))


def _pieces(pattern: str, place: Place | None) -> Iterator[Piece]:
    for text in _texts(pattern):
        if text.startswith("@"):
            if place is not None:
                raise place.error(f"{text}: a file of patterns cannot name another one")
            yield from _from_file(text)
        else:
            sign = text[0] if text[0] in "!&" else ""
            yield Piece(text[len(sign) :].strip(), sign, place)


def _from_file(text: str) -> Iterator[Piece]:
    """Yield the pieces of a file: a pattern a line, ``#`` comments."""
    path = at_home(text[1:])
    content = read_text(path, missing=f"{text} names a file of host patterns")
    empty = True
    for number, line in enumerate(content.splitlines(), 1):
        pattern = line.partition("#")[0].strip()
        for piece in _pieces(pattern, Place(str(path), number)):
            empty = False
            yield piece
    if empty:
        raise InventoryError("the file holds no host pattern", path=str(path), hint="write one a line")


def _texts(pattern: str) -> list[str]:
    if "," in pattern:
        texts = pattern.split(",")
    elif re.match(_IPV6, pattern.strip()) or pattern.lstrip("!&").startswith(("~", "@")):
        texts = [pattern]
    else:
        texts = re.split(_COLON, pattern)
    stripped = (text.strip() for text in texts)
    return [text for text in stripped if text.strip("!&@ ")]
