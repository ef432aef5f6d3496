"""/proc/net/sockstat and sockstat6 (net/ipv4/proc.c: sockstat_seq_show).

``inuse`` and ``tw`` are of the namespace. ``orphan``, ``alloc`` and ``mem`` are of the whole node, whichever namespace
the file is read in: only the host's namespace gives the last two.
"""

from __future__ import annotations

from collections.abc import Sequence

from skoopctl.probes.decode.rows import Decode, Rows, Value, text_of, whole

_OF_THE_NODE = frozenset({"alloc", "mem"})


def compile_sockstat(fields: Sequence[str]) -> Decode:
    """Make a decoder of ``inuse tw alloc mem`` out of sockstat and sockstat6."""

    def decode(netns: int, host: bool, items: Sequence[bytes | None]) -> Rows:
        first, second = items
        if not first:
            return []
        found: dict[str, Value] = dict(_words(first, "TCP:"))
        if second is None:  # not known, as opposed to a kernel without IPv6
            found.pop("inuse", None)
        elif second:
            sixth = _words(second, "TCP6:").get("inuse", "")
            found["inuse"] = whole(str(found.get("inuse", ""))) + whole(sixth)
        row = (_value(found.get(field)) if host or field not in _OF_THE_NODE else None for field in fields)
        return [(netns, tuple(row))]

    return decode


def _words(payload: bytes, head: str) -> dict[str, str]:
    """Return the pairs of the line that begins with ``head``. Raises ValueError when there is none."""
    for line in text_of(payload).split("\n"):
        if line.startswith(head):
            words = line.split()
            return dict(zip(words[1::2], words[2::2], strict=False))
    raise ValueError(f"no line {head}")


def _value(found: Value) -> Value:
    return whole(found) if isinstance(found, str) else found
