"""The map of a redaction: the key, and what was replaced by what. Who has it can undo the redaction."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from skoopctl.errors import EvidenceError
from skoopctl.evidence.redaction.words import Length, Redactor, Span
from skoopctl.evidence.untrusted import parse_object

SCHEMA = "skoopctl.redaction-map/1"
MAX_MAP_BYTES = 1 << 30
_KEY_BYTES = 32
_SECTIONS = ("addresses", "names", "keys")


@dataclass(frozen=True, slots=True)
class RedactionMap:
    """A key, what it is to keep, and its replacements so far.

    ``used`` tells whether a bundle was redacted with it: from then on the permutation of addresses is fixed.
    ``ranges`` and ``carried`` are what it was fitted to.
    """

    key: bytes = field(repr=False)
    keep_names: bool = False
    used: bool = False
    ranges: frozenset[Span] = frozenset()
    carried: frozenset[Length] = frozenset()
    replacements: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)

    def redactor(self) -> Redactor:
        """Return what replaces as this map says."""
        made = Redactor(self.key, self.keep_names)
        made.pin(self.ranges, self.carried)
        made.names.learn(self.replacements.get("names", {}))
        made.seen_addresses.update(self.replacements.get("addresses", {}))
        made.seen_keys.update(self.replacements.get("keys", {}))
        return made

    def with_replacements(self, redactor: Redactor) -> RedactionMap:
        """Return the map after a bundle was redacted."""
        return replace(self, used=True, replacements=redactor.seen())


def new_map(*, seed: str | None = None, keep_names: bool = False) -> RedactionMap:
    """Return a map with a new key. The same ``seed`` gives the same key: who can guess it can undo the redaction."""
    key = secrets.token_bytes(_KEY_BYTES) if seed is None else hashlib.sha256(seed.encode()).digest()
    return RedactionMap(key, keep_names)


def write_map(path: Path, made: RedactionMap) -> None:
    """Write a map that only its owner may read, and never over a file that is there. Raises `EvidenceError`."""
    document = {
        "schema": SCHEMA,
        "key": made.key.hex(),
        "keep_names": made.keep_names,
        "ranges": sorted(made.ranges),
        "carried": sorted(made.carried),
        **{section: dict(sorted(made.replacements.get(section, {}).items())) for section in _SECTIONS},
    }
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
            json.dump(document, file, indent=1)
            file.write("\n")
    except FileExistsError:
        raise EvidenceError(
            f"{path}: a map is there already", hint="move it away, or use it with --map"
        ) from None
    except OSError as error:
        raise EvidenceError(f"{path}: the map cannot be written: {error.strerror}") from error


def read_map(path: Path | str) -> RedactionMap:
    """Read a map. Raises `EvidenceError` that names the file and what is wrong with it."""
    try:
        found = parse_object(Path(path).read_bytes(), max_bytes=MAX_MAP_BYTES)
        return _map(found)
    except OSError as error:
        raise EvidenceError(f"{path}: the map cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EvidenceError(f"{path}: is no map of a redaction: {error}") from error


def _map(found: dict[str, Any]) -> RedactionMap:
    if found.get("schema") != SCHEMA:
        raise ValueError(f"its schema is {found.get('schema')!r}, this skoopctl reads {SCHEMA!r}")
    key = bytes.fromhex(found["key"])
    if len(key) != _KEY_BYTES:
        raise ValueError(f"a key of {len(key)} bytes")
    return RedactionMap(
        key,
        bool(found["keep_names"]),
        used=True,
        ranges=frozenset((int(version), int(first), int(last)) for version, first, last in found["ranges"]),
        carried=frozenset((int(version), int(length)) for version, length in found["carried"]),
        replacements={section: _texts(found[section]) for section in _SECTIONS},
    )


def _texts(value: dict[Any, Any]) -> dict[str, str]:
    return {str(old): str(new) for old, new in value.items()}
