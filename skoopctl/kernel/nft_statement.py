"""Decode the statements of libnftables-json(5) into the classes of `skoopctl.kernel.nft`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from skoopctl.kernel.nft import (
    BudgetStatement,
    CounterStatement,
    Expression,
    ForwardStatement,
    MangleStatement,
    MatchStatement,
    NatStatement,
    NoEffectStatement,
    NotrackStatement,
    QueueStatement,
    RejectStatement,
    SetUpdateStatement,
    Statement,
    SynproxyStatement,
    TproxyStatement,
    UnknownStatement,
    VmapStatement,
)
from skoopctl.kernel.nft_expression import (
    VERDICTS,
    decode_expression,
    decode_map_data,
    decode_verdict,
    raw_json,
)

_OPERATORS = frozenset({"==", "!=", "<", ">", "<=", ">=", "in", "!"})
# They log, copy or label; none gives a verdict or stops the rule (nft(8), STATEMENTS). ``flow`` puts an
# established connection on a path that leaves out later hooks; the kernel sends there what it let pass here.
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


# What nft has no JSON for, it prints as text (json.c: stmt_print_json): elements added to a map, in 1.0.6.
_XT_COMMENT = {"xt": {"type": "match", "name": "comment"}}
_TEXT_UPDATE = re.compile(r"(add|update|delete) @(\S+) \{ .* \}")


def decode_statement(value: Any) -> Statement:
    """Decode one statement; what is not known or not well formed becomes `UnknownStatement`."""
    if isinstance(value, str):
        update = _TEXT_UPDATE.fullmatch(value)
        if update and not any(word in value for word in (" limit ", " ct count ", " quota ")):
            return SetUpdateStatement(update[1], update[2])
        value = {value: None}
    if not isinstance(value, dict) or len(value) != 1:
        return UnknownStatement("not a statement", raw_json(value))
    ((kind, body),) = value.items()
    if value == _XT_COMMENT:
        return NoEffectStatement("xt comment")
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


def _queue(_kind: str, body: Any) -> Statement:
    return QueueStatement("bypass" in _flags(body))


def _flags(body: Any) -> tuple[str, ...]:
    flags = body.get("flags", []) if isinstance(body, dict) else []
    return tuple(str(f) for f in (flags if isinstance(flags, list) else [flags]))


def _vmap(_kind: str, body: Any) -> Statement:
    return VmapStatement(decode_expression(body["key"]), decode_map_data(body["data"]))


def _mangle(_kind: str, body: Any) -> Statement:
    return MangleStatement(decode_expression(body["key"]), decode_expression(body["value"]))


def _nat(kind: str, body: Any) -> Statement:
    body = body or {}
    names = _flags(body)
    types = body.get("type_flags", [])
    if "prefix" in (types if isinstance(types, list) else [types]) and "netmap" not in names:
        names = (*names, "netmap")
    address = decode_expression(body["addr"]) if "addr" in body else None
    port = decode_expression(body["port"]) if "port" in body else None
    return NatStatement(kind, address, port, str(body.get("family", "")), flags=names)


def _reject(_kind: str, body: Any) -> Statement:
    body = body or {}
    return RejectStatement(str(body.get("type", "")), str(body.get("expr", "")))


def _notrack(_kind: str, _body: Any) -> Statement:
    return NotrackStatement()


def _counter(_kind: str, body: Any) -> Statement:
    if not isinstance(body, dict) or "packets" not in body:
        return NoEffectStatement("counter")  # of a named one, or of one that a map names
    return CounterStatement(int(body["packets"]), int(body["bytes"]))


def _set_update(kind: str, body: Any) -> Statement:
    # A statement attached to the element (``limit``) may stop the rule (nft_dynset.c: nft_dynset_eval).
    attached = [s for s in body.get("stmt", []) if not isinstance(s, dict) or "counter" not in s]
    if attached:
        return BudgetStatement(f"{kind} {body['op']} with {_first_word(attached[0])}")
    name = str(body["set"]).removeprefix("@")
    return SetUpdateStatement(str(body["op"]), name, decode_expression(body["elem"]))


def _map_update(_kind: str, body: Any) -> Statement:
    value: Expression | None = decode_expression(body["data"]) if "data" in body else None
    name = str(body["map"]).removeprefix("@")
    return SetUpdateStatement(str(body["op"]), name, decode_expression(body["elem"]), value)


def _first_word(statement: Any) -> str:
    return str(next(iter(statement))) if isinstance(statement, dict) and statement else str(statement)[:20]


def _budget(kind: str, body: Any) -> Statement:
    if isinstance(body, str):
        return BudgetStatement(f"{kind} {body}")
    over = isinstance(body, dict) and body.get("inv")
    return BudgetStatement(f"{kind} over" if over else kind)


def _forward(_kind: str, body: Any) -> Statement:
    return ForwardStatement(str(body["dev"]))


def _tproxy(_kind: str, body: Any) -> Statement:
    return TproxyStatement(f"{body.get('addr', '')}:{body.get('port', '')}".rstrip(":"))


def _synproxy(_kind: str, _body: Any) -> Statement:
    return SynproxyStatement()


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
    "map": _map_update,
    "queue": _queue,
    "fwd": _forward,
    "tproxy": _tproxy,
    "synproxy": _synproxy,
    **dict.fromkeys(("limit", "quota", "ct count", "meter"), _budget),
    **dict.fromkeys(VERDICTS, _verdict),
    **dict.fromkeys(("snat", "dnat", "masquerade", "redirect"), _nat),
    **dict.fromkeys(_NO_EFFECT, _no_effect),
}
