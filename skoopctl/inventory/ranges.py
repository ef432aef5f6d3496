"""Ranges in host names, as Ansible writes them: ``node[01:50]``, ``rack[a:c]-[1:9:2]``."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

RANGE = r"\[([A-Za-z0-9]+):([A-Za-z0-9]+)(?::([0-9]+))?\]"
MOST_HOSTS = 100_000
"""A range that makes more names than this is a typing error."""


class RangeError(ValueError):
    """A bracket in a host name is not a range."""


def expand(name: str) -> list[str]:
    """Return the names that ``name`` stands for: itself when it holds no range."""
    if "[" not in name:
        return [name]
    parts = re.split(RANGE, name)
    literal = parts[0::4]
    if any("[" in text or "]" in text for text in literal):
        raise RangeError(f"{name!r} holds a bracket that is not a range such as [01:50] or [a:f]")
    choices = [_members(name, *parts[i : i + 3]) for i in range(1, len(parts), 4)]
    total = 1
    for choice in choices:
        total *= len(choice)
    if total > MOST_HOSTS:
        raise RangeError(f"{name!r} stands for {total} hosts, more than {MOST_HOSTS}")
    return list(_join(literal, choices))


def _join(literal: list[str], choices: list[list[str]]) -> Iterator[str]:
    for chosen in itertools.product(*choices):
        pieces = [literal[0]]
        for member, text in zip(chosen, literal[1:], strict=True):
            pieces += (member, text)
        yield "".join(pieces)


def _members(name: str, first: str, last: str, step_text: str | None) -> list[str]:
    step = int(step_text or 1)
    if step < 1:
        raise RangeError(f"{name!r}: the step of a range must be 1 or more")
    if first.isdigit() and last.isdigit():
        low, high = int(first), int(last)
        if len(first) > 1 and first.startswith("0") and len(first) != len(last):
            raise RangeError(f"{name!r}: {first} and {last} must have the same number of digits")
        width = len(first) if first.startswith("0") else 0
        highest = min(high, low + MOST_HOSTS * step)
        members = [str(number).zfill(width) for number in range(low, highest + 1, step)]
    elif len(first) == len(last) == 1 and first.isalpha() and last.isalpha():
        members = [chr(code) for code in range(ord(first), ord(last) + 1, step)]
    else:
        raise RangeError(f"{name!r}: {first}:{last} is neither a range of numbers nor one of letters")
    if not members:
        raise RangeError(f"{name!r}: the range {first}:{last} is empty")
    return members
