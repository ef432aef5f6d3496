"""A node with pods forwards their packets, and its bridges show them to netfilter where that is needed."""

from __future__ import annotations

from collections.abc import Iterator

from skoopctl.checks.catalogue import DOCS
from skoopctl.checks.finding import Finding, Fix, Where
from skoopctl.checks.inspections.members import node_hosts
from skoopctl.checks.inspections.registry import Inspected, Noted, inspection
from skoopctl.dataplane.journey import sysctl_evidence
from skoopctl.kernel.netns import Host

_FORWARDING = {4: "net/ipv4/ip_forward", 6: "net/ipv6/conf/all/forwarding"}


@inspection("forwarding", "whether nodes with pods forward packets")
def forwarding(inspected: Inspected) -> Iterator[Noted]:
    """Look at ip_forward (and IPv6's switch, where pods have such addresses) of every node that has pods."""
    hosts = inspected.snapshot.hosts
    looked = 0
    for host in hosts.values():
        families = {
            address.ip.version
            for netns in host.namespaces.values()
            if not netns.is_host and netns.pod_uids
            for address in netns.addresses
            if not address.ip.is_loopback and not address.ip.is_link_local
        }
        looked += bool(families)
        for family in sorted(families):
            if host.root_netns.sysctls.integer(_FORWARDING[family]) == 0:
                yield _off(host, _FORWARDING[family])
    inspected.count("nodes with pods", looked, len(node_hosts(inspected.snapshot)))


def _off(host: Host, path: str) -> Noted:
    doc = DOCS["forwarding-off"]
    name = path.replace("/", ".")
    fix = Fix(f"switch forwarding on at {host.name}", host.name, (f"sysctl -w {name}=1",))
    summary = f"{host.name} has pods and forwards nothing: {name} is 0"
    evidence = (sysctl_evidence(host.root_netns, path),)
    return Noted(Finding(doc.id, doc.severity, Where(host.name, "host"), summary, evidence, doc.why, fix))
