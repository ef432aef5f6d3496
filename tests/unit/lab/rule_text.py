"""Reading the recorded cluster, and rule text, in a form that can be compared."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

from skoopctl.lab.kubeproxy import NodeView

RECORDED = Path(__file__).parents[2] / "fixtures" / "kube-proxy-1.36"
NODES = {"master-c4": "192.168.3.85", "node1-c4": "192.168.3.86", "node2-c4": "192.168.3.87"}

Rules = dict[tuple[str, str], list[str]]
NftObjects = dict[tuple[str, str], list[object]]


def recorded_objects(mode: str, resource: str) -> list[dict[str, Any]]:
    """Return the recorded API objects of one resource."""
    text = (RECORDED / mode / "api" / f"{resource}.json").read_text(encoding="utf-8")
    items: list[dict[str, Any]] = json.loads(text)["items"]
    return items


def recorded_node(name: str) -> NodeView:
    """Return the view of a recorded node."""
    return NodeView(name, NODES[name], "10.244.0.0/16")


def rules_by_chain(text: str) -> Rules:
    """Return the rules of an ``iptables-save`` text by table and chain, without counters."""
    found: Rules = defaultdict(list)
    table = ""
    for raw in text.splitlines():
        line = re.sub(r"^\[\d+:\d+\] ", "", raw).rstrip()
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith(":"):
            found[table, line.split()[0][1:]] += []
        elif line.startswith("-A "):
            found[table, line.split()[1]].append(line)
    return dict(found)


def nft_objects(text: str) -> NftObjects:
    """Return the sets, maps and chains of ``table ip kube-proxy`` by kind and name.

    Elements are sorted, since a set has no order; what a set remembers of clients is left out.
    """
    found: NftObjects = {}
    table, key = "", ("", "")
    for line in re.sub(r",\n\s+", ", ", text).splitlines():
        if line.startswith("table "):
            table = line
        elif re.match(r"\t(set|map|chain) ", line) and table == "table ip kube-proxy {":
            kind, name = line.split()[:2]
            key = (kind, name)
            found[key] = []
        elif line == "\t}":
            key = ("", "")
        elif key[0] and line.strip():
            _add(found, key, line.strip())
    return found


def _add(found: NftObjects, key: tuple[str, str], line: str) -> None:
    """Add one line of an object in its normal form."""
    if line.startswith("elements"):
        if not key[1].startswith("affinity-"):
            inner = line[line.index("{") + 1 : line.rindex("}")]
            found[key].append(sorted(inner.strip().split(", ")))
        return
    # What nft prints, and what it reads, differ in these two places.
    line = line.replace("dnat ip addr . port to", "dnat ip to").replace("timeout 10800s", "timeout 3h")
    found[key].append(line)
