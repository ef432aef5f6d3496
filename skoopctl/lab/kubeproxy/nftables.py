"""kube-proxy's nftables mode: table ``ip kube-proxy``, written for ``nft -f``.

Source: pkg/proxy/nftables/proxier.go (``setupNFTables``, ``syncProxyRules``). Rules are written as ``nft
list`` prints them, so that a test can compare them with a recorded listing; the one exception is ``dnat ip
addr . port to``, which the listing shortens to a form that ``nft -f`` does not take.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from skoopctl.lab.kubeproxy.naming import nft_endpoint_base, nft_service_base
from skoopctl.lab.kubeproxy.serviceport import Endpoint, NodeView, ServicePort

SET_MASQUERADE_MARK = "meta mark set meta mark | 0x00004000"

_SETS = {
    "hairpin-connections": (
        "set",
        "ipv4_addr . ipv4_addr . inet_proto . inet_service",
        "service hairpin connections",
    ),
    "cluster-ips": ("set", "ipv4_addr", "Active ClusterIPs"),
    "nodeport-ips": ("set", "ipv4_addr", "IPs that accept NodePort traffic"),
    "no-endpoint-services": (
        "map",
        "ipv4_addr . inet_proto . inet_service : verdict",
        "vmap to drop or reject packets to services with no endpoints",
    ),
    "no-endpoint-nodeports": (
        "map",
        "inet_proto . inet_service : verdict",
        "vmap to drop or reject packets to service nodeports with no endpoints",
    ),
    "firewall-ips": (
        "map",
        "ipv4_addr . inet_proto . inet_service : verdict",
        "destinations that are subject to LoadBalancerSourceRanges",
    ),
    "service-ips": (
        "map",
        "ipv4_addr . inet_proto . inet_service : verdict",
        "ClusterIP, ExternalIP and LoadBalancer IP traffic",
    ),
    "service-nodeports": ("map", "inet_proto . inet_service : verdict", "NodePort traffic"),
}

_BASE_CHAINS = {
    "filter-prerouting-pre-dnat": (
        "type filter hook prerouting priority dstnat - 10; policy accept;",
        "ct state new jump firewall-check",
    ),
    "filter-output-pre-dnat": (
        "type filter hook output priority -110; policy accept;",
        "ct state new jump firewall-check",
    ),
    "filter-input": (
        "type filter hook input priority filter; policy accept;",
        "ct state new jump nodeport-endpoints-check",
        "ct state new jump service-endpoints-check",
    ),
    "filter-forward": (
        "type filter hook forward priority filter; policy accept;",
        "ct state new jump service-endpoints-check",
        "ct state new jump cluster-ips-check",
    ),
    "filter-output": (
        "type filter hook output priority filter; policy accept;",
        "ct state new jump service-endpoints-check",
        "ct state new jump cluster-ips-check",
    ),
    "nat-prerouting": ("type nat hook prerouting priority dstnat; policy accept;", "jump services"),
    "nat-output": ("type nat hook output priority -100; policy accept;", "jump services"),
    "nat-postrouting": ("type nat hook postrouting priority srcnat; policy accept;", "jump masquerading"),
    "nodeport-endpoints-check": (
        "ip daddr @nodeport-ips meta l4proto . th dport vmap @no-endpoint-nodeports",
    ),
    "service-endpoints-check": ("ip daddr . meta l4proto . th dport vmap @no-endpoint-services",),
    "firewall-check": ("ip daddr . meta l4proto . th dport vmap @firewall-ips",),
    "reject-chain": ('comment "helper for @no-endpoint-services / @no-endpoint-nodeports"', "reject"),
}

MASQUERADING_RULES = (
    "meta mark & 0x00004000 != 0x00000000 meta mark set meta mark ^ 0x00004000 masquerade fully-random",
    (
        "ct status dnat ip saddr . ip daddr . meta l4proto . th dport @hairpin-connections"
        " masquerade fully-random"
    ),
)

_Elements = dict[str, list[str]]
_Chains = dict[str, tuple[str, ...]]


def nftables_ruleset(ports: Iterable[ServicePort], node: NodeView) -> str:
    """Return the script that makes ``table ip kube-proxy`` on ``node``; the table must not be there yet."""
    wanted = tuple(ports)
    elements = _elements(wanted, node)
    chains = {**_BASE_CHAINS, **_common_chains(node)}
    for port in wanted:
        chains.update(service_chains(port, node))
    lines = ["table ip kube-proxy {", '\tcomment "rules for kube-proxy"']
    for name, (kind, type_, comment) in _SETS.items():
        lines += [f"\t{kind} {name} {{", f"\t\ttype {type_}", f'\t\tcomment "{comment}"']
        if elements[name]:
            lines.append(f"\t\telements = {{ {', '.join(elements[name])} }}")
        lines.append("\t}")
    for port in wanted:
        lines += [line for name in _affinity_sets(port) for line in _affinity_set(name, port.affinity_s)]
    for name, rules in chains.items():
        lines += [f"\tchain {name} {{", *(f"\t\t{rule}" for rule in rules), "\t}"]
    return "\n".join([*lines, "}", ""])


def service_chains(port: ServicePort, node: NodeView) -> _Chains:
    """Return the chains of one service port with their rules, by name."""
    base = _base(port)
    chains: _Chains = {}
    if port.affinity_s:
        for endpoint in port.reachable:
            chains[f"endpoint-{_endpoint_base(port, endpoint)}"] = _endpoint_chain(port, endpoint)
    if port.cluster:
        chains[f"service-{base}"] = balancing_rules(port, port.cluster)
    if port.local:
        chains[f"local-{base}"] = balancing_rules(port, port.local)
    if port.externally_accessible and port.has_endpoints:
        chains[f"external-{base}"] = tuple(_external_chain(port, node))
    if port.has_firewall:
        chains[f"firewall-{base}"] = (f"ip saddr != {_one_or_set(port.source_ranges)} drop",)
    return chains


def balancing_rules(
    port: ServicePort, endpoints: tuple[Endpoint, ...], *, address: str = ""
) -> tuple[str, ...]:
    """Return the rules that pick an endpoint; ``address`` replaces every endpoint's address in a DNAT map."""
    if port.affinity_s:
        names = [_endpoint_base(port, endpoint) for endpoint in endpoints]
        remembered = [f"ip saddr @affinity-{name} goto endpoint-{name}" for name in names]
        choices = ", ".join(f"{i} : goto endpoint-{name}" for i, name in enumerate(names))
        return (*remembered, f"numgen random mod {len(names)} vmap {{ {choices} }}")
    choices = ", ".join(f"{i} : {address or e.address} . {e.port}" for i, e in enumerate(endpoints))
    return (
        (
            f"meta l4proto {port.protocol} dnat ip addr . port to numgen random mod {len(endpoints)}"
            f" map {{ {choices} }}"
        ),
    )


