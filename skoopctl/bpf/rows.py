"""Events that are no records of eBPF: rows of JSON from probes that see otherwise. Nodes are not trusted."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

from skoopctl.bpf.catalogue import KINDS, BpfProbe
from skoopctl.bpf.events import Batch, BpfEvent, Delay, reason_name
from skoopctl.errors import EvidenceError
from skoopctl.evidence.untrusted import parse_object, printable

MAX_ROWS_BYTES = 8 << 20
MAX_EVENTS = 20_000
MAX_DETAILS = 32
_MAX_WORD = 128
_MAX_VALUE = 1024
"""A DNS name has 255 bytes, each of which may take four characters."""
_BITS = {
    "kind": 8,
    "mono_ns": 63,
    "netns": 32,
    "net_cookie": 64,
    "cgroup": 64,
    "ifindex": 31,
    "ethertype": 16,
    "protocol": 8,
    "source_port": 16,
    "destination_port": 16,
    "tcp_flags": 8,
    "tcp_state": 8,
    "length": 32,
    "reason": 32,
    "error": 31,
    "latency_ns": 63,
    "cpu": 31,
    "pid": 31,
}
"""How wide each number is at most. All are 0 where a row does not have them; an error is told without its sign."""
_WORDS = frozenset(("function", "hook", "task", "device"))
_ADDRESSES = frozenset(("source", "destination"))
_KNOWN = frozenset(_BITS) | _WORDS | _ADDRESSES | {"details", "reason_name"}


def decode_rows(probe: BpfProbe, meta: Mapping[str, Any], body: bytes) -> Batch:
    """Decode events of a probe. Raises `EvidenceError` when they are not what they should be."""
    try:
        return _batch(probe, meta, parse_object(body, max_bytes=MAX_ROWS_BYTES)["rows"])
    except (KeyError, TypeError, ValueError) as error:
        raise EvidenceError(f"events of {probe.name} cannot be read: {error}") from None


def _batch(probe: BpfProbe, meta: Mapping[str, Any], rows: Any) -> Batch:
    offset_ns, lost = meta["offset_ns"], _number(meta["lost"], 64)
    if not isinstance(rows, list) or len(rows) > MAX_EVENTS or type(offset_ns) is not int:
        raise ValueError("no list of events with an offset")
    return Batch(probe.name, tuple(_event(probe, row, offset_ns) for row in rows), lost, 0)


def _event(probe: BpfProbe, row: Any, offset_ns: int) -> BpfEvent:
    if not isinstance(row, dict) or not row.keys() <= _KNOWN:
        raise ValueError("a row has something that is unknown")
    number = {name: _number(row.get(name, 0), bits) for name, bits in _BITS.items()}
    word = {name: _word(row.get(name, ""), _MAX_WORD) for name in (*_WORDS, "reason_name")}
    family, source, destination = _ends(row)
    kind = KINDS.get(number["kind"])
    if kind not in probe.kinds or kind is None:
        raise ValueError(f"it has no kind {number['kind']}")
    delay = Delay(number["latency_ns"], number["cpu"], number["pid"], word["task"], word["device"])
    return BpfEvent(
        probe=probe.name,
        kind=kind.name,
        wall_ns=number["mono_ns"] + offset_ns,
        mono_ns=number["mono_ns"],
        netns=number["netns"],
        net_cookie=number["net_cookie"],
        cgroup=number["cgroup"],
        ifindex=number["ifindex"],
        family=family,
        ethertype=number["ethertype"],
        protocol=number["protocol"],
        source=source,
        source_port=number["source_port"],
        destination=destination,
        destination_port=number["destination_port"],
        tcp_flags=number["tcp_flags"],
        tcp_state=number["tcp_state"],
        length=number["length"],
        reason=number["reason"],
        reason_name=word["reason_name"] or reason_name(number["reason"], dict(enumerate(probe.words))),
        location=0,
        function=word["function"],
        hook=word["hook"],
        error=-number["error"],
        fragment=False,
        undecided=False,
        calls=(),
        delay=delay if "latency_ns" in row else None,
        details=_details(row.get("details", {})),
    )


def _ends(row: Mapping[str, Any]) -> tuple[int, str, str]:
    """Return family 4, 6 or 0, and both addresses as they are written; both are of one family, or neither is there."""
    texts = [row.get(name, "") for name in ("source", "destination")]
    if texts == ["", ""]:
        return 0, "", ""
    if not all(isinstance(text, str) and "%" not in text for text in texts):
        raise TypeError("an address is none")
    source, destination = map(ip_address, texts)
    if source.version != destination.version:
        raise ValueError("its addresses are of two families")
    return source.version, str(source), str(destination)


def _details(found: Any) -> Mapping[str, str | int]:
    if not isinstance(found, dict) or len(found) > MAX_DETAILS:
        raise ValueError("its details are none")
    return {_word(name, _MAX_WORD): _detail(value) for name, value in found.items()}


def _detail(value: Any) -> str | int:
    return _word(value, _MAX_VALUE) if isinstance(value, str) else _number(value, 64)


def _number(value: Any, bits: int) -> int:
    if type(value) is not int or not 0 <= value < 1 << bits:
        raise TypeError("a number is none")
    return value


def _word(value: Any, limit: int) -> str:
    if not isinstance(value, str):
        raise TypeError("a word is none")
    return printable(value, limit)
