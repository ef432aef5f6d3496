"""Bundles on disk: what is written is read again, and what is not a bundle is named."""

from __future__ import annotations

import json
import stat
import zipfile
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skoopctl.errors import EvidenceError
from skoopctl.evidence import (
    Bundle,
    HostEvidence,
    HostRecord,
    Item,
    ItemStatus,
    bundle_file,
    read_bundle,
    write_bundle,
)
from skoopctl.transport.base import HostStatus

WHEN = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)

item = st.builds(
    Item,
    netns=st.integers(0, 2**64 - 1),
    name=st.from_regex(r"[a-z0-9][a-z0-9_-]{0,20}", fullmatch=True),
    status=st.sampled_from(ItemStatus),
    payload=st.binary(max_size=200),
    detail=st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    elapsed_ms=st.floats(0, 1e6),
)
host_name = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12) | st.sampled_from(
    [".", "..", "a/b", "../../etc", "node 1", "C:\\x", "节点"]
)


@st.composite
def bundles(draw: st.DrawFn) -> Bundle:
    """Draw a whole bundle."""
    results = {}
    for name in draw(st.lists(host_name, unique=True, max_size=4)):
        items = {(each.netns, each.name): each for each in draw(st.lists(item, max_size=5))}
        evidence = HostEvidence(name, items, draw(st.booleans()), "cut")
        results[name] = HostRecord(draw(st.sampled_from(HostStatus)), "why", evidence, 1.5, began_s=0.25)
    return Bundle(results, {"pods": b'{"items": []}'}, "", "inventory.yaml", WHEN, "0.0.1")


@pytest.fixture
def sample() -> Bundle:
    """Return a bundle of two hosts, one of which said nothing."""
    link = Item(4026531840, "link", ItemStatus.OK, b"\x01" * 3000, "", 0.5)
    nft = Item(4026531840, "nft", ItemStatus.ABSENT, b"", "no tables: module nf_tables is not loaded")
    told = HostEvidence("node1", {(link.netns, "link"): link, (nft.netns, "nft"): nft})
    silent = HostRecord(
        HostStatus.UNREACHABLE, "refused", HostEvidence("node2", {}, complete=False, problem="no answer")
    )
    results = {"node1": HostRecord(HostStatus.OK, "", told, 0.25), "node2": silent}
    return Bundle(results, {"nodes": b"{}"}, "", "lab.yaml", WHEN)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bundle=bundles())
def test_round_trip(bundle: Bundle, tmp_path: Path) -> None:
    """A bundle that is written is read again as it was, whatever hosts are called."""
    write_bundle(tmp_path / "b.skoop", bundle)
    assert read_bundle(tmp_path / "b.skoop") == bundle


def test_same_bundle_same_bytes(sample: Bundle, tmp_path: Path) -> None:
    """Writing the same evidence twice gives the same file."""
    write_bundle(tmp_path / "a.skoop", sample)
    write_bundle(tmp_path / "b.skoop", sample)
    assert (tmp_path / "a.skoop").read_bytes() == (tmp_path / "b.skoop").read_bytes()


def test_layout_is_the_documented_one(sample: Bundle, tmp_path: Path) -> None:
    """The members are the manifest, raw items by host and inode, and the cluster's lists."""
    write_bundle(tmp_path / "b.skoop", sample)
    with zipfile.ZipFile(tmp_path / "b.skoop") as archive:
        assert archive.namelist() == ["hosts/node1/4026531840/link", "cluster/nodes.json", "manifest.json"]
        assert archive.read("hosts/node1/4026531840/link") == b"\x01" * 3000
        manifest = json.loads(archive.read("manifest.json"))
    assert manifest["schema"] == "skoopctl.bundle/1"
    assert manifest["hosts"][0]["items"][1]["status"] == "absent"
    assert len(manifest["hosts"][0]["items"][0]["sha256"]) == 64


