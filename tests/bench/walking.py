"""How many flows a second can be walked, over clusters recorded with a real kube-proxy."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from ipaddress import ip_address

from skoopctl.dataplane.path import Network, walk
from skoopctl.dataplane.topology import NsKey, Topology
from skoopctl.dataplane.trace import Flow, PathResult
from tests.bench.figure import Figure
from tests.bench.setting import Setting
from tests.bench.stopwatch import cpu_of
from tests.support import recorded

MODES = ("iptables", "nftables")
LOADS = "json.loads of one node's nft rules"


def walking(setting: Setting) -> Iterator[Figure]:
    """Walk every recorded flow, on one core."""
    rounds = setting.rounds(5)
    for mode in MODES:
        recording = recorded.load(mode)
        flows = [flow_of(recording, row) for row in recording.truth]
        setting.say(f"walking the {len(flows)} flows of the recording {mode}")
        spent = cpu_of(lambda: walk_all(recording, flows), rounds=rounds)  # noqa: B023 - used at once
        results = walk_all(recording, flows)
        packets = [w for result in results for branch in result.branches for w in branch.walks]
        steps = sum(len(each.steps) for each in packets)
        rules = (recorded.RECORDINGS / mode / "nodes" / "node1-c4" / "nft.json").read_bytes()
        loads = cpu_of(lambda: json.loads(rules), rounds=rounds)  # noqa: B023 - the same
        detail = {"flows": len(flows), "packets": len(packets), "steps": steps, "cpu_s": spent}
        yield Figure(
            f"walks.{mode}", "flows walked", len(flows) / spent, "/s", 1 / loads, LOADS, detail=detail
        )
        parse = cpu_of(lambda: ip_address("10.244.3.70"), rounds=rounds)
        yield Figure(
            f"walks.{mode}-hop", "one step of one packet", spent / steps, "s", parse, "ipaddress.ip_address()"
        )


def flow_of(recording: recorded.Recorded, row: recorded.TruthRow) -> tuple[Flow, NsKey]:
    """Return the flow of a recorded connect(), and the namespace that it came from."""
    host, inode, address = recording.sources[row.source]
    return Flow(address, row.address, row.protocol, row.port), (host, inode)


def walk_all(recording: recorded.Recorded, flows: Sequence[tuple[Flow, NsKey]]) -> list[PathResult]:
    """Walk flows through one network that nothing was looked up in before."""
    network = Network(Topology(recording.hosts))
    return [walk(network, flow, client) for flow, client in flows]
