"""A host as an inventory names it: ``node[01:50]``, ``name:port``, ``[fd00::1]:22``."""

from __future__ import annotations

import re
from pathlib import Path

from skoopctl.inventory import values
from skoopctl.inventory.ranges import RangeError, expand
from skoopctl.inventory.tree import Place

_PORT = re.compile(r"^(?P<name>\[[0-9A-Fa-f:.%]+\]|[^:\[\]]+|[^:]*\[.+\][^:]*):(?P<port>\d+)$")
_RANGE_END = re.compile(r"\[[^\]]*$")
_BRACKETED = re.compile(r"\[[0-9A-Fa-f:.%]+\]")


def read_hosts(text: str, place: Place) -> tuple[list[str], int | None]:
    """Return the names that ``text`` stands for and the port behind them, if one is written."""
    name, port = _split_port(text, place)
    try:
        names = expand(name)
    except RangeError as error:
        raise place.error(f"host {error}") from None
    if not name or name.startswith(("-", "!", "&", "~", "@")) or re.search(r"[\s,*?\x00-\x1f\x7f/]", name):
        raise place.error(f"{name!r} cannot be a host's name")
    return names, port


def _split_port(text: str, place: Place) -> tuple[str, int | None]:
    """Split Ansible's ``name:port`` and ``[v6]:port``; the colon of a range is not one."""
    found = _PORT.match(text)
    if found is None or _RANGE_END.search(found["name"]):
        return (text.strip("[]") if _BRACKETED.fullmatch(text) and text.count(":") > 1 else text), None
    try:
        port = values.port(found["port"], Path())
    except values.VariableError as error:
        raise place.error(f"host {text!r}: {error}") from None
    name = found["name"]
    return (name[1:-1] if name.startswith("[") else name), port
