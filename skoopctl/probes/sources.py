"""The sources of numbers: which items each needs, and what decodes them."""

from __future__ import annotations

from dataclasses import dataclass

from skoopctl.probes.decode.cgroups import FD_FIELDS, IO_FIELDS, compile_cgroups
from skoopctl.probes.decode.conntrack import compile_conntrack
from skoopctl.probes.decode.headed_lines import compile_headed
from skoopctl.probes.decode.net_dev import compile_devices, compile_net_dev
from skoopctl.probes.decode.node_files import compile_ipvs, compile_softnet
from skoopctl.probes.decode.qdisc import compile_qdisc
from skoopctl.probes.decode.rdma import compile_counters, compile_resources
from skoopctl.probes.decode.rows import Compile
from skoopctl.probes.decode.sockstat import compile_sockstat
from skoopctl.probes.decode.tcp_states import compile_tcp_states


@dataclass(frozen=True, slots=True)
class Source:
    """One source: items that are decoded together.

    ``host_only`` sources are of interest in the host's namespace alone, though a node sends their items for each.
    ``partial`` ones give what they can of an item that was read in part (`denied`, with a payload).
    """

    name: str
    items: tuple[str, ...]
    compile: Compile
    host_only: bool = False
    partial: bool = False


SOURCES = {
    source.name: source
    for source in (
        Source("snmp", ("snmp",), compile_headed),
        Source("netstat", ("netstat",), compile_headed),
        Source("net-dev", ("net-dev",), compile_net_dev),
        Source("devices", ("net-dev", "link"), compile_devices, host_only=True),
        Source("sockstat", ("sockstat", "sockstat6"), compile_sockstat),
        Source("tcp-states", ("tcp-states",), compile_tcp_states),
        Source("qdisc", ("qdisc",), compile_qdisc),
        Source("conntrack", ("conntrack-stats", "conntrack-proc", "conntrack-count"), compile_conntrack),
        Source("softnet", ("softnet",), compile_softnet),
        Source("ipvs-stats", ("ipvs-stats",), compile_ipvs),
        Source("cgroup-io", ("cgroup-io",), compile_cgroups(IO_FIELDS), partial=True),
        Source("cgroup-fd", ("cgroup-fd",), compile_cgroups(FD_FIELDS), partial=True),
        Source("rdma-counters", ("rdma-counters",), compile_counters),
        Source("rdma-resources", ("rdma-resources",), compile_resources),
    )
}
