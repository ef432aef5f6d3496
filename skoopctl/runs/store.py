"""What is kept of runs, in the state folder of the user: results, the last evidence, and a lock a plan.

::

    $XDG_STATE_HOME/skoopctl/runs/CLUSTER/PLAN/lock
                                               20261130T023000Z.json     what --json prints
                                               20261130T023000Z.skoop    the evidence, of the last few runs
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from skoopctl.errors import EvidenceError, UsageError
from skoopctl.evidence.bundle import Bundle
from skoopctl.evidence.untrusted import parse_json

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_LARGEST_RESULT = 256 << 20


def state_folder() -> Path:
    """Return the folder that the XDG base directory specification gives for state."""
    given = os.environ.get("XDG_STATE_HOME", "")
    base = Path(given) if given.startswith("/") else Path("~/.local/state").expanduser()
    return base / "skoopctl" / "runs"


@dataclass(frozen=True, slots=True)
class Store:
    """The runs of one plan on one cluster. Only their owner may read them."""

    folder: Path

    @classmethod
    def of(cls, plan: str, cluster: str, base: Path | None = None) -> Store:
        """Return the store of a plan; nothing is made yet."""
        return cls((base or state_folder()) / _safe(cluster) / _safe(plan))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second run of the plan out; raise `UsageError` when there is one."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = (self.folder / "lock").open("a+", encoding="utf-8")
        except OSError as error:
            raise _unwritable(self.folder, error) from None
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                owner = lock.read(200).strip() or "another process"
                raise UsageError(
                    f"this plan is running on this cluster already: {owner}",
                    hint="wait for it, or end it; --state-dir gives a run a folder of its own",
                ) from None
            lock.truncate(0)
            lock.write(f"process {os.getpid()}, since {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC\n")
            lock.flush()
            yield

    def last(self) -> dict[str, Any] | None:
        """Return the newest result that can be read; None when there is none."""
        for file in reversed(self._files(".json")):
            try:
                return read_result(file)
            except EvidenceError:
                continue
        return None

    def last_bundle(self) -> Bundle | None:
        """Return the newest evidence that is kept and can be read; None when there is none."""
        from skoopctl.evidence import read_bundle  # noqa: PLC0415 - only --retry-failed reads one

        for file in reversed(self._files(".skoop")):
            try:
                return read_bundle(file)
            except EvidenceError:
                continue
        return None

    def keep(self, result: Mapping[str, Any], bundle: Bundle | None, *, runs: int, bundles: int) -> Path:
        """Write a result and its evidence, delete the oldest beyond what is kept, return the result's file."""
        from skoopctl.evidence import write_bundle  # noqa: PLC0415 - loads the rest of the room

        stem = self._free_stem(datetime.fromisoformat(str(result["started"])))
        file = self.folder / f"{stem}.json"
        try:
            _write(file, json.dumps(result).encode())
            if bundle is not None and bundles and bundle.collected:
                write_bundle(self.folder / f"{stem}.skoop", bundle)
            for suffix, number in ((".json", runs), (".skoop", bundles)):
                for old in self._files(suffix)[: -number or None]:
                    old.unlink(missing_ok=True)
        except OSError as error:
            raise _unwritable(self.folder, error) from None
        return file

    def _free_stem(self, started: datetime) -> str:
        stem = f"{started.astimezone(UTC):%Y%m%dT%H%M%SZ}"
        number = 1
        while (self.folder / f"{stem}.json").exists():
            number += 1
            stem = f"{stem.partition('-')[0]}-{number:03}"
        return stem

    def _files(self, suffix: str) -> list[Path]:
        """Return what is kept, oldest first."""
        return kept_files(self.folder, suffix)


def kept_files(folder: Path, suffix: str = ".json") -> list[Path]:
    """Return what is kept of a plan's runs in a folder, oldest first.

    Runs of one second are ``…Z.json``, ``…Z-002.json``: in the order of these names without what they end in.
    """
    found = (file for file in folder.glob(f"*{suffix}") if file.stem[:1].isdigit())
    return sorted(found, key=lambda file: file.stem)


def newest_result(folder: Path) -> Path:
    """Return the newest result that is kept in a folder. Raises `EvidenceError` that names the folder."""
    files = kept_files(folder)
    if not files:
        raise EvidenceError(
            f"{folder}: no run is kept there",
            hint="name a run's .json, the folder of one plan (CLUSTER/PLAN), or a bundle",
        )
    return files[-1]


def read_result(file: Path) -> dict[str, Any]:
    """Return what a result's file has, of whatever schema. Raises `EvidenceError` that names the file."""
    try:
        if file.stat().st_size > _LARGEST_RESULT:
            raise EvidenceError(f"{file}: larger than any run: {_LARGEST_RESULT >> 20} MiB is the most")
        found = parse_json(file.read_bytes(), max_bytes=_LARGEST_RESULT)
    except OSError as error:
        raise EvidenceError(f"{file}: cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise EvidenceError(f"{file}: not JSON: {error}", hint="was it cut while it was copied?") from None
    if not isinstance(found, dict):
        raise EvidenceError(f"{file}: not a run: it must be one object")
    return found


def _safe(name: str) -> str:
    return _UNSAFE.sub("_", name).strip(".") or "_"


def _write(file: Path, content: bytes) -> None:
    """Write a file that its owner alone may read: it is there whole, or not at all."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
    temporary.replace(file)


def _unwritable(folder: Path, error: OSError) -> UsageError:
    said = error.strerror or str(error)
    return UsageError(
        f"{folder}: what is kept of runs cannot be written: {said}", hint="name a folder with --state-dir"
    )
