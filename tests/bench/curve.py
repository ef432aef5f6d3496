"""How the cost of a walk grows with the number of services, and the memory that their rules take.

Each size is measured in a process of its own, so that one does not leave its memory to the next:
``python -m tests.bench.curve SERVICES`` prints what it measured as JSON.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Iterator
from ipaddress import ip_address
from statistics import median

from skoopctl.dataplane.path import Network, walk
from skoopctl.dataplane.topology import Topology
from skoopctl.dataplane.trace import Flow, Verdict
from skoopctl.kernel.iptables import Backend
from skoopctl.kernel.iptables_save import decode_iptables_save
from tests.bench.figure import Figure, at_most
from tests.bench.scale import CLIENT, FIRST_IP, rules_of, with_rules
from tests.bench.setting import Setting, python
from tests.bench.stopwatch import MeasurementError, run
from tests.support import recorded

SIZES, QUICK_SIZES = (100, 1_000, 10_000), (100, 1_000)
WALKS = 300
MEMORY_MB = 600.0
WALKS_PER_S = 300.0
KIB = 1024


def curve(setting: Setting) -> Iterator[Figure]:
    """Measure 100, 1,000 and 10,000 services: time for one walk, and peak memory with the rules decoded."""
    sizes = QUICK_SIZES if setting.quick else SIZES
    found = {}
    for size in sizes:
        setting.say(f"walking through {size:,} services in a process of its own")
        found[size] = json.loads(run(python("-m", "tests.bench.curve", str(size))).stdout)
    least = found[sizes[0]]
    for size in sizes:
        measured = found[size]
        yield Figure(
            f"curve.{size}",
            f"one flow walked, {size:,} services",
            measured["walk_s"],
            "s",
            least["walk_s"],
            f"the same with {sizes[0]} services",
            at_most(1 / WALKS_PER_S),
            measured,
        )
    most = found[sizes[-1]]
    yield Figure(
        "curve.memory",
        f"peak memory, {most['rules']:,} rules decoded",
        most["peak_mb"],
        "MB",
        most["text_mb"],
        "the text of the rules",
        None if setting.quick else at_most(MEMORY_MB),
    )


def measure(services: int) -> dict[str, float]:
    """Decode the rules of so many services, walk to services all over them, and say what it took."""
    text = rules_of(services)
    recording = recorded.load("iptables")
    tables = decode_iptables_save(text, family=4, backend=Backend.NFT).tables
    network = Network(Topology(with_rules(recording.hosts, tables)))
    host, inode, source = recording.sources[CLIENT]
    spent = []
    for number in range(WALKS):
        flow = Flow(source, str(ip_address(FIRST_IP + number * services // WALKS)), "tcp", 80)
        started = time.process_time()
        result = walk(network, flow, (host, inode))
        spent.append(time.process_time() - started)
        if result.verdict is not Verdict.PASS:
            raise MeasurementError(f"{flow.destination}: the walk says {result.verdict}, not PASS")
    return {
        "services": services,
        "rules": sum(len(chain.rules) for table in tables for chain in table.chains.values()),
        "walk_s": median(spent),
        "slowest_walk_s": max(spent),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB,
        "text_mb": len(text) / KIB / KIB,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(int(sys.argv[1]))) + "\n")
