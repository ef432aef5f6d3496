"""Everything that one collection knows, decoded: what every check and every diagnosis is asked of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import ip_address

from skoopctl.checks.diagnosis import Coverage, Detected
from skoopctl.cluster.cluster import Cluster
from skoopctl.dataplane.path import Network
from skoopctl.dataplane.topology import NsKey, Topology
from skoopctl.kernel.netns import Host, NetNamespace


@dataclass(frozen=True)
class Snapshot:
    """Hosts and objects at one time.

    ``absent`` maps addresses to the names of hosts that were asked and gave nothing.
    """

    hosts: Mapping[str, Host]
    cluster: Cluster = field(default_factory=Cluster)
    coverage: Coverage = field(default_factory=lambda: Coverage(()))
    detected: Detected = field(default_factory=Detected)
    absent: Mapping[str, str] = field(default_factory=dict)
    collected_at: str = ""

    @cached_property
    def labels(self) -> dict[NsKey, str]:
        """Pods' names by namespace: from the UIDs of their processes, else from their addresses."""
        found: dict[NsKey, str] = {}
        for host in self.hosts.values():
            for netns in host.namespaces.values():
                name = None if netns.is_host else self._pod_name(netns)
                if name:
                    found[host.name, netns.inode] = name
        return found

    def _pod_name(self, netns: NetNamespace) -> str | None:
        for uid in netns.pod_uids:
            pod = self.cluster.pod_by_uid(uid)
            if pod is not None:
                return f"{pod.namespace}/{pod.name}"
        for address in netns.addresses:
            if not address.ip.is_loopback and not address.ip.is_link_local:
                pods = [p for p in self.cluster.pods_at(str(address.ip)) if not p.host_network]
                if pods:
                    return f"{pods[0].namespace}/{pods[0].name}"
        return None

    @cached_property
    def network(self) -> Network:
        """The network to walk in."""
        return self.network_of(self.hosts)

    def network_of(self, hosts: Mapping[str, Host]) -> Network:
        """Return the network of changed hosts, with this snapshot's names."""
        missing = {int(ip_address(ip)): name for ip, name in self.uncollected.items()}
        return Network(Topology(hosts, self.labels), missing)

    @cached_property
    def uncollected(self) -> dict[str, str]:
        """Addresses of hosts and nodes that should be here and are not."""
        found = dict(self.absent)
        for node in self.cluster.nodes.values():
            for _, address in node.addresses:
                if _is_address(address) and not self.owner(address):
                    found.setdefault(address, node.name)
        return found

    @cached_property
    def _owners(self) -> dict[str, NsKey]:
        found: dict[str, NsKey] = {}
        for host in self.hosts.values():
            for netns in host.namespaces.values():
                for address in netns.addresses:
                    if not address.ip.is_loopback:
                        found.setdefault(str(address.ip), (host.name, netns.inode))
        return found

    def owner(self, address: str) -> NsKey | None:
        """Return the namespace that has an address."""
        return self._owners.get(address)

    def netns(self, key: NsKey) -> NetNamespace:
        """Return a namespace by key."""
        return self.hosts[key[0]].namespaces[key[1]]


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
