"""Redact what iptables-save prints: addresses, chains, devices and comments; the rules' form stays.

Options and their values that are words of iptables(8) stay. What may hold anything (patterns of bytes, programs) is
replaced by what no parser takes: such a rule is undecided afterwards, and never decided otherwise than before.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from skoopctl.evidence.redaction.vocabulary import words
from skoopctl.evidence.redaction.words import ADDRESS, REDACTED, Redactor

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\S+|\s+')
_OPTION = re.compile(r"-[A-Za-z0-9]|--[a-z0-9][a-z0-9-]*")
_SYNTAX = re.compile(r"[0-9A-Za-z_,:/.%!+-]*")
_COUNTS = re.compile(r"\[\d+:\d+\]")

_OF_IPTABLES = words(
    "-m -p --protocol --ctstate --state --ctstatus --ctdir --ctproto --mode --reject-with --tcp-flags --icmp-type "
    "--icmpv6-type --pkt-type --src-type --dst-type --dir --pol --proto --chunk-types --tcp-option --limit "
    "--hashlimit-mode --hashlimit-upto --hashlimit-above --probability --every --packet --dport --sport --dports "
    "--sports --ports --mark --set-mark --set-xmark --or-mark --and-mark --xor-mark --nfmask --ctmask --to-ports "
    "--weekdays --monthdays --timestart --timestop --datestart --datestop --log-level --dscp --dscp-class "
    "--set-dscp --set-dscp-class --tos --set-tos --set-mss --mss --length --ttl-eq --ttl-lt --ttl-gt --ttl-set "
    "--hl-eq --hl-lt --hl-gt --hl-set --connlimit-upto --connlimit-above --connlimit-mask --connbytes "
    "--connbytes-mode --connbytes-dir --seconds --hitcount --mask --notrack --zone --zone-orig --zone-reply "
    "--ctevents --queue-num --queue-balance --nflog-group --nflog-threshold --nflog-size --on-port --tproxy-mark "
    "--uid-owner --gid-owner --realm --helper --vproto --vport --vdir --vmethod --vportctl --algo --from --to-hex "
    "--header --rt-type --ahspi --espspi --spi --frag --checksum-fill --strip-options --burst --limit-burst "
    "--return-nomatch --physdev-is-bridged --packets --bytes"
)
"""Options whose values are numbers or words of iptables(8)."""
_OPAQUE = words("--string --hex-string --u32 --bytecode --object-pinned --path --genre --rnd")
"""Options whose values may hold anything, addresses as numbers among it."""
_NAMES = words(
    "-A -N -j -g --jump --goto -i -o --in-interface --out-interface --physdev-in --physdev-out --oif --iif "
    "--name --match-set --add-set --del-set --map-set --hashlimit-name --nfacct-name --rateest-name --log-prefix "
    "--nflog-prefix --ulog-prefix --label --led-trigger-id --timeout --hmark-tuple"
)
_COMMENT = "--comment"


def redact_iptables(payload: bytes, redactor: Redactor) -> bytes:
    """Return the text with everything replaced that must be. Lines are rewritten one by one."""
    text = payload.decode("utf-8", "surrogateescape")
    known: dict[tuple[str, str], str] = {}
    return "\n".join(_line(line, redactor, known) for line in text.split("\n")).encode(
        "utf-8", "surrogateescape"
    )


def _line(line: str, redactor: Redactor, known: dict[tuple[str, str], str]) -> str:
    if line.startswith("#"):
        return redactor.prose(line)
    if line.startswith("*") or line in {"", "COMMIT"}:
        return line[:1] + redactor.composite(line[1:]) if line.startswith("*") else line
    if line.startswith(":"):
        name, space, rest = line[1:].partition(" ")
        return f":{redactor.composite(name)}{space}{_policy(rest)}"
    return _rule(line, redactor, known)


def _policy(rest: str) -> str:
    words = rest.split(" ")
    kept = [word for word in words if word in {"ACCEPT", "DROP", "-"} or _COUNTS.fullmatch(word)]
    return " ".join(kept)


def _rule(line: str, redactor: Redactor, known: dict[tuple[str, str], str]) -> str:
    """Rewrite a rule, option by option; ``known`` holds what stands for a value behind an option."""
    if "NETMAP" in line:
        line = _with_networks_carried(line, redactor)
    option = ""
    written: list[str] = []
    for piece in _TOKEN.findall(line):
        if piece.isspace() or piece == "!":
            written.append(piece)
        elif _OPTION.fullmatch(piece) and option != _COMMENT:
            option = piece
            written.append(piece)
        else:
            value = known.get((option, piece))
            if value is None:
                value = known[option, piece] = _value(option, piece, redactor)
            written.append(value)
            option = option if option != _COMMENT else ""
    return "".join(written)


def _value(option: str, token: str, redactor: Redactor) -> str:
    quote = '"' if token.startswith('"') else ""
    bare = token[1:-1] if quote else token
    return f"{quote}{_replacement(option)(bare, redactor)}{quote}"


def _replacement(option: str) -> Callable[[str, Redactor], str]:
    if option in _OF_IPTABLES:
        return _syntax
    if option in _OPAQUE:
        return lambda _text, _redactor: REDACTED
    if option in _NAMES:
        return _name
    return _anything


def _syntax(text: str, redactor: Redactor) -> str:
    """Keep a value of iptables' own words, unless it is something else after all."""
    return text if _SYNTAX.fullmatch(text) and not ADDRESS.search(text) else redactor.prose(text)


def _name(text: str, redactor: Redactor) -> str:
    return redactor.wildcard(text) if " " not in text else redactor.prose(text)


def _anything(text: str, redactor: Redactor) -> str:
    return text if _COUNTS.fullmatch(text) else redactor.prose(text)


def _with_networks_carried(line: str, redactor: Redactor) -> str:
    """NETMAP carries what is behind one prefix over to another: both must be plain, or the rule is undecided."""
    if "-j NETMAP" not in line:
        return line
    carried = [redactor.carries(found) for found in ADDRESS.finditer(line)]
    return line if all(carried) else line.replace("-j NETMAP", f"-j NETMAP --{REDACTED}")
