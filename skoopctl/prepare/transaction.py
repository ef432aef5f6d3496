"""What a package manager says that it would do, read from its own simulation in the locale C."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Transaction:
    """Names of packages that would come, go, or be replaced by another version.

    ``nothing`` is true when the package manager says in words that there is nothing to do: what was asked for may be
    there under another name.
    """

    new: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()
    replaced: frozenset[str] = frozenset()
    nothing: bool = False


def apt(text: str) -> Transaction:
    """Read ``apt-get -s``: ``Inst NAME [OLD] (NEW …)``, ``Remv NAME``, ``Purg NAME``."""
    found = _nothing()
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        name, _, more = rest.partition(" ")
        if word in {"Remv", "Purg"}:
            found["gone"].add(name)
        elif word == "Inst":
            found["replaced" if more.startswith("[") else "new"].add(name)
    return _transaction(found, text)


def dnf(text: str) -> Transaction:
    """Read the table of ``dnf --assumeno``: headings without indentation, one space before a package's name."""
    found = _nothing()
    section = ""
    for line in text.splitlines():
        if line[:1].strip():
            section = _dnf_section(line)
        elif section and re.match(r" \S", line):
            found[section].add(line.split()[0])
    return _transaction(found, text)


def _dnf_section(heading: str) -> str:
    if not heading.rstrip().endswith(":") or heading.startswith("Transaction"):
        return ""
    if heading.startswith("Installing"):
        return "new"
    return "gone" if heading.startswith("Removing") else "replaced"


def zypper(text: str) -> Transaction:
    """Read ``zypper --dry-run``: a sentence that ends with a colon, then names, indented, until an empty line."""
    found = _nothing()
    section = ""
    for line in text.splitlines():
        if line.startswith("The following") and line.rstrip().endswith(":"):
            section = "new" if " NEW " in line else "gone" if "REMOVED" in line else "replaced"
            section = "" if "recommended" in line or "suggested" in line else section
        elif not line.startswith(" "):
            section = ""
        elif section:
            found[section].update(line.split())
    return _transaction(found, text)


_APK = re.compile(r"\(\s*\d+/\d+\) (\w+) (\S+) \(")
_APK_SETS: Mapping[str, str] = {"Installing": "new", "Purging": "gone"}


def apk(text: str) -> Transaction:
    """Read ``apk --simulate``: ``(1/3) Installing NAME (VERSION)``."""
    found = _nothing()
    for action, name in _APK.findall(text):
        found[_APK_SETS.get(action, "replaced")].add(name)
    return _transaction(found, text)


def _nothing() -> dict[str, set[str]]:
    return {"new": set(), "gone": set(), "replaced": set()}


def _transaction(found: Mapping[str, set[str]], text: str) -> Transaction:
    new, gone, replaced = (frozenset(found[name]) for name in ("new", "gone", "replaced"))
    return Transaction(new, gone, replaced, nothing="Nothing to do" in text)
