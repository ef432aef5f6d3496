"""An event as one flat JSON object, as ``event-1.schema.json`` describes it: JSON lines, and what Loki keeps.

What is not known is left out. Times and sizes are integers; ``time`` is for people, ``wall_ns`` for programs.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from importlib import resources
from operator import attrgetter
from typing import Any

from skoopctl.events.event import End, EndKind, Event, InnerPacket
from skoopctl.events.words import line_of

SCHEMA = "skoopctl.event/1"
SCHEMA_FILE = "event-1.schema.json"
DETAIL = "details_"
"""What stands before the names of what one probe alone tells: LogQL's ``json`` would call it so too."""
_ALWAYS = ("wall_ns", "mono_ns", "node", "probe", "kind", "backend")
_IF_KNOWN = (
    "namespace",
    "pod",
    "doubt",
    "reason",
    "hook",
    "function",
    "error",
    "latency_ns",
    "protocol",
    "tcp_flags",
    "tcp_state",
    "length",
    "fragment",
    "undecided",
    "device",
    "ifindex",
    "ethertype",
    "netns",
    "cgroup",
    "cpu",
    "pid",
    "task",
)
_ALL_ALWAYS, _ALL_IF_KNOWN = attrgetter(*_ALWAYS), attrgetter(*_IF_KNOWN)
_ZERO_IS_A_VALUE = frozenset({"latency_ns", "cpu"})
_END = "9999-12-31T23:59:59"
_MAX_S = int(datetime.fromisoformat(_END).replace(tzinfo=UTC).timestamp())

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_NO_NAME = re.compile(r"[^A-Za-z0-9_]")

Json = dict[str, Any]


def event_to_json(event: Event) -> Json:
    """Return an event as one object without objects in it."""
    found: Json = {}
    if time := rfc3339(event.wall_ns):
        found["time"] = time
    found.update(zip(_ALWAYS, _ALL_ALWAYS(event), strict=True))
    for name, value in zip(_IF_KNOWN, _ALL_IF_KNOWN(event), strict=True):
        if value or (name in _ZERO_IS_A_VALUE and value is not None):
            found[name] = value
    for side, end in (("source", event.source), ("destination", event.destination)):
        if end is not None:
            _add_end(found, side, end)
    if event.inner is not None:
        _add_inner(found, event.inner)
    if event.calls:
        found["calls"] = list(event.calls)
    for name, detail in event.details.items():
        found[DETAIL + (_NO_NAME.sub("_", name) or "_")] = detail
    return found


def event_line(event: Event) -> str:
    """Return an event as one line of JSON, without the line's end."""
    return _ENCODER.encode(event_to_json(event))


def told_line(event: Event) -> str:
    """Return the same with the event in words as ``says``, for logs that people read."""
    return _ENCODER.encode({"says": line_of(event), **event_to_json(event)})


def schema() -> Json:
    """Return the JSON Schema (2020-12) of an event."""
    text = resources.files("skoopctl.events").joinpath(SCHEMA_FILE).read_text(encoding="utf-8")
    loaded: Json = json.loads(text)
    return loaded


def rfc3339(wall_ns: int) -> str:
    """Return nanoseconds since 1970 as a time in UTC with nine decimals, or nothing where no calendar has it."""
    seconds, rest = divmod(wall_ns, 1_000_000_000)
    if not 0 <= seconds <= _MAX_S:
        return ""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def _add_end(found: Json, side: str, end: End) -> None:
    found[f"{side}_address"] = end.address
    if end.port:
        found[f"{side}_port"] = end.port
    if end.kind is not EndKind.UNKNOWN:
        found[f"{side}_kind"] = end.kind.value
    for name, value in (("namespace", end.namespace), ("name", end.name), ("node", end.node)):
        if value:
            found[f"{side}_{name}"] = value


def _add_inner(found: Json, inner: InnerPacket) -> None:
    found["inner_tunnel"] = inner.tunnel
    if inner.id is not None:
        found["inner_id"] = inner.id
    for name, value in (
        ("protocol", inner.protocol),
        ("tcp_flags", inner.tcp_flags),
        ("fragment", inner.fragment),
    ):
        if value:
            found[f"inner_{name}"] = value
    _add_end(found, "inner_source", inner.source)
    _add_end(found, "inner_destination", inner.destination)
