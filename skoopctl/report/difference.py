"""The difference of two bundles for a person at a terminal: by host, namespace and kind, and what was not seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from skoopctl.changes import Change, Difference, Section, Sign, Unseen
from skoopctl.report.terminal import Line, Span, line, painted

_STYLES = {Sign.ADDED: "good", Sign.REMOVED: "bad", Sign.CHANGED: "warn", Sign.MOVED: "warn"}
_CLUSTER = "Kubernetes objects"
_MOVES = 8
"""Rules of one chain that moved and are shown one by one."""
_NAMED = 3
"""Namespaces that are named where the same part of several was not seen."""


def render_difference(found: Difference, *, color: bool = False) -> str:
    """Return a difference as text that ends in a newline. Raw lines are never wrapped, so that they can be copied."""
    lines: list[Line] = []
    for host, sections in groupby((s for s in found.sections if s.changes), key=lambda section: section.host):
        lines.append(line(Span(host or _CLUSTER, "bold")))
        for section in sections:
            lines += _section(section)
        lines.append(())
    lines += _unseen(found)
    lines.append(line(summary_sentence(found)))
    return painted(lines, color=color)


def summary_sentence(found: Difference) -> str:
    """Return the sentence that a difference ends with."""
    scope = f"{_count(found.hosts, 'host')} with {_count(found.namespaces, 'network namespace')}"
    scope += " and the Kubernetes objects" if found.objects else ""
    counts = [f"{found.counts[sign]} {sign.value}" for sign in Sign if found.counts[sign]]
    sentence = f"{', '.join(counts) if counts else 'No difference'} in {scope}"
    if found.unseen:
        sentence += f"; {_count(found.unseen, 'part')} could not be compared"
    return f"{sentence}."


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _section(section: Section) -> Iterator[Line]:
    depth = "  " if section.namespace else ""
    if section.namespace:
        yield line(f"  {section.namespace}")
    for title, changes in groupby(section.changes, key=lambda change: change.place or change.kind):
        yield line(f"{depth}  ", Span(title, "fact"))
        for change in changes:
            yield line(
                f"{depth}    ", Span(f"{change.sign.mark} {change_words(change)}", _STYLES[change.sign])
            )


def change_words(change: Change) -> str:
    """Return what changed, without its sign."""
    if change.fields:
        subject = change.text.partition(": ")[0]
        return f"{subject}: {', '.join(f'{name} {old} → {new}' for name, old, new in change.fields)}"
    if change.before:
        return f"{change.before}  →  {change.text}"
    if change.sign is Sign.MOVED:
        return f"{change.number_before} → {change.number}: {change.text}"
    return f"{change.number}: {change.text}" if change.number else change.text


def _unseen(found: Difference) -> Iterator[Line]:
    """Yield what one side could not see: one line where the same is true of many namespaces."""
    groups: dict[tuple[str, str, str], list[tuple[str, Unseen]]] = {}
    for section in found.sections:
        for each in section.unseen:
            key = section.host, each.part, each.reason.removeprefix(f"{each.part}: ")
            groups.setdefault(key, []).append((section.namespace, each))
    if groups:
        yield line(Span("Not seen, and so not compared", "bold"))
    for (host, part, reason), members in groups.items():
        sides = " and ".join(sorted({each.side for _, each in members}))
        withheld = sum(each.withheld for _, each in members)
        where = _places(host, [namespace for namespace, _ in members])
        more = f" ({withheld} of the other's are not shown)" if withheld else ""
        yield line("  ", Span(f"? {where}{part}: not seen in {sides}: {reason}{more}", "warn"))
    if groups:
        yield ()


def _places(host: str, namespaces: Iterable[str]) -> str:
    names = [name for name in dict.fromkeys(namespaces) if name]
    shown = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    return " ".join(word for word in (host, shown) if word) + (": " if host or shown else "")