def test_the_same_bytes_are_kept_once(tmp_path: Path) -> None:
    """Two items with the same payload share a member, and both are read back in the host's own order."""
    items = [Item(netns, "rule", ItemStatus.OK, b"the same" * 9) for netns in (9, 7)]
    evidence = HostEvidence("node1", {(item.netns, item.name): item for item in items})
    bundle = Bundle(results={"node1": HostRecord(HostStatus.OK, "", evidence)})
    write_bundle(tmp_path / "b.skoop", bundle)
    with zipfile.ZipFile(tmp_path / "b.skoop") as archive:
        assert [name for name in archive.namelist() if name.startswith("hosts/")] == ["hosts/node1/9/rule"]
    read = read_bundle(tmp_path / "b.skoop").results["node1"].evidence
    assert list(read.items.values()) == items
    assert read.namespaces() == [9, 7]


def test_evidence_is_not_in_a_repr() -> None:
    """The repr of a record is short whatever it holds: asyncio makes one of every result, and logs may too."""
    item = Item(1, "link", ItemStatus.OK, b"x" * 100_000)
    evidence = HostEvidence("node1", {(1, "link"): item})
    assert len(repr(HostRecord(HostStatus.OK, "", evidence)) + repr(item)) < 1000


def test_only_the_owner_may_read_it(sample: Bundle, tmp_path: Path) -> None:
    """A bundle tells of a whole network: its mode is 0600."""
    write_bundle(tmp_path / "b.skoop", sample)
    assert stat.S_IMODE((tmp_path / "b.skoop").stat().st_mode) == 0o600


