"""What the workstation remembers of nodes that were prepared."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from skoopctl.errors import UsageError
from skoopctl.prepare.record import Prepared, Record

ENTRY = Prepared("node1", "0" * 32, "apt")


@pytest.fixture
def record(tmp_path: Path) -> Record:
    """Return a record whose folder is not there yet."""
    return Record(tmp_path / "state" / "prepared.json")


def test_what_was_installed_is_found_again(record: Record) -> None:
    """Once the end of an installation is known, what came is on record and nothing is pending."""
    record.begin(ENTRY, ("a", "b"), ("b",))
    assert record.find("node1", "0" * 32) == Prepared("node1", "0" * 32, "apt", (), ("a", "b"), ("b",))
    record.finish(ENTRY, ("a",), ("a", "b"))
    assert record.find("node1", "0" * 32) == Prepared("node1", "0" * 32, "apt", ("a",), (), ("b",))


def test_a_second_installation_adds(record: Record) -> None:
    """What an earlier run has installed stays on record."""
    for name in ("a", "b"):
        record.begin(ENTRY, (name,), ())
        record.finish(ENTRY, (name,), (name,))
    assert record.of_node("node1")[0].packages == ("a", "b")


def test_a_machine_of_which_nothing_is_left_is_forgotten(record: Record) -> None:
    """When the last package is gone, so is the entry."""
    record.finish(ENTRY, ("a", "b"), ())
    record.removed(ENTRY, ("a",))
    assert record.of_node("node1")[0].packages == ("b",)
    record.removed(ENTRY, ("b",))
    assert record.of_node("node1") == []


def test_machines_of_one_name_are_apart(record: Record) -> None:
    """A node that was set up anew has an entry of its own."""
    record.finish(ENTRY, ("a",), ())
    assert record.find("node1", "1" * 32) is None


def test_only_the_owner_may_read_it(record: Record) -> None:
    """File and folder are the user's alone, and nothing else is left beside the lock."""
    record.finish(ENTRY, ("a",), ())
    assert record.path.stat().st_mode & 0o777 == 0o600
    assert record.path.parent.stat().st_mode & 0o777 == 0o700
    assert {file.name for file in record.path.parent.iterdir()} == {"prepared.json", "prepared.json.lock"}


def test_two_at_a_time_lose_nothing(record: Record) -> None:
    """Nodes that end at the same moment are all on record."""
    threads = [
        threading.Thread(target=record.finish, args=(Prepared(f"node{n}", "0" * 32, "apt"), ("a",), ()))
        for n in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [n for n in range(20) if not record.of_node(f"node{n}")] == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"schema": "skoopctl.prepared/9", "nodes": []}',
        '{"schema": "skoopctl.prepared/1", "nodes": [{"node": "a"}]}',
        '{"schema": "skoopctl.prepared/1", "nodes": [{"node": 1, "machine_id": "", "manager": "", "packages": [],'
        ' "pending": [], "configured": []}]}',
    ],
    ids=["empty", "list", "newer", "short", "number"],
)
def test_a_damaged_record_is_an_error_and_stays(record: Record, text: str) -> None:
    """What cannot be read is not taken for 'nothing', and is not written over."""
    record.path.parent.mkdir()
    record.path.write_text(text)
    with pytest.raises(UsageError, match=r"prepared\.json"):
        record.of_node("node1")
    with pytest.raises(UsageError):
        record.finish(ENTRY, ("a",), ())
    assert record.path.read_text() == text


def test_it_stands_where_the_state_of_programs_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """XDG_STATE_HOME counts when it is absolute; otherwise it is ~/.local/state."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", "/var/state")
    assert Record().path == Path("/var/state/skoopctl/prepared.json")
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert Record().path == tmp_path / ".local/state/skoopctl/prepared.json"
