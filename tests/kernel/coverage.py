"""Which kinds of things the cases went through: steps of the walk, matches, targets, routes, settings."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from tests.kernel.predict import Prediction
from tests.kernel.state import State, Tool

_MATCH = re.compile(r"-m (\S+)")
_TARGET = re.compile(r"-j ([A-Z]\S*)")
_NFT_CHAIN = re.compile(r"type (\w+) hook (\w+)")
_NFT_WORDS = re.compile(
    r"\b(vmap|map|numgen|fib|ct \w+|meta \w+|dnat|snat|masquerade|redirect|reject|notrack|jump|goto|update|"
    r"interval|concat|limit|notrack)\b"
)
_ROUTE = re.compile(
    r"\b(blackhole|unreachable|prohibit|throw|local|nexthop|nhid|onlink|src|suppress_prefixlength|goto)\b"
)


def of_prediction(prediction: Prediction) -> set[str]:
    """Return the kinds of steps, hooks, dispositions and outcomes of all branches."""
    found: set[str] = {f"flow {prediction.flow.protocol} ipv{6 if ':' in prediction.flow.destination else 4}"}
    for branch in prediction.branches:
        found.add(f"disposition {branch.disposition.value}")
        found.add(f"outcome {branch.outcome.value}")
        for walk in branch.walks:
            for step in walk.steps:
                found.add(f"step {step.kind.value}{' ' + step.hook if step.hook else ''}")
                if step.depth:
                    found.add("step inside a tunnel")
                if step.cause:
                    found.add(f"cause {step.cause}")
    return found


def of_state(state: State) -> set[str]:
    """Return the kinds of lines of a state."""
    shape = state.shape
    found = {f"shape {shape.node_a.value}-{shape.node_b.value} over {shape.overlay.value}"}
    for line in state.lines:
        found.update(_line(line.tool, line.text))
    return found


def _line(tool: Tool, text: str) -> Iterator[str]:
    if tool in _KINDS:
        return _KINDS[tool](text.split(), text)
    return _iptables(tool, text)


def _iptables(tool: Tool, text: str) -> Iterator[str]:
    words = text.split()
    yield f"{tool.value} {words[0]} {words[2] if words[2].isupper() else '(own chain)'}"
    yield from (f"match {name}" for name in _MATCH.findall(text))
    yield from (f"target {name}" for name in _TARGET.findall(text))
    if " ! " in text:
        yield "match inverted"
    if " -g " in text:
        yield "target goto"


def _nft(words: list[str], text: str) -> Iterator[str]:
    if words[1] == "chain" and (found := _NFT_CHAIN.search(text)):
        yield f"nft {words[2]} {found[1]} {found[2]}"
    elif words[1] in {"set", "map"}:
        yield f"nft {words[1]}"
    elif words[1] == "rule":
        yield from (f"nft expr {name}" for name in _NFT_WORDS.findall(text))


def _ipset(words: list[str], _text: str) -> Iterator[str]:
    if words[0] == "create":
        yield f"ipset {words[2]}"


def _sysctl(_words: list[str], text: str) -> Iterator[str]:
    yield f"sysctl {text.partition('=')[0].rpartition('/')[2]}"


def _bridge(words: list[str], _text: str) -> Iterator[str]:
    yield f"bridge {words[0]} {words[4] if words[0] == 'link' else words[1]}"


def _ip(words: list[str], text: str) -> Iterator[str]:
    kind = words[1] if words[0] == "-6" else words[0]
    yield f"ip {kind}"
    yield from (f"ip {kind} {name}" for name in _ROUTE.findall(text))


_KINDS: dict[Tool, Callable[[list[str], str], Iterator[str]]] = {
    Tool.NFT: _nft,
    Tool.IPSET: _ipset,
    Tool.SYSCTL: _sysctl,
    Tool.BRIDGE: _bridge,
    Tool.IP: _ip,
}
