"""A state of the network as data: what is built, which flows are tried in it, and how both are written to a file.

A state is a shape (the skeleton of places and devices) and a list of lines. A line is one command for one
tool in one place, so that a state can be cut down line by line.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any


class Tool(StrEnum):
    """Who carries a line out, in the order in which the tools run."""

    SYSCTL = "sysctl"
    IPSET = "ipset"
    IPTABLES_NFT = "iptables-nft"
    IPTABLES_LEGACY = "iptables-legacy"
    IP6TABLES_NFT = "ip6tables-nft"
    IP6TABLES_LEGACY = "ip6tables-legacy"
    NFT = "nft"
    IP = "ip"
    BRIDGE = "bridge"


@dataclass(frozen=True, slots=True, order=True)
class Line:
    """One command: ``filter -A INPUT -j DROP`` for iptables, ``route add …`` for ip, ``net/…=1`` for sysctl."""

    place: str
    tool: Tool
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.tool.value} {self.text}"


class Pods(StrEnum):
    """How pods hang on their node."""

    BRIDGE = "bridge"
    ROUTED = "routed"


class Overlay(StrEnum):
    """How one node's pods reach the other's."""

    VXLAN = "vxlan"
    ROUTES = "routes"


@dataclass(frozen=True, slots=True)
class Shape:
    """The skeleton. ``node_a`` and ``node_b`` say how their pods are attached."""

    node_a: Pods = Pods.BRIDGE
    node_b: Pods = Pods.BRIDGE
    overlay: Overlay = Overlay.ROUTES


@dataclass(frozen=True, slots=True, order=True)
class Flow:
    """One question: ``source`` is a place, ``destination`` an address. ICMP echo has port 0."""

    source: str
    destination: str
    protocol: str
    port: int

    def __str__(self) -> str:
        return f"{self.source} -> {self.destination} {self.protocol}/{self.port}"


@dataclass(frozen=True, slots=True)
class State:
    """What is built, and what is tried in it. ``note`` says in words what a corpus file is about."""

    shape: Shape
    lines: tuple[Line, ...] = ()
    flows: tuple[Flow, ...] = ()
    note: str = ""
    heard: tuple[str, ...] = field(default=())
    """What the kernel did with each flow when the file was written, for people."""

    def without(self, lines: frozenset[int]) -> State:
        """Return the state without the lines at these places in the list."""
        return replace(self, lines=tuple(line for n, line in enumerate(self.lines) if n not in lines))

    def to_json(self) -> str:
        """Return the state as text for a file."""
        raw = asdict(self)
        raw["lines"] = [[line.place, line.tool.value, line.text] for line in self.lines]
        raw["flows"] = [[f.source, f.destination, f.protocol, f.port] for f in self.flows]
        rows = ",\n".join(f' "{key}": {_rows(value)}' for key, value in raw.items())
        return f"{{\n{rows}\n}}\n"


def _rows(value: Any) -> str:
    """Write a list with one entry a line: a corpus file is read by people, and by diff."""
    if not isinstance(value, (list, tuple)) or not value:
        return json.dumps(value, ensure_ascii=False)
    inner = ",\n".join(f"  {json.dumps(entry, ensure_ascii=False)}" for entry in value)
    return f"[\n{inner}\n ]"


def from_json(text: str) -> State:
    """Read a state. Raises ValueError or KeyError for a file that is none."""
    raw = json.loads(text)
    shape = raw["shape"]
    return State(
        Shape(Pods(shape["node_a"]), Pods(shape["node_b"]), Overlay(shape["overlay"])),
        tuple(Line(place, Tool(tool), line) for place, tool, line in raw["lines"]),
        tuple(Flow(source, to, protocol, port) for source, to, protocol, port in raw["flows"]),
        raw.get("note", ""),
        tuple(raw.get("heard", ())),
    )
