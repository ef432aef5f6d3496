"""Things without an order of their own: routes, links, set members, objects. What came, went, and changed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from skoopctl.changes.model import Change, Sign, Unseen

NOTHING = "(none)"
_SIGNS = {Sign.REMOVED: "B", Sign.ADDED: "A"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing. Two entries with one ``subject`` are the same thing before and after.

    ``text`` is its line for people, and what is compared; with ``fields`` (name, value), a change names those
    that differ.
    """

    subject: str
    text: str
    fields: tuple[tuple[str, str], ...] = ()


def compare_entries(kind: str, a: Iterable[Entry], b: Iterable[Entry], place: str = "") -> list[Change]:
    """Return what differs, in the order of the subjects as A has them, then B's new ones."""
    before, after = Counter(a), Counter(b)
    gone, came = _by_subject(before - after), _by_subject(after - before)
    found: list[Change] = []
    for subject in dict.fromkeys((*gone, *came)):
        found += _one_subject(kind, place, gone.get(subject, []), came.get(subject, []))
    return found


def _by_subject(entries: Counter[Entry]) -> dict[str, list[Entry]]:
    found: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in entries.elements():
        found[entry.subject].append(entry)
    return found


def _one_subject(kind: str, place: str, gone: list[Entry], came: list[Entry]) -> Iterator[Change]:
    pairs = min(len(gone), len(came))
    for old, new in zip(gone, came, strict=False):
        yield Change(Sign.CHANGED, kind, new.text, place, old.text, _fields(old, new))
    for old in gone[pairs:]:
        yield Change(Sign.REMOVED, kind, old.text, place)
    for new in came[pairs:]:
        yield Change(Sign.ADDED, kind, new.text, place)


def _fields(old: Entry, new: Entry) -> tuple[tuple[str, str, str], ...]:
    a, b = dict(old.fields), dict(new.fields)
    names = dict.fromkeys((*a, *b))
    return tuple(
        (name, a.get(name) or NOTHING, b.get(name) or NOTHING)
        for name in names
        if a.get(name, "") != b.get(name, "")
    )


def withhold(part: str, changes: list[Change], gap_a: str, gap_b: str) -> tuple[list[Change], list[Unseen]]:
    """Take back what a gap on one side only makes look like a change.

    What B could not see is not removed, and what A could not see is not new. What stands on both sides is
    compared all the same.
    """
    unseen: list[Unseen] = []
    for side, reason in (("A", gap_a), ("B", gap_b)):
        if reason:
            hidden = sum(_SIGNS.get(change.sign) == side for change in changes)
            unseen.append(Unseen(side, part, reason, hidden))
            changes = [change for change in changes if _SIGNS.get(change.sign) != side]
    return changes, unseen