def test_failed_write_leaves_the_old_file(
    sample: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When writing breaks in the middle the old bundle is whole and no temporary file is left."""
    write_bundle(tmp_path / "b.skoop", sample)
    before = (tmp_path / "b.skoop").read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bundle_file, "write_to", full)
    with pytest.raises(EvidenceError, match=r"b\.skoop: the bundle cannot be written: No space"):
        write_bundle(tmp_path / "b.skoop", sample)
    assert (tmp_path / "b.skoop").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["b.skoop"]


def test_coverage_names_who_is_missing(sample: Bundle) -> None:
    """The coverage sentence counts hosts and names those that are missing."""
    assert sample.coverage() == "1 of 2 hosts collected (node2 unreachable)"
    assert (sample.collected, sample.whole) == (1, 1)


def edited(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """Return a step that rewrites the manifest of a bundle."""

    def apply(path: Path) -> None:
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        manifest = json.loads(members["manifest.json"])
        change(manifest)
        members["manifest.json"] = json.dumps(manifest).encode()
        rewritten(path, members)

    return apply


def rewritten(path: Path, members: dict[str, bytes]) -> None:
    """Write a zip file with these members."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def damaged(path: Path) -> None:
    """Flip a byte in the compressed data of the last member."""
    data = bytearray(path.read_bytes())
    at = data.find(b"hosts/node1/4026531840/link") + 40
    data[at] ^= 0xFF
    path.write_bytes(data)


def bomb(path: Path) -> None:
    """Write a member that unpacks to more than any item may."""
    write = {"manifest.json": b"{}", "hosts/x/1/link": b"\0" * (300 << 20)}
    rewritten(path, write)


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "text": (lambda path: path.write_text("hello"), "not a whole skoopctl bundle"),
    "empty": (lambda path: path.write_bytes(b""), "not a whole skoopctl bundle"),
    "cut": (lambda path: path.write_bytes(path.read_bytes()[:-60]), "not a whole skoopctl bundle"),
    "damaged": (damaged, "link is (damaged|not what)"),
    "no manifest": (lambda path: rewritten(path, {"a.txt": b""}), "without manifest.json"),
    "manifest no JSON": (
        lambda path: rewritten(path, {"manifest.json": b"{"}),
        "not a whole skoopctl bundle",
    ),
    "manifest nested": (lambda path: rewritten(path, {"manifest.json": b"[" * 99999}), "nested too deeply"),
    "traversal": (
        lambda path: rewritten(path, {"../../etc/cron.d/x": b"", "manifest.json": b"{}"}),
        "holds the path",
    ),
    "absolute": (
        lambda path: rewritten(path, {"/etc/passwd": b"", "manifest.json": b"{}"}),
        "holds the path",
    ),
    "newer": (
        edited(lambda m: m.update(schema="skoopctl.bundle/2", tool_version="9.0")),
        "skoopctl 9.0 wrote it",
    ),
    "no hosts": (edited(lambda m: m.pop("hosts")), "lacks something"),
    "odd hosts": (edited(lambda m: m.update(hosts=[1])), "lacks something"),
    "odd status": (edited(lambda m: m["hosts"][0].update(status="splendid")), "not a whole skoopctl bundle"),
    "wrong hash": (edited(lambda m: m["hosts"][0]["items"][0].update(sha256="0" * 64)), "SHA-256 differs"),
    "missing member": (edited(lambda m: m["hosts"][0]["items"][1].update(size=3)), "but not in the file"),
    "folder": (lambda path: (path.unlink(), path.mkdir()), "is a folder"),
    "gone": (lambda path: path.unlink(), "there is no such bundle"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_bundle_is_named(kind: str, sample: Bundle, tmp_path: Path) -> None:
    """A file that is not a whole bundle is one error that names the file and what is wrong."""
    path = tmp_path / "b.skoop"
    write_bundle(path, sample)
    spoil, said = BAD[kind]
    spoil(path)
    with pytest.raises(EvidenceError, match=said) as caught:
        read_bundle(path)
    assert str(path) in str(caught.value)
    assert caught.value.exit_code == 2


def test_cut_anywhere_is_an_evidence_error(sample: Bundle, tmp_path: Path) -> None:
    """A bundle cut at any byte is never read as if it were whole."""
    path = tmp_path / "b.skoop"
    write_bundle(path, sample)
    whole = path.read_bytes()
    for cut in range(0, len(whole), 7):
        path.write_bytes(whole[:cut])
        with pytest.raises(EvidenceError):
            read_bundle(path)


def test_bombs_are_refused_by_their_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive that would unpack to more than a bundle may hold is refused before it is unpacked."""
    monkeypatch.setattr(bundle_file, "MAX_BUNDLE_BYTES", 200 << 20)
    path = tmp_path / "b.skoop"
    bomb(path)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(EvidenceError, match="unpacks to more"):
        read_bundle(path)


def test_item_larger_than_any_is_refused(
    sample: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One member that is larger than any item is refused before it is unpacked."""
    write_bundle(tmp_path / "b.skoop", sample)
    monkeypatch.setattr(bundle_file, "MAX_ITEM_BYTES", 100)
    with pytest.raises(EvidenceError, match="larger than 100 bytes"):
        read_bundle(tmp_path / "b.skoop")


def test_what_the_node_has_packed_is_not_packed_again(tmp_path: Path) -> None:
    """The member is the node's own deflate stream, and reads back as the same payload; any zip tool can read it."""
    payload = bytes(range(256)) * 100
    packer = zlib.compressobj(1, zlib.DEFLATED, 13, 5)
    packed = packer.compress(payload) + packer.flush()
    item = Item(7, "link", ItemStatus.OK, payload, packed=packed)
    bundle = Bundle({"n1": HostRecord(HostStatus.OK, "", HostEvidence("n1", {(7, "link"): item}))})
    file = tmp_path / "b.skoop"
    write_bundle(file, bundle)
    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        info = archive.getinfo("hosts/n1/7/link")
        assert (info.file_size, info.compress_size) == (len(payload), len(packed) - 6)
        assert archive.read(info) == payload
    again = read_bundle(file).results["n1"].evidence.items[7, "link"]
    assert again == item
