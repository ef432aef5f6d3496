"""An event as one flat JSON object, as ``event-1.schema.json`` describes it: JSON lines, and what Loki keeps.

What is not known is left out. Times and sizes are integers; ``time`` is for people, ``wall_ns`` for programs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from importlib import resources
from operator import attrgetter
from typing import Any

from skoopctl.events.event import End, EndKind, Event, InnerPacket
from skoopctl.events.words import line_of

SCHEMA = "skoopctl.event/1"
SCHEMA_FILE = "event-1.schema.json"
DETAIL = "details_"
"""What stands before the names of what one probe alone tells: LogQL's ``json`` would call it so too."""
_ZERO_IS_A_VALUE = frozenset({"latency_ns", "cpu"})
_KEPT = 4096
"""Texts of each group of members that are kept: in a flood, events differ in time and ports and little else."""
_END = "9999-12-31T23:59:59"
_MAX_S = int(datetime.fromisoformat(_END).replace(tzinfo=UTC).timestamp())

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_encoded = _ENCODER.encode
_NO_NAME = re.compile(r"[^A-Za-z0-9_]")

Json = dict[str, Any]


def event_to_json(event: Event) -> Json:
    """Return an event as one object without objects in it."""
    found: Json = json.loads(event_line(event))
    return found


def event_line(event: Event) -> str:
    """Return an event as one line of JSON, without the line's end."""
    return f"{{{_members(event)}}}"


def told_line(event: Event) -> str:
    """Return the same with the event in words as ``says``, for logs that people read."""
    return f'{{"says":{_encoded(line_of(event))},{_members(event)}}}'


def _members(event: Event) -> str:
    """Return what stands between the braces. It is put together from texts that were made for events before."""
    time = rfc3339(event.wall_ns)
    return "".join(
        (
            f'"time":"{time}",' if time else "",
            f'"wall_ns":{event.wall_ns},"mono_ns":{event.mono_ns}',
            *(written(event) for written in _GROUPS),
            _end("source", event.source) if event.source is not None else "",
            _end("destination", event.destination) if event.destination is not None else "",
            _inner(event.inner) if event.inner is not None else "",
            _calls(event.calls) if event.calls else "",
            _details(event.details) if event.details else "",
        )
    )


def _group(*names: str, always: bool = False) -> Callable[[Event], str]:
    """Return what writes some members of an event, each with a comma before it, if they are known."""
    values_of = attrgetter(*names)

    @lru_cache(maxsize=_KEPT)
    def text(values: tuple[Any, ...]) -> str:
        return "".join(
            f',"{name}":{_encoded(value)}'
            for name, value in zip(names, values, strict=True)
            if always or value or (name in _ZERO_IS_A_VALUE and value is not None)
        )

    return lambda event: text(values_of(event))


_GROUPS = (
    _group("node", "probe", "kind", "backend", always=True),
    _group("namespace", "pod", "doubt", "reason", "hook", "function", "error"),
    _group("latency_ns", "cpu", "pid", "task"),
    _group("protocol", "tcp_flags", "tcp_state", "length", "fragment", "undecided"),
    _group("device", "ifindex", "ethertype", "netns", "cgroup"),
)


def _end(side: str, end: End) -> str:
    port = f',"{side}_port":{end.port}' if end.port else ""
    whose = _whose(side, end.kind.value, end.namespace, end.name, end.node)
    return f',"{side}_address":{_encoded(end.address)}{port}{whose}'


@lru_cache(maxsize=_KEPT)
def _whose(side: str, kind: str, namespace: str, name: str, node: str) -> str:
    told = {
        "kind": kind if kind != EndKind.UNKNOWN else "",
        "namespace": namespace,
        "name": name,
        "node": node,
    }
    return "".join(f',"{side}_{key}":{_encoded(value)}' for key, value in told.items() if value)


def _inner(inner: InnerPacket) -> str:
    told = {
        "tunnel": inner.tunnel,
        "id": inner.id,
        "protocol": inner.protocol,
        "tcp_flags": inner.tcp_flags,
        "fragment": inner.fragment,
    }
    known = (f',"inner_{name}":{_encoded(value)}' for name, value in told.items() if _is_told(value))
    ends = (("inner_source", inner.source), ("inner_destination", inner.destination))
    return "".join((*known, *(_end(side, end) for side, end in ends)))


def _is_told(value: object) -> bool:
    """Return whether something is known: the number 0 is."""
    return value is not None and value is not False and value != ""


@lru_cache(maxsize=_KEPT)
def _calls(calls: tuple[str, ...]) -> str:
    return f',"calls":{_encoded(list(calls))}'


def _details(details: Mapping[str, str | int]) -> str:
    named = {DETAIL + (_NO_NAME.sub("_", name) or "_"): detail for name, detail in details.items()}
    return f",{_encoded(named)[1:-1]}"


def schema() -> Json:
    """Return the JSON Schema (2020-12) of an event."""
    text = resources.files("skoopctl.events").joinpath(SCHEMA_FILE).read_text(encoding="utf-8")
    loaded: Json = json.loads(text)
    return loaded


def rfc3339(wall_ns: int) -> str:
    """Return nanoseconds since 1970 as a time in UTC with nine decimals, or nothing where no calendar has it."""
    seconds, rest = divmod(wall_ns, 1_000_000_000)
    return f"{_second(seconds)}.{rest:09d}Z" if 0 <= seconds <= _MAX_S else ""


@lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"
