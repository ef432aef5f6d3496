"""Reading and writing ``.skoop`` files (`skoopctl.evidence.bundle` says what is in them)."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from skoopctl.errors import EvidenceError
from skoopctl.evidence.bundle import Bundle, HostRecord
from skoopctl.evidence.frames import MAX_ITEM_BYTES
from skoopctl.evidence.item import HostEvidence, Item, ItemStatus
from skoopctl.evidence.untrusted import parse_object
from skoopctl.transport.base import HostStatus

SCHEMA = "skoopctl.bundle/1"
MANIFEST = "manifest.json"

MAX_MANIFEST_BYTES = 256 << 20
MAX_BUNDLE_BYTES = 4 << 30
MAX_MEMBERS = 1_000_000

COMPRESSION = 1
WORTH_COMPRESSING = 2048
"""Most items are smaller, and setting up a compressor costs more time than it saves bytes."""

_EPOCH = (1980, 1, 1, 0, 0, 0)


def write_bundle(path: Path | str, bundle: Bundle) -> None:
    """Write a bundle: ``path`` is either the old file or the whole new one, and only its owner may read it.

    Raises `EvidenceError` when the folder cannot be written.
    """
    target = Path(path)
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                write_to(file, bundle)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise EvidenceError(
            f"{target}: the bundle cannot be written: {error.strerror}",
            hint="choose another file with --output",
        ) from error


def write_to(file: IO[bytes], bundle: Bundle) -> None:
    """Write a bundle into an open file."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=COMPRESSION) as archive:
        members = _Members(archive)
        hosts = {name: members.of_host(name, bundle.results[name]) for name in sorted(bundle.results)}
        for kind in sorted(bundle.cluster):
            members.add(f"cluster/{kind}.json", bundle.cluster[kind])
        # Without an indent: json writes that in C, ten times as fast, and a bundle of many hosts has a long one.
        manifest = _manifest(bundle, [hosts[name] for name in bundle.results])
        members.add(MANIFEST, json.dumps(manifest, sort_keys=True).encode())


@dataclass(slots=True)
class _Packed:
    """A compressor whose work was done on the node: half of the time that writing a bundle takes.

    zipfile takes no data that is compressed already; it asks an object of this shape (zlib.compressobj's) for it.
    A zlib stream is a deflate stream between a header of two bytes and a checksum of four (RFC 1950).
    """

    stream: bytes

    def compress(self, _data: bytes) -> bytes:
        """Return the deflate stream of the whole member, which is written in one piece."""
        return self.stream[2:-4]

    def flush(self) -> bytes:
        """Nothing is left."""
        return b""


class _Members:
    """The members of an archive that is being written. The same bytes are kept once: pods resemble each other."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._by_hash: dict[str, str] = {}

    def add(self, name: str, data: bytes, packed: bytes = b"") -> None:
        """Add a member without anything of this machine or this moment; ``packed`` is it as a zlib stream."""
        info = zipfile.ZipInfo(name, _EPOCH)
        worth = len(data) >= WORTH_COMPRESSING
        info.compress_type = zipfile.ZIP_DEFLATED if worth else zipfile.ZIP_STORED
        info.external_attr = 0o600 << 16
        if not worth or not packed:
            self._archive.writestr(info, data)
            return
        with self._archive.open(info, "w") as member:
            member._compressor = _Packed(packed)  # type: ignore[attr-defined]  # noqa: SLF001
            member.write(data)

    def of_host(self, name: str, record: HostRecord) -> dict[str, Any]:
        """Add the items of a host, in its own order; return the host's entry of the manifest."""
        folder = _folder(name)
        return {
            "name": name,
            "status": record.status,
            "detail": record.detail,
            "address": record.address,
            "elapsed_s": round(record.elapsed_s, 4),
            "began_s": None if record.began_s is None else round(record.began_s, 4),
            "complete": record.evidence.complete,
            "problem": record.evidence.problem,
            "items": [self._item(folder, item) for item in record.evidence.items.values()],
        }

    def _item(self, folder: str, item: Item) -> dict[str, Any]:
        """Add an item unless the same bytes are there already; return its entry."""
        entry = {
            "netns": item.netns,
            "name": item.name,
            "status": item.status,
            "detail": item.detail,
            "ms": item.elapsed_ms,
            **_size_and_hash(item.payload),
        }
        if item.payload:
            own = f"{folder}/{item.netns}/{item.name}"
            kept = self._by_hash.setdefault(entry["sha256"], own)
            if kept is own:
                self.add(own, item.payload, item.packed)
            else:
                entry["member"] = kept
        return entry


def read_bundle(path: Path | str) -> Bundle:
    """Read a bundle. Raises `EvidenceError` that names the file and what is wrong with it."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _Reader(str(path), archive).bundle()
    except FileNotFoundError:
        raise EvidenceError(
            f"{path}: there is no such bundle", hint="make one with skoopctl collect -o FILE"
        ) from None
    except IsADirectoryError:
        raise EvidenceError(f"{path}: is a folder, not a bundle") from None
    except PermissionError as error:
        raise EvidenceError(
            f"{path}: cannot be read: {error.strerror}", hint="a bundle is readable by its owner"
        ) from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, ValueError) as error:
        raise EvidenceError(
            f"{path}: not a whole skoopctl bundle: {error}", hint="was it cut while it was copied?"
        ) from error


def _folder(host: str) -> str:
    """Return the folder of a host's members; its name may hold anything, a path may not."""
    return f"hosts/{quote(host, safe='') if host.strip('.') else host.replace('.', '%2E')}"


