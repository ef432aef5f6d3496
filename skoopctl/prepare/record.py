"""What skoopctl has installed on which node, kept on the workstation, so that it can take exactly that away.

The file is ``$XDG_STATE_HOME/skoopctl/prepared.json`` (``~/.local/state`` without it), mode 0600, written whole and
renamed; a lock beside it keeps two runs from losing each other's words.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from skoopctl.errors import UsageError

SCHEMA = "skoopctl.prepared/1"
FILE_MODE, FOLDER_MODE = 0o600, 0o700


@dataclass(frozen=True, slots=True)
class Prepared:
    """One machine: known by the name that the inventory has for it, and by its own /etc/machine-id.

    ``packages`` are ids of the package manager that were not there before. ``pending`` were about to be installed,
    and it was not heard how that ended; they were not there before either. Of ``configured``, settings were.
    """

    node: str
    machine_id: str
    manager: str
    packages: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()
    configured: tuple[str, ...] = ()


class Record:
    """The file. Reading and writing raise a :class:`~skoopctl.errors.UsageError` that names it."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or _default_path()

    def find(self, node: str, machine_id: str) -> Prepared | None:
        """Return what is known of one machine."""
        return self._read().get((node, machine_id))

    def of_node(self, node: str) -> list[Prepared]:
        """Return what is known under a name: of more than one machine, if a node was set up anew."""
        return [entry for (name, _), entry in self._read().items() if name == node]

    def begin(self, entry: Prepared, pending: tuple[str, ...], configured: tuple[str, ...]) -> None:
        """Note what is about to be installed, before it is."""
        with self._changing() as entries:
            old = entries.get((entry.node, entry.machine_id), entry)
            entries[entry.node, entry.machine_id] = replace(
                old,
                pending=_union(old.pending, pending),
                configured=_union(old.configured, configured),
            )

    def finish(self, entry: Prepared, installed: tuple[str, ...], settled: tuple[str, ...]) -> None:
        """Note what has come, and that nothing of ``settled`` is pending any more."""
        with self._changing() as entries:
            old = entries.get((entry.node, entry.machine_id), entry)
            left = tuple(name for name in old.pending if name not in settled)
            found = replace(old, packages=_union(old.packages, installed), pending=left)
            self._put(entries, found)

    def removed(self, entry: Prepared, gone: tuple[str, ...]) -> None:
        """Note that packages are no longer there; a machine of which nothing is left is forgotten."""
        with self._changing() as entries:
            old = entries.get((entry.node, entry.machine_id), entry)
            left = replace(
                old,
                packages=tuple(each for each in old.packages if each not in gone),
                pending=tuple(each for each in old.pending if each not in gone),
            )
            self._put(entries, left)

    @staticmethod
    def _put(entries: dict[tuple[str, str], Prepared], entry: Prepared) -> None:
        if entry.packages or entry.pending:
            entries[entry.node, entry.machine_id] = entry
        else:
            entries.pop((entry.node, entry.machine_id), None)

    def _read(self) -> dict[tuple[str, str], Prepared]:
        try:
            found = _entries(json.loads(self.path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError) as error:
            hint = (
                "it says what skoopctl has installed: repair it, or move it away and remove packages by hand"
            )
            raise UsageError(f"{self.path}: is not what skoopctl writes: {error}", hint=hint) from None
        return {(entry.node, entry.machine_id): entry for entry in found}

    @contextmanager
    def _changing(self) -> Iterator[dict[tuple[str, str], Prepared]]:
        """Yield the entries and write them back, while nobody else does."""
        self.path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            entries = self._read()
            yield entries
            self._write(entries)
        finally:
            os.close(lock)

    def _write(self, entries: dict[tuple[str, str], Prepared]) -> None:
        rows = [asdict(entries[key]) for key in sorted(entries)]
        text = json.dumps({"schema": SCHEMA, "nodes": rows}, indent=2) + "\n"
        descriptor, name = tempfile.mkstemp(dir=self.path.parent, prefix=".prepared-")  # 0600 by itself
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self.path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def _default_path() -> Path:
    state = os.environ.get("XDG_STATE_HOME", "")
    folder = Path(state) if state.startswith("/") else Path.home() / ".local" / "state"
    return folder / "skoopctl" / "prepared.json"


def _entries(raw: dict[str, Any]) -> list[Prepared]:
    if raw["schema"] != SCHEMA:
        raise ValueError(f"its schema is {raw['schema']!r}")
    return [_entry(row) for row in raw["nodes"]]


def _entry(row: dict[str, Any]) -> Prepared:
    node, machine_id, manager = (row[key] for key in ("node", "machine_id", "manager"))
    lists = [row[key] for key in ("packages", "pending", "configured")]
    texts = [node, machine_id, manager, *(each for names in lists for each in names)]
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("a text was expected")
    return Prepared(node, machine_id, manager, *(tuple(names) for names in lists))


def _union(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted({*first, *second}))
