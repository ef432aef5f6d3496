"""Redact what ``nft -j -a list ruleset`` prints: names, addresses and comments; keywords and numbers stay.

A statement that compares or makes addresses by arithmetic is replaced by one that nobody knows: it is undecided
afterwards.
"""

from __future__ import annotations

import json
import re
from ipaddress import ip_address
from typing import Any

from skoopctl.evidence.redaction.vocabulary import words
from skoopctl.evidence.redaction.words import ADDRESS, REDACTED, Redactor

_KEYWORDS = words(
    "family type hook policy op protocol base field key dir direction result flags burst per rate_unit unit used "
    "mode level release_name version priority prio size_unit oper operation l4proto l3proto fwd family flag "
    "auto-merge comment-kind quota_unit"
)
"""Keys whose values are words of nft(8)."""
_PROSE = frozenset({"comment", "prefix"})
_ADDRESS_FIELDS = frozenset({"saddr", "daddr", "ether", "lladdr"})
_BITWISE = frozenset({"&", "|", "^", "<<", ">>"})
_SYNTAX = re.compile(r"[a-z][a-z0-9 _-]{0,23}|&|\||\^|<<|>>|==|!=|<=|>=|<|>|!")
"""Keys of libnftables-json(5): what a rule or set is called stands in values."""
_UNKNOWN = {REDACTED: None}


def redact_nft(payload: bytes, redactor: Redactor) -> bytes:
    """Return the ruleset with everything replaced that must be. Raises ValueError when it is not JSON."""
    try:
        document = json.loads(payload)
        return json.dumps(_value("", document, redactor)).encode()
    except RecursionError as error:
        raise ValueError("JSON nested too deeply") from error


def _value(key: str, value: Any, redactor: Redactor) -> Any:
    if isinstance(value, dict):
        return _object(value, redactor)
    if isinstance(value, list):
        if key == "expr":
            return [_statement(each, redactor) for each in value]
        return [_value(key, each, redactor) for each in value]
    return _text(key, value, redactor) if isinstance(value, str) else value


def _object(value: dict[str, Any], redactor: Redactor) -> Any:
    if "rule" in value and isinstance(value["rule"], dict):
        _note_what_is_carried(value["rule"], redactor)
    if isinstance(value.get("prefix"), dict):
        return {"prefix": _prefix(value["prefix"], redactor)}
    if isinstance(value.get("range"), list) and len(value["range"]) == 2:
        return {"range": _range(value["range"], redactor)}
    return {key: _value(key, each, redactor) for key, each in value.items() if _SYNTAX.fullmatch(key)}


def _prefix(value: dict[str, Any], redactor: Redactor) -> dict[str, Any]:
    address, length = value.get("addr"), value.get("len")
    if not isinstance(address, str) or not isinstance(length, int):
        return {"addr": REDACTED, "len": 0}
    return {"addr": redactor.ip(f"{address}/{length}").partition("/")[0], "len": length}


def _range(ends: list[Any], redactor: Redactor) -> list[Any]:
    if not all(isinstance(end, str) for end in ends):
        return [_value("", end, redactor) for end in ends]
    first, last = (_parsed(end) for end in ends)
    if first is None or last is None:
        return [_text("", end, redactor) for end in ends]
    found = redactor.range_ends(first, last)
    if found is None:
        return [REDACTED, REDACTED]
    return [str(type(first)(end)) for end in found]


def _parsed(text: str) -> Any:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _statement(value: Any, redactor: Redactor) -> Any:
    if _calculates_addresses(value) or (_is_netmap(value) and not _carries(value, redactor)):
        return _UNKNOWN
    return _value("", value, redactor)


def _calculates_addresses(value: Any) -> bool:
    """Tell whether a statement takes an address apart, or compares raw bytes of a header."""
    if isinstance(value, list):
        return any(_calculates_addresses(each) for each in value)
    if not isinstance(value, dict):
        return False
    payload = value.get("payload")
    if isinstance(payload, dict) and payload.get("base") in {"nh", "ll"}:
        return True
    if _BITWISE & value.keys() and _reads_address(value):
        return True
    return any(_calculates_addresses(each) for each in value.values())


def _reads_address(value: Any) -> bool:
    if isinstance(value, list):
        return any(_reads_address(each) for each in value)
    if isinstance(value, dict):
        return value.get("field") in _ADDRESS_FIELDS or any(_reads_address(each) for each in value.values())
    return isinstance(value, str) and value in _ADDRESS_FIELDS


def _is_netmap(value: Any) -> bool:
    return isinstance(value, dict) and any(
        isinstance(nat, dict) and "netmap" in _listed(nat.get("flags")) for nat in value.values()
    )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _note_what_is_carried(rule: dict[str, Any], redactor: Redactor) -> None:
    """Note every network of a rule that carries what is behind one prefix over to another (``snat prefix to``)."""
    if any(_is_netmap(statement) for statement in _listed(rule.get("expr"))):
        for version, length in _prefixes(rule):
            redactor.carries_behind(version, length)


def _carries(value: Any, redactor: Redactor) -> bool:
    return all(redactor.carries_behind(version, length) for version, length in _prefixes(value))


def _prefixes(value: Any) -> list[tuple[int, int]]:
    """Return IP version and length of every prefix in a rule."""
    if isinstance(value, list):
        return [found for each in value for found in _prefixes(each)]
    if not isinstance(value, dict):
        return []
    prefix = value.get("prefix")
    if isinstance(prefix, dict):
        address = _parsed(str(prefix.get("addr")))
        length = prefix.get("len")
        return [(address.version, length)] if address is not None and isinstance(length, int) else []
    return [found for each in value.values() for found in _prefixes(each)]


def _text(key: str, text: str, redactor: Redactor) -> str:
    if key in _KEYWORDS and not ADDRESS.search(text):
        return text
    if key in _PROSE:
        return redactor.prose(text)
    if text.startswith("@"):
        return f"@{redactor.wildcard(text[1:])}"
    if ADDRESS.fullmatch(text):
        return redactor.ip(text)
    return redactor.wildcard(text)