def cluster_chain(port: ServicePort) -> str:
    """Return the name of the chain for the cluster-wide endpoints of a service port."""
    return f"service-{_base(port)}"


def _common_chains(node: NodeView) -> _Chains:
    """Return the chains that depend on the cluster's address ranges, and masquerading."""
    return {
        "services": (
            (
                f"ip daddr @cluster-ips ip saddr != {node.cluster_cidr} {SET_MASQUERADE_MARK}"
                ' comment "masquerade clusterIP traffic from outside cluster"'
            ),
            "ip daddr . meta l4proto . th dport vmap @service-ips",
            "ip daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports",
        ),
        "masquerading": MASQUERADING_RULES,
        "cluster-ips-check": (
            'ip daddr @cluster-ips reject comment "Reject traffic to invalid ports of ClusterIPs"',
            f'ip daddr {node.service_cidr} drop comment "Drop traffic to unallocated ClusterIPs"',
        ),
    }


def _elements(ports: tuple[ServicePort, ...], node: NodeView) -> _Elements:
    """Return the elements of every set and map."""
    found: _Elements = {name: [] for name in _SETS}
    found["nodeport-ips"].append(node.address)
    found["cluster-ips"] = list(dict.fromkeys(port.cluster_ip for port in ports))
    found["hairpin-connections"] = list(
        dict.fromkeys(
            f"{e.address} . {e.address} . {port.protocol} . {e.port}"
            for port in ports
            for e in port.reachable
            if e.local
        )
    )
    for port in ports:
        _add_destinations(found, port)
        _add_missing(found, port)
    return found


