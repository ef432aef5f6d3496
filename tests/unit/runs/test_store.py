"""What is kept of runs: whole, for its owner only, no more than was asked for, and one run at a time."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from skoopctl.errors import UsageError
from skoopctl.evidence import Bundle, HostEvidence, HostRecord, Item, ItemStatus
from skoopctl.runs.store import Store, kept_files, state_folder
from skoopctl.transport.base import HostStatus


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return a store in a folder of its own."""
    return Store.of("nightly", "prod", tmp_path / "state")


def bundle(text: bytes = b"x") -> Bundle:
    """Return a bundle of one host with one item."""
    item = Item(7, "link", ItemStatus.OK, text)
    return Bundle({"n1": HostRecord(HostStatus.OK, "", HostEvidence("n1", {(7, "link"): item}))})


def keep(
    store: Store, second: int, *, runs: int = 30, bundles: int = 1, evidence: Bundle | None = None
) -> Path:
    """Keep a result that began at a second of a minute."""
    result = {"started": f"2026-11-30T02:00:{second:02}+00:00", "number": second}
    with store.locked():
        return store.keep(result, evidence, runs=runs, bundles=bundles)


def test_the_newest_result_is_the_last(store: Store) -> None:
    """Results are read back in the order of their time."""
    assert store.last() is None
    for second in (5, 9, 7):
        keep(store, second)
    last = store.last()
    assert last is not None
    assert last["number"] == 9


def test_only_so_many_are_kept(store: Store) -> None:
    """The oldest results and bundles go."""
    for second in range(6):
        keep(store, second, runs=3, bundles=2, evidence=bundle())
    names = sorted(path.name for path in store.folder.iterdir())
    assert [n for n in names if n.endswith(".json")] == [f"20261130T02000{n}Z.json" for n in (3, 4, 5)]
    assert [n for n in names if n.endswith(".skoop")] == [f"20261130T02000{n}Z.skoop" for n in (4, 5)]


def test_no_evidence_is_kept_where_none_is_wanted(store: Store) -> None:
    """0 bundles keep none, and delete what is there."""
    keep(store, 1, bundles=1, evidence=bundle())
    assert store.last_bundle() is not None
    keep(store, 2, bundles=0, evidence=bundle())
    assert store.last_bundle() is None


def test_two_runs_in_one_second_are_two(store: Store) -> None:
    """Neither overwrites the other, and the later is the last."""
    keep(store, 1)
    second = keep(store, 1)
    assert second.name == "20261130T020001Z-002.json"
    assert len(list(store.folder.glob("*.json"))) == 2


def test_only_the_owner_may_read(store: Store) -> None:
    """Folder 0700, files 0600: evidence shows a network's inside."""
    file = keep(store, 1, evidence=bundle())
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.with_suffix(".skoop").stat().st_mode) == 0o600


def test_damaged_files_are_passed_over(store: Store) -> None:
    """The newest result that can be read counts."""
    keep(store, 1)
    (store.folder / "20261130T030000Z.json").write_text("{", encoding="utf-8")
    (store.folder / "20261130T040000Z.json").write_text("[1]", encoding="utf-8")
    (store.folder / "20261130T050000Z.skoop").write_bytes(b"PK")
    last = store.last()
    assert last is not None
    assert last["number"] == 1
    assert store.last_bundle() is None


HOLD = """
import sys
from pathlib import Path
from skoopctl.runs.store import Store
with Store(Path(sys.argv[1])).locked():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_run_is_kept_out_and_told_who_runs(store: Store) -> None:
    """Another process holds the plan: one line with its pid; after its death, however it died, the plan is free."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(store.folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        with pytest.raises(
            UsageError, match=rf"is running on this cluster already: process {child.pid}, since"
        ):
            keep(store, 1)
        child.kill()
    keep(store, 1)


def test_plans_and_clusters_do_not_share(tmp_path: Path) -> None:
    """Names that are no file names become some, and stay apart and inside."""
    folders = {Store.of(plan, cluster, tmp_path).folder for plan in ("a", "b") for cluster in ("x", "y")}
    assert len(folders) == 4
    for name in ("../../etc", "..", ".", "", "a/b", "\x1b[2J"):
        folder = Store.of("p", name, tmp_path).folder
        assert folder.resolve().is_relative_to(tmp_path.resolve())
        assert folder.parent.name not in {"", ".", ".."}


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    """The state folder is a file: it says so, and how to choose another."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(UsageError, match=r"cannot be written: .*\(name a folder with --state-dir\)"):
        keep(Store.of("p", "c", tmp_path / "file"), 1)


def test_the_state_folder_is_xdgs(monkeypatch: pytest.MonkeyPatch) -> None:
    """XDG_STATE_HOME counts when it is absolute, as the specification says."""
    monkeypatch.setenv("XDG_STATE_HOME", "/var/state")
    assert state_folder() == Path("/var/state/skoopctl/runs")
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/op")
    assert state_folder() == Path("/home/op/.local/state/skoopctl/runs")


def test_a_result_is_whole_or_not_there(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk is full half-way, no result with half of its text is left as the last one."""
    keep(store, 1)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(UsageError, match="No space left on device"):
        keep(store, 2)
    monkeypatch.undo()
    last = store.last()
    assert last is not None
    assert last["number"] == 1
    assert json.dumps(last)
    assert os.listdir(store.folder)  # noqa: PTH208 - it is there at all


def test_the_last_of_several_runs_in_one_second_is_the_last(tmp_path: Path) -> None:
    """Whatever stands behind their time, runs are told in the order in which they were kept."""
    names = ["20260101T000000Z", "20260101T000000Z-002", "20260101T000000Z-010", "20260101T000001Z"]
    for name in reversed(names):
        (tmp_path / f"{name}.json").write_text("{}")
    (tmp_path / "lock").touch()
    assert [file.stem for file in kept_files(tmp_path)] == names
