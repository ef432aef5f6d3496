"""Turn models into plain JSON, so that expected results can be kept in files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from skoopctl.kernel.nft import NftRule


def plain(value: Any) -> Any:
    """Return dictionaries, lists and scalars; fields with their default are left out."""
    if is_dataclass(value) and not isinstance(value, type):
        shown = {f.name: getattr(value, f.name) for f in fields(value) if getattr(value, f.name) != f.default}
        if isinstance(value, NftRule):
            del shown["source"]
            shown |= {"statements": value.statements, "text": value.text}
        return {type(value).__name__: {name: plain(each) for name, each in shown.items()}}
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, tuple | list | frozenset):
        return [plain(each) for each in value]
    if isinstance(value, bool | int | float | None):
        return value
    return str(value)


def expect(path: Path, found: Any) -> None:
    """Compare with the expected JSON beside a raw file."""
    expected = json.loads(path.with_suffix(".json").read_text())
    assert plain(found) == expected