def _manifest(bundle: Bundle, hosts: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "tool_version": bundle.tool_version,
        "created": bundle.created.astimezone(UTC).isoformat(),
        "inventory": bundle.inventory,
        "hosts": hosts,
        "cluster": {kind: _size_and_hash(data) for kind, data in bundle.cluster.items()},
        "cluster_problem": bundle.cluster_problem,
        # Only where it is true: other bundles have the bytes that they always had.
        **({"redacted": True} if bundle.redacted else {}),
    }


def _size_and_hash(data: bytes) -> dict[str, Any]:
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


class _Reader:
    """One archive being read; every error it raises names the file."""

    def __init__(self, path: str, archive: zipfile.ZipFile) -> None:
        self.path = path
        self.archive = archive
        self.members = self._checked_members()

    def bundle(self) -> Bundle:
        """Return the bundle, every item checked against its hash."""
        manifest = self._manifest()
        try:
            return Bundle(
                results=dict(self._hosts(manifest["hosts"])),
                cluster={
                    str(kind): self._member(f"cluster/{kind}.json", entry)
                    for kind, entry in manifest["cluster"].items()
                },
                cluster_problem=str(manifest["cluster_problem"]),
                inventory=str(manifest["inventory"]),
                created=datetime.fromisoformat(manifest["created"]),
                tool_version=str(manifest["tool_version"]),
                redacted=bool(manifest.get("redacted", False)),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise self._error(f"{MANIFEST} lacks something or has it in another form: {error}") from error

    def _error(self, message: str, hint: str = "") -> EvidenceError:
        return EvidenceError(f"{self.path}: {message}", hint=hint)

    def _checked_members(self) -> Mapping[str, zipfile.ZipInfo]:
        """Refuse an archive that is built to hurt whoever unpacks it."""
        infos = self.archive.infolist()
        if len(infos) > MAX_MEMBERS or sum(info.file_size for info in infos) > MAX_BUNDLE_BYTES:
            raise self._error("unpacks to more than any bundle holds; it was not made by skoopctl")
        for info in infos:
            parts = info.filename.split("/")
            if info.filename.startswith("/") or "\\" in info.filename or ".." in parts:
                raise self._error(f"holds the path {info.filename!r}; it was not made by skoopctl")
        return {info.filename: info for info in infos}

    def _manifest(self) -> dict[str, Any]:
        if MANIFEST not in self.members:
            raise self._error(f"a zip file without {MANIFEST}; it was not made by skoopctl collect")
        manifest = parse_object(self._read(MANIFEST, MAX_MANIFEST_BYTES), max_bytes=MAX_MANIFEST_BYTES)
        schema = manifest.get("schema")
        if schema != SCHEMA:
            raise self._error(
                f"bundle schema {schema!r}, this skoopctl reads {SCHEMA!r}",
                hint=f"skoopctl {manifest.get('tool_version', '?')} wrote it: use that or a newer one",
            )
        return manifest

    def _hosts(self, entries: list[dict[str, Any]]) -> Iterator[tuple[str, HostRecord]]:
        for entry in entries:
            name = str(entry["name"])
            items = {}
            folder = _folder(name)
            for row in entry["items"]:
                item = self._item(folder, row)
                items[item.netns, item.name] = item
            evidence = HostEvidence(name, items, bool(entry["complete"]), str(entry["problem"]))
            record = HostRecord(
                HostStatus(entry["status"]),
                str(entry["detail"]),
                evidence,
                float(entry["elapsed_s"]),
                str(entry["address"]),
                None if entry.get("began_s") is None else float(entry["began_s"]),
            )
            yield name, record

    def _item(self, folder: str, row: dict[str, Any]) -> Item:
        netns, name = int(row["netns"]), str(row["name"])
        member = str(row.get("member") or f"{folder}/{netns}/{name}")
        payload = self._member(member, row) if row["size"] else b""
        return Item(netns, name, ItemStatus(row["status"]), payload, str(row["detail"]), float(row["ms"]))

    def _member(self, name: str, entry: dict[str, Any]) -> bytes:
        """Return a member that must be what the manifest says."""
        if name not in self.members:
            raise self._error(f"{name} is in the manifest, but not in the file")
        data = self._read(name, MAX_ITEM_BYTES)
        if hashlib.sha256(data).hexdigest() != entry["sha256"]:
            raise self._error(f"{name} is not what was collected: its SHA-256 differs")
        return data

    def _read(self, name: str, limit: int) -> bytes:
        if self.members[name].file_size > limit:
            raise self._error(f"{name} is larger than {limit} bytes; it was not made by skoopctl")
        try:
            with self.archive.open(self.members[name]) as file:
                return file.read(limit)
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
            raise self._error(
                f"{name} is damaged: {error}", hint="was the file cut while it was copied?"
            ) from error
