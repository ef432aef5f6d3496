"""Rules that a node garbles are walked without an exception: they decide, or they are unknown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from skoopctl.dataplane.rules.scene import Hook
from skoopctl.kernel.nft_json import decode_nft_json
from tests.support.worlds import At, Box, packet, through, tracked

CASES = Path(__file__).parents[1] / "kernel" / "cases" / "nft_json"
RULES = [
    entry["rule"]
    for name in ("forms.raw", "everything.raw")
    for entry in json.loads((CASES / name).read_text())["nftables"]
    if "rule" in entry
]
SETS = [
    entry
    for entry in json.loads((CASES / "forms.raw").read_text())["nftables"]
    if {"set", "map"} & set(entry) and next(iter(entry.values()))["family"] == "inet"
]
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 70), 1 << 70) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=2),
    max_leaves=6,
)
PLACE = {"family": "inet", "table": "t"}


@st.composite
def damaged(draw: st.DrawFn, whole: list[Any]) -> Any:
    """Return one of the given things with one value in it replaced by anything."""
    holder: Any = {"root": json.loads(json.dumps(draw(st.sampled_from(whole))))}
    root, key = holder, "root"
    for _ in range(draw(st.integers(0, 8))):
        inner = holder[key]
        if not isinstance(inner, dict | list) or not inner:
            break
        holder = inner
        key = draw(st.sampled_from(sorted(holder) if isinstance(holder, dict) else list(range(len(holder)))))
    holder[key] = draw(ANYTHING)
    return root["root"]


@given(damaged([rule["expr"] for rule in RULES]), damaged(SETS), st.sampled_from(["filter", "nat"]))
def test_garbage_in_a_rule_or_a_set_never_raises(expr: Any, each: Any, kind: str) -> None:
    """Whatever stands in a rule or a set, all packets get through the hook with some verdict."""
    hook = Hook.PREROUTING if kind == "nat" else Hook.FORWARD
    base = {"name": "c", "type": kind, "hook": hook.value.lower(), "prio": -100, "policy": "accept"}
    made = Box("n1", "n1", 1000, is_host=True)
    made.link("eth0")
    made.address("eth0", "10.0.0.254/24")
    objects = [
        {"table": {"family": "inet", "name": "t"}},
        *SETS,
        each,
        {"chain": PLACE | {"name": "x"}},
        {"chain": PLACE | base},
        {"rule": PLACE | {"chain": "c", "handle": 1, "expr": expr}},
    ]
    made.nft += decode_nft_json(json.dumps({"nftables": objects})).tables
    for item in (
        packet(),
        packet(protocol=17),
        packet(protocol=1, icmp_type=8),
        packet("fd00::1", "fd00::2"),
    ):
        seen = item if kind == "nat" else tracked(item)
        assert through(At(made, hook, in_dev="eth0"), seen)
