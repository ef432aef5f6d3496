"""nft's chains at devices (netdev, inet ingress) and in bridges are met where the kernel has them."""

from __future__ import annotations

from typing import Any

import pytest

from skoopctl.dataplane.trace import Disposition, PathResult, Verdict
from tests.support.worlds import Cluster, cluster

DROP: list[dict[str, Any]] = [{"drop": None}]


def chain(
    family: str,
    hook: str,
    *rules: list[dict[str, Any]],
    device: str | list[str] | None = None,
    priority: int = 0,
) -> list[dict[str, Any]]:
    """Return a table with one base chain."""
    place = {"family": family, "table": "t"}
    base: dict[str, Any] = {"name": "c", "type": "filter", "hook": hook, "prio": priority, "policy": "accept"}
    if device is not None:
        base["dev"] = device
    made: list[dict[str, Any]] = [{"table": {"family": family, "name": "t"}}, {"chain": place | base}]
    return made + [{"rule": place | {"chain": "c", "handle": n, "expr": r}} for n, r in enumerate(rules, 1)]


def asked(made: Cluster, destination: str = "10.244.1.11") -> PathResult:
    """Walk from pod a to a pod of the same node, or elsewhere."""
    return made.world.walk("10.244.1.10", destination, 80, "tcp")


@pytest.mark.parametrize(
    ("family", "hook", "device", "expected"),
    [
        ("netdev", "ingress", "veth-a", Verdict.FAIL),
        ("netdev", "ingress", ["eth0", "veth-a"], Verdict.FAIL),
        ("inet", "ingress", "veth-a", Verdict.FAIL),
        ("netdev", "ingress", "eth0", Verdict.PASS),
        ("bridge", "prerouting", None, Verdict.FAIL),
        ("bridge", "forward", None, Verdict.FAIL),
        ("bridge", "postrouting", None, Verdict.FAIL),
        ("bridge", "input", None, Verdict.PASS),
        ("bridge", "output", None, Verdict.PASS),
        ("arp", "input", None, Verdict.PASS),
    ],
)
def test_a_packet_in_a_bridge(family: str, hook: str, device: Any, expected: Verdict) -> None:
    """Between two pods of a node a frame meets ingress, prerouting, forward and postrouting of the bridge."""
    made = cluster()
    made.n1.nftables(*chain(family, hook, DROP, device=device))
    assert asked(made).verdict is expected


@pytest.mark.parametrize(
    ("hook", "expected"), [("input", Verdict.FAIL), ("output", Verdict.FAIL), ("forward", Verdict.PASS)]
)
def test_a_packet_through_the_bridge_and_on(hook: str, expected: Verdict) -> None:
    """On the way to another node the request goes up through input, and the answer down through output."""
    made = cluster()
    made.n1.nftables(*chain("bridge", hook, DROP))
    assert asked(made, "10.244.2.10").verdict is expected


def test_a_chain_whose_devices_are_not_told_is_unknown_if_it_decides() -> None:
    """JSON of nft 1.0.6 leaves out the devices of a chain: if it would drop, both ways are walked."""
    made = cluster()
    made.n1.nftables(*chain("netdev", "ingress", DROP))
    result = asked(made)
    assert result.verdict is Verdict.UNKNOWN
    assert "is hooked to veth-" in "".join(result.unknowns)


def test_a_chain_whose_devices_are_not_told_does_not_matter_if_it_accepts() -> None:
    """A chain that only counts decides nothing, whatever it is hooked to."""
    made = cluster()
    made.n1.nftables(*chain("netdev", "ingress", [{"counter": {"packets": 0, "bytes": 0}}]))
    assert asked(made).verdict is Verdict.PASS


def test_fwd_is_unknown_with_its_reason() -> None:
    """A packet that is moved to another device is not followed, and that is said."""
    made = cluster()
    made.n1.nftables(*chain("netdev", "ingress", [{"fwd": {"dev": "eth0"}}], device="veth-a"))
    result = asked(made)
    assert result.verdict is Verdict.UNKNOWN
    assert "fwd moves the packet to eth0" in "".join(result.unknowns)


def test_reject_in_a_bridge_tells_the_sender() -> None:
    """A bridge's reject is a reject, with its error."""
    made = cluster()
    reject = [{"reject": {"type": "tcp reset"}}]
    made.n1.nftables(*chain("bridge", "prerouting", reject))
    walked = asked(made).branches[0].walks[0]
    assert walked.disposition is Disposition.REJECTED
