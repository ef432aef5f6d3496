"""Decode the statements of libnftables-json(5) into the classes of `skoopctl.kernel.nft`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skoopctl.kernel.nft import (
    CounterStatement,
    MangleStatement,
    MatchStatement,
    NatStatement,
    NoEffectStatement,
    NotrackStatement,
    RejectStatement,
    SetUpdateStatement,
    Statement,
    UnknownStatement,
    VerdictStatement,
    VmapStatement,
)
from skoopctl.kernel.nft_expression import (
    VERDICTS,
    decode_expression,
    decode_map_data,
    decode_verdict,
    raw_json,
)

_OPERATORS = frozenset({"==", "!=", "<", ">", "<=", ">=", "in"})
# They log, copy or label; none gives a verdict or stops the rule (nft(8), STATEMENTS).
_NO_EFFECT = (
    "log",
    "dup",
    "flow",
    "last",
    "reset",
    "secmark",
    "ct helper",
    "ct timeout",
    "ct expectation",
)


def decode_statement(value: Any) -> Statement:
    """Decode one statement; what is not known or not well formed becomes `UnknownStatement`."""
    if isinstance(value, str):
        value = {value: None}
    if not isinstance(value, dict) or len(value) != 1:
        return UnknownStatement("not a statement", raw_json(value))
    ((kind, body),) = value.items()
    decoder = _DECODERS.get(kind)
    if decoder is None:
        return UnknownStatement(_reason(kind, body), raw_json(value))
    try:
        return decoder(kind, body)
    except (KeyError, TypeError, ValueError, AttributeError):
        return UnknownStatement(f"malformed {kind} statement", raw_json(value))


def _reason(kind: str, body: Any) -> str:
    if kind == "xt" and isinstance(body, dict):
        return f"xt {body.get('type', '')} {body.get('name', '')}".rstrip()
    return f"{kind} statement"


def _match(_kind: str, body: Any) -> Statement:
    operator = body["op"]
    if operator not in _OPERATORS:
        return UnknownStatement(f"match operator {operator!r}", raw_json(body))
    return MatchStatement(operator, decode_expression(body["left"]), decode_expression(body["right"]))


def _verdict(kind: str, body: Any) -> Statement:
    verdict = decode_verdict({kind: body})
    return verdict or UnknownStatement(f"malformed {kind} statement", raw_json(body))


def _queue(_kind: str, _body: Any) -> Statement:
    return VerdictStatement("queue")


def _vmap(_kind: str, body: Any) -> Statement:
    return VmapStatement(decode_expression(body["key"]), decode_map_data(body["data"]))


def _mangle(_kind: str, body: Any) -> Statement:
    return MangleStatement(decode_expression(body["key"]), decode_expression(body["value"]))


def _nat(kind: str, body: Any) -> Statement:
    body = body or {}
    flags = body.get("flags", [])
    names = tuple(str(f) for f in (flags if isinstance(flags, list) else [flags]))
    if "netmap" in names or body.get("type_flags"):
        return UnknownStatement(f"{kind} of a whole prefix", raw_json(body))
    address = decode_expression(body["addr"]) if "addr" in body else None
    port = decode_expression(body["port"]) if "port" in body else None
    return NatStatement(kind, address, port, str(body.get("family", "")), flags=names)


def _reject(_kind: str, body: Any) -> Statement:
    body = body or {}
    return RejectStatement(str(body.get("type", "")), str(body.get("expr", "")))


def _notrack(_kind: str, _body: Any) -> Statement:
    return NotrackStatement()


def _counter(_kind: str, body: Any) -> Statement:
    if not isinstance(body, dict):
        return NoEffectStatement("counter")
    return CounterStatement(int(body["packets"]), int(body["bytes"]))


def _set_update(kind: str, body: Any) -> Statement:
    # A statement attached to the element (``limit``) may stop the rule.
    attached = [s for s in body.get("stmt", []) if not isinstance(s, dict) or "counter" not in s]
    if attached:
        return UnknownStatement(f"{kind} update with a statement", raw_json(body))
    return SetUpdateStatement(str(body["op"]), str(body["set"]).removeprefix("@"))


def _no_effect(kind: str, _body: Any) -> Statement:
    return NoEffectStatement(kind)


_DECODERS: dict[str, Callable[[str, Any], Statement]] = {
    "match": _match,
    "vmap": _vmap,
    "mangle": _mangle,
    "reject": _reject,
    "notrack": _notrack,
    "counter": _counter,
    "set": _set_update,
    "queue": _queue,
    **dict.fromkeys(VERDICTS, _verdict),
    **dict.fromkeys(("snat", "dnat", "masquerade", "redirect"), _nat),
    **dict.fromkeys(_NO_EFFECT, _no_effect),
}