def _add_destinations(found: _Elements, port: ServicePort) -> None:
    """Add where the addresses and the node port of a service lead."""
    base, key = _base(port), f"{port.protocol} . {port.port}"
    if port.internal_endpoints:
        kind = "local" if port.internal_local else "service"
        found["service-ips"].append(f"{port.cluster_ip} . {key} : goto {kind}-{base}")
    if port.has_endpoints:
        for address in (*port.external_ips, *port.load_balancer_ips):
            found["service-ips"].append(f"{address} . {key} : goto external-{base}")
        if port.node_port:
            entry = f"{port.protocol} . {port.node_port} : goto external-{base}"
            found["service-nodeports"].append(entry)
    if port.has_firewall:
        for address in port.load_balancer_ips:
            found["firewall-ips"].append(f"{address} . {key} : goto firewall-{base}")


def _add_missing(found: _Elements, port: ServicePort) -> None:
    """Add the verdicts for traffic that has nowhere to go: reject, or drop where others may do better."""
    verdict = "drop" if port.has_endpoints else "goto reject-chain"
    key = f'{port.protocol} . {port.port} comment "{port.name}"'
    if not port.internal_endpoints:
        found["no-endpoint-services"].append(f"{port.cluster_ip} . {key} : {verdict}")
    if not port.external_endpoints:
        for address in (*port.external_ips, *port.load_balancer_ips):
            found["no-endpoint-services"].append(f"{address} . {key} : {verdict}")
        if port.node_port:
            entry = f'{port.protocol} . {port.node_port} comment "{port.name}" : {verdict}'
            found["no-endpoint-nodeports"].append(entry)


def _external_chain(port: ServicePort, node: NodeView) -> Iterator[str]:
    """Yield the rules for traffic from outside: masquerade, or keep the source and stay on the node."""
    base = _base(port)
    if not port.external_local:
        yield f'{SET_MASQUERADE_MARK} comment "masquerade"'
        yield f"goto service-{base}"
        return
    yield f'ip saddr {node.cluster_cidr} goto service-{base} comment "short-circuit pod traffic"'
    yield f'fib saddr type local {SET_MASQUERADE_MARK} comment "masquerade local traffic"'
    yield f'fib saddr type local goto service-{base} comment "short-circuit local traffic"'
    if port.local:
        yield f"goto local-{base}"


def _endpoint_chain(port: ServicePort, endpoint: Endpoint) -> tuple[str, ...]:
    """Return the rules that remember a client and send it to one endpoint."""
    return (
        f"update @affinity-{_endpoint_base(port, endpoint)} {{ ip saddr }}",
        f"meta l4proto {port.protocol} dnat to {endpoint.text}",
    )


def _affinity_sets(port: ServicePort) -> list[str]:
    """Return the names of the sets that remember a service port's clients."""
    if not port.affinity_s:
        return []
    return [f"affinity-{_endpoint_base(port, endpoint)}" for endpoint in port.reachable]


def _affinity_set(name: str, seconds: int) -> list[str]:
    """Return one such set."""
    body = ("type ipv4_addr", "size 65535", "flags dynamic,timeout", f"timeout {seconds}s")
    return [f"\tset {name} {{", *(f"\t\t{line}" for line in body), "\t}"]


def _one_or_set(items: tuple[str, ...]) -> str:
    """Return one item as it is, several as an anonymous set."""
    return items[0] if len(items) == 1 else f"{{ {', '.join(items)} }}"


def _base(port: ServicePort) -> str:
    """Return the part of chain names that stands for a service port."""
    return nft_service_base(port.namespace, port.service, port.protocol, port.port_name)


def _endpoint_base(port: ServicePort, endpoint: Endpoint) -> str:
    """Return the part of names that stands for an endpoint of a service port."""
    return nft_endpoint_base(port.namespace, port.service, port.protocol, port.port_name, endpoint.text)
