r"""What nodes said, made safe to show: one function for terminals, one for XML.

Names and rules come from machines that may be hostile. Everything that is not printable (control and
format characters, bidirectional overrides, lone surrogates) is written out as ``\x1b`` or ``\u202e``:
it stays visible, as evidence, and does nothing.
"""

from __future__ import annotations

_XML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})


def escape_terminal(text: str) -> str:
    """Return ``text`` with every character that a terminal might act upon written out."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else written_out(char) for char in text)


def escape_xml(text: str) -> str:
    """Return ``text`` for use in XML's character data or in a quoted attribute."""
    return escape_terminal(text).translate(_XML)


def clip(text: str, limit: int) -> str:
    """Return at most ``limit`` characters of ``text``, and say how many were left out."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}… ({len(text) - limit:,} more characters)"


def shorten(text: str, limit: int) -> str:
    """Return ``text`` in at most ``limit`` characters, with an ellipsis where it was cut."""
    return text if len(text) <= limit else text[: max(limit - 1, 0)] + "…"


def written_out(char: str) -> str:
    r"""Return a character as its number: ``\x1b``, ``\u202e``; the ends of lines by their letters."""
    code = ord(char)
    if char in "\n\t\r":
        return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}[char]
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
