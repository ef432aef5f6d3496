"""The table of benchmarks, in the order in which they run: those without a lab first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.bench.attaching import attaching
from tests.bench.collecting import collecting
from tests.bench.curve import curve
from tests.bench.decoding import iptables_decoding, netlink_decoding
from tests.bench.diagnosing import diagnosing
from tests.bench.figure import Figure
from tests.bench.fleet import fleet
from tests.bench.flooding import flooding
from tests.bench.holding import holding
from tests.bench.nft_scale import large_nft_cluster
from tests.bench.node import node_program
from tests.bench.reporting import reporting
from tests.bench.sampling import sampling
from tests.bench.scale import large_cluster
from tests.bench.scale_ipvs import large_ipvs
from tests.bench.series import series
from tests.bench.setting import Setting
from tests.bench.starting import start_up
from tests.bench.throughput import throughput
from tests.bench.walking import walking


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One benchmark. ``measure`` yields figures one by one, so that an error keeps those before it."""

    name: str
    what: str
    measure: Callable[[Setting], Iterator[Figure]]


BENCHMARKS = (
    Benchmark("help", "how long skoopctl --help takes", start_up),
    Benchmark("iptables", "decoding iptables rules", iptables_decoding),
    Benchmark("netlink", "decoding netlink dumps (root)", netlink_decoding),
    Benchmark("walks", "walking flows through recorded clusters", walking),
    Benchmark("scale", "ten thousand services", large_cluster),
    Benchmark("ipvs", "ten thousand services in IPVS", large_ipvs),
    Benchmark("curve", "a hundred, a thousand and ten thousand services", curve),
    Benchmark("nft-scale", "ten thousand services in nftables", large_nft_cluster),
    Benchmark("series", "a node's metrics: a round of a hundred pods to a page", series),
    Benchmark("report", "reports of a run with five thousand findings", reporting),
    Benchmark("node", "what looking costs a node with thirty pods (root)", node_program),
    Benchmark("sampling", "what watching costs a node with a hundred pods (root)", sampling),
    Benchmark("attach", "from the payload's arrival on a node to an attached event probe (root)", attaching),
    Benchmark("throughput", "traffic that passes event probes (root)", throughput),
    Benchmark("events", "a flood of drops to JSON lines (root)", flooding),
    Benchmark("diagnose", "a diagnosis from a bundle of the lab (root)", diagnosing),
    Benchmark("collect", "fifty nodes, beside ansible -m ping (root)", collecting),
    Benchmark("fleet", "two hundred hosts, five hundred connections, a slow wire (root)", fleet),
    Benchmark("hold", "two hundred hosts held for ten minutes (root)", holding),
)
