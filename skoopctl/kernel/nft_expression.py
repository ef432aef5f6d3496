"""Decode the expressions of libnftables-json(5) into the trees of `skoopctl.kernel.nft`."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import reduce
from typing import Any

from skoopctl.kernel.nft import (
    AnonymousSet,
    Binary,
    Concat,
    Ct,
    Element,
    Expression,
    Extension,
    Fib,
    FlagSet,
    Hash,
    Literal,
    MapLookup,
    Meta,
    Numgen,
    Payload,
    Prefix,
    Range,
    RawPayload,
    RouteKey,
    SetReference,
    UnknownExpression,
    VerdictStatement,
)

_DEEPEST = 40
_RAW_LENGTH = 400
VERDICTS = frozenset({"accept", "drop", "continue", "return", "jump", "goto"})


def raw_json(value: Any) -> str:
    """Return the JSON of something unknown, cut where it no longer helps a reader."""
    return json.dumps(value)[:_RAW_LENGTH]


def decode_expression(value: Any, depth: int = 0) -> Expression:
    """Decode one expression; what is not known or not well formed becomes `UnknownExpression`."""
    if isinstance(value, str):
        return SetReference(value[1:]) if value.startswith("@") else Literal(value)
    if isinstance(value, bool | int):
        return Literal(value)
    if depth > _DEEPEST:
        return UnknownExpression("nested too deeply")
    if isinstance(value, list):
        if all(isinstance(v, str) and not v.startswith("@") for v in value):
            return FlagSet(tuple(value))
        return UnknownExpression("a list of expressions", raw_json(value))
    if not isinstance(value, dict) or len(value) != 1:
        return UnknownExpression("not an expression", raw_json(value))
    ((kind, body),) = value.items()
    decoder = _DECODERS.get(kind)
    if decoder is None:
        return UnknownExpression(f"{kind} expression", raw_json(value))
    try:
        return decoder(body, depth + 1)
    except (KeyError, TypeError, ValueError, AttributeError):
        return UnknownExpression(f"malformed {kind} expression", raw_json(value))


def decode_elements(values: Any, is_map: bool, depth: int = 0) -> tuple[Element, ...]:
    """Decode the elements of a set, or the pairs of a map."""
    if not isinstance(values, list):
        values = [values]
    if not is_map:
        return tuple(Element(decode_expression(v, depth)) for v in values)
    return tuple(_pair(v, depth) for v in values)


def decode_verdict(value: Any) -> VerdictStatement | None:
    """Decode ``{"accept": null}`` or ``{"jump": {"target": "x"}}``; None when it is not a verdict."""
    if not isinstance(value, dict) or len(value) != 1:
        return None
    ((kind, body),) = value.items()
    if kind not in VERDICTS:
        return None
    if kind not in {"jump", "goto"}:
        return VerdictStatement(kind)
    target = body.get("target") if isinstance(body, dict) else None
    return VerdictStatement(kind, target) if isinstance(target, str) else None


def _pair(value: Any, depth: int) -> Element:
    if not isinstance(value, list) or len(value) != 2:
        return Element(UnknownExpression("not a pair of a map", raw_json(value)))
    key, data = value
    return Element(decode_expression(key, depth), decode_verdict(data) or decode_expression(data, depth))


def _element(body: Any, depth: int) -> Expression:
    """``elem`` wraps a value with its timeout, comment or counter, none of which decides a match."""
    return decode_expression(body["val"], depth)


def _prefix(body: Any, depth: int) -> Expression:
    address = decode_expression(body["addr"], depth)
    if not isinstance(address, Literal):
        return UnknownExpression("prefix of an expression", raw_json(body))
    return Prefix(str(address.value), int(body["len"]))


def _range(body: Any, depth: int) -> Expression:
    low, high = body
    return Range(decode_expression(low, depth), decode_expression(high, depth))


def _payload(body: Any, _depth: int) -> Expression:
    if "tunnel" in body:
        return UnknownExpression("payload inside a tunnel", raw_json(body))
    if "base" in body:
        return RawPayload(_text(body["base"]), int(body["offset"]), int(body["len"]))
    return Payload(_text(body["protocol"]), _text(body["field"]))


def _meta(body: Any, _depth: int) -> Expression:
    return Meta(_text(body if isinstance(body, str) else body["key"]))


def _ct(body: Any, _depth: int) -> Expression:
    return Ct(_text(body["key"]), _text(body.get("dir", "")))


def _fib(body: Any, _depth: int) -> Expression:
    flags = body.get("flags", [])
    names = [flags] if isinstance(flags, str) else flags
    return Fib(_text(body["result"]), tuple(_text(f) for f in names))


def _concat(body: Any, depth: int) -> Expression:
    return Concat(tuple(decode_expression(part, depth) for part in _listed(body)))


def _set(body: Any, depth: int) -> Expression:
    return AnonymousSet(decode_elements(body, False, depth))


def _map(body: Any, depth: int) -> Expression:
    return MapLookup(decode_expression(body["key"], depth), decode_map_data(body["data"], depth))


def decode_map_data(data: Any, depth: int = 0) -> Expression:
    """Decode the data of ``map`` and ``vmap``: a reference, or an anonymous map."""
    if isinstance(data, dict) and "set" in data:
        return AnonymousSet(decode_elements(data["set"], True, depth))
    return decode_expression(data, depth)


def _numgen(body: Any, _depth: int) -> Expression:
    return Numgen(_text(body["mode"]), int(body["mod"]), int(body.get("offset", 0)))


def _hash(kind: str) -> Callable[[Any, int], Expression]:
    def decode(body: Any, depth: int) -> Expression:
        key = decode_expression(body["expr"], depth) if "expr" in body else None
        seed = int(body["seed"]) if "seed" in body else None
        return Hash(kind, int(body["mod"]), int(body.get("offset", 0)), seed, key)

    return decode


def _extension(kind: str) -> Callable[[Any, int], Expression]:
    def decode(body: Any, _depth: int) -> Expression:
        if "base" in body:
            return UnknownExpression(f"raw {kind}", raw_json(body))
        return Extension(kind, _text(body["name"]), _text(body.get("field", "")))

    return decode


def _route(body: Any, _depth: int) -> Expression:
    return RouteKey(_text(body["key"]), _text(body.get("family", "")))


def _binary(operator: str) -> Callable[[Any, int], Expression]:
    def decode(body: Any, depth: int) -> Expression:
        operands = [decode_expression(part, depth) for part in _listed(body)]
        if len(operands) < 2:
            return UnknownExpression(f"{operator} with one operand", raw_json(body))
        return reduce(lambda left, right: Binary(operator, left, right), operands)

    return decode


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError
    return value


_DECODERS: dict[str, Callable[[Any, int], Expression]] = {
    "elem": _element,
    "prefix": _prefix,
    "range": _range,
    "payload": _payload,
    "meta": _meta,
    "ct": _ct,
    "fib": _fib,
    "concat": _concat,
    "set": _set,
    "map": _map,
    "numgen": _numgen,
    "rt": _route,
    **{kind: _hash(kind) for kind in ("jhash", "symhash")},
    **{kind: _extension(kind) for kind in ("exthdr", "tcp option", "ip option", "sctp chunk", "dccp option")},
    **{operator: _binary(operator) for operator in ("&", "|", "^", "<<", ">>")},
}
