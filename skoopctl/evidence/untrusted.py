"""Text and JSON from nodes, which may be hostile: bounded, flat, printable."""

from __future__ import annotations

import json
from typing import Any, NoReturn


def printable(text: str, limit: int = 300) -> str:
    """Return ``text`` on one line, without control characters or lone surrogates, cut at ``limit``."""
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    if cut.isprintable():
        return cut
    return "".join(char if char.isprintable() else " " if char in "\t\r\n" else "�" for char in cut)


def parse_json(data: bytes, *, max_bytes: int) -> Any:
    """Parse JSON; ValueError for anything too large, too deep, not finite or not JSON."""
    if len(data) > max_bytes:
        raise ValueError(f"{len(data)} bytes of JSON, at most {max_bytes} expected")
    try:
        return _DECODER.decode(data.decode("utf-8", "surrogatepass"))
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None


def parse_object(data: bytes, *, max_bytes: int) -> dict[str, Any]:
    """Parse a JSON object; ValueError otherwise."""
    parsed = parse_json(data, max_bytes=max_bytes)
    if not isinstance(parsed, dict):
        raise ValueError("a JSON object was expected")  # noqa: TRY004 - one error type for hostile input
    return parsed


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)
"""Made once: `json.loads` makes one for every call that refuses anything, and an answer has a hundred frames."""
