"""What decoders give: rows of values, each for one namespace, one pod or one device."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

Value = str | int | None
"""A whole number, as such or as its checked decimal digits; None: not known, and never shown as 0."""

Key = int | str | tuple[str, ...]
"""Of what a row is: a namespace by its inode, a pod by its UID ("" for the node's own), or a device by its names."""

Rows = list[tuple[Key, tuple[Value, ...]]]

Decode = Callable[[int, bool, Sequence[bytes | None]], Rows]
"""Makes rows out of one namespace's items.

It is given the namespace's inode (`HOST` for what belongs to no namespace), whether that is the host's, and the
source's items in order: None is one that is not known, b"" one that the node does not have. ValueError says why the
items cannot be read.
"""

Compile = Callable[[Sequence[str]], Decode]
"""Makes a decoder that fills these fields, in this order."""

_WHOLE = re.compile(r"-?[0-9]{1,20}")
_SURELY_FINITE = 300


def checked(tokens: tuple[str, ...]) -> tuple[Value, ...]:
    """Return tokens that are whole numbers as they are: nothing else a node says may come onto a page.

    Raises ValueError for anything that is not a number of at most 20 digits; the usual case costs one comparison.
    """
    joined = "".join(tokens)
    if len(joined) <= _SURELY_FINITE and joined.isascii() and joined.isdigit() and "" not in tokens:
        return tokens
    return tuple(whole(token) for token in tokens)


def whole(token: str) -> int:
    """Return a whole number in decimal digits. Raises ValueError."""
    if not _WHOLE.fullmatch(token):
        raise ValueError(f"{token[:30]!r} is not a number")
    return int(token)


def text_of(payload: bytes) -> str:
    """Return a file of the kernel as text. Raises ValueError when it is not ASCII."""
    try:
        return payload.decode("ascii")
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not ASCII") from None
