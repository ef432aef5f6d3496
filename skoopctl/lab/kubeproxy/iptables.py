"""kube-proxy's iptables mode, written in the form that ``iptables-save`` prints.

Source: pkg/proxy/iptables/proxier.go (``syncProxyRules``). Printing the saved form rather than the form that
kube-proxy itself writes lets a test compare the text with a recorded ``iptables-save``, line by line.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from skoopctl.lab.kubeproxy.iptables_frame import (
    BUILTIN_CHAINS,
    FIXED_CHAINS,
    FIXED_RULES,
    LAST_SERVICES_RULE,
    MARTIAN_RULE,
    NFACCT_OBJECTS,
)
from skoopctl.lab.kubeproxy.naming import iptables_endpoint_chain, iptables_service_hash
from skoopctl.lab.kubeproxy.serviceport import Endpoint, NodeView, ServicePort

_Rules = dict[str, list[str]]


def iptables_ruleset(ports: Iterable[ServicePort], node: NodeView) -> str:
    """Return the text that ``iptables-restore`` loads on ``node``: tables mangle, filter and nat."""
    rules: _Rules = {table: list(lines) for table, lines in FIXED_RULES.items()}
    for port in ports:
        rules["filter"] += _filter_rules(port)
        rules["nat"] += _dispatch_rules(port)
        rules["nat"] += service_chain_rules(port, node)
    rules["nat"].append(LAST_SERVICES_RULE)
    return "".join(_table(table, lines, FIXED_CHAINS[table]) for table, lines in rules.items())


def kubelet_ruleset() -> str:
    """Return what stands beside kube-proxy's nft table in nftables mode: kubelet's chain, empty tables."""
    rules: _Rules = {"mangle": [], "filter": [], "nat": []}
    rules["filter"] = ["-A INPUT -j KUBE-FIREWALL", "-A OUTPUT -j KUBE-FIREWALL", MARTIAN_RULE]
    return "".join(_table(table, lines, ()) for table, lines in rules.items())


def service_chain_rules(port: ServicePort, node: NodeView) -> list[str]:
    """Return the rules of the chains that belong to one service port, in the order of the chains."""
    return [
        *_internal_masquerade(port, node),
        *_external_chain(port, node),
        *_firewall_chain(port),
        *_balancing_chain(port, "KUBE-SVC", port.cluster),
        *_balancing_chain(port, "KUBE-SVL", port.local),
        *[line for endpoint in port.reachable for line in endpoint_chain_rules(port, endpoint)],
    ]


def endpoint_chain_rules(port: ServicePort, endpoint: Endpoint, *, address: str = "") -> list[str]:
    """Return the two rules of an endpoint's chain; ``address`` replaces the address in the DNAT rule."""
    chain = iptables_endpoint_chain(port.name, port.protocol, endpoint.text)
    recent = f" -m recent --set --name {chain} --mask 255.255.255.255 --rsource" if port.affinity_s else ""
    target = f"{address or endpoint.address}:{endpoint.port}"
    return [
        f"-A {chain} -s {endpoint.address}/32 {_comment(port.name)} -j KUBE-MARK-MASQ",
        (
            f"-A {chain} -p {port.protocol} {_comment(port.name)}{recent} -m {port.protocol}"
            f" -j DNAT --to-destination {target}"
        ),
    ]


def probability(choices: int) -> str:
    """Return 1/``choices`` as ``iptables-save`` prints what kube-proxy asked for.

    kube-proxy writes ten digits, the kernel keeps 31 bits (xt_statistic), and iptables prints eleven digits.
    """
    asked = float(f"{1 / choices:.10f}")
    return f"{round(asked * 0x80000000) / 0x80000000:.11f}"


def chain(prefix: str, port: ServicePort) -> str:
    """Return the name of a chain of a service port: ``KUBE-SVC-…``, ``KUBE-EXT-…`` and so on."""
    return f"{prefix}-{iptables_service_hash(port.name, port.protocol)}"


def _table(table: str, lines: list[str], fixed: tuple[str, ...]) -> str:
    """Return one table: chains declared (``fixed`` ones too), the rules of each chain together."""
    by_chain: _Rules = defaultdict(list)
    for line in lines:
        by_chain[line.split()[1]].append(line)
    names = sorted((set(fixed) | set(by_chain)) - set(BUILTIN_CHAINS[table]))
    text = [f"*{table}"]
    text += [f":{name} ACCEPT [0:0]" for name in BUILTIN_CHAINS[table]]
    text += [f":{name} - [0:0]" for name in names]
    for name in (*BUILTIN_CHAINS[table], *names):
        text += by_chain.get(name, [])
    return "\n".join([*text, "COMMIT", ""])


def _comment(text: str) -> str:
    """Return a comment match; iptables quotes what holds more than plain letters."""
    return f'-m comment --comment "{text}"'


def _to(port: ServicePort, address: str, text: str, number: int | None = None) -> str:
    """Return the matches for traffic to ``address`` and a port of the service, with a comment."""
    where = f"-d {address} " if address else ""
    dport = port.port if number is None else number
    return f"{where}-p {port.protocol} {_comment(text)} -m {port.protocol} --dport {dport}"


def _filter_rules(port: ServicePort) -> list[str]:
    """Return the rules of table filter: services without endpoints, firewalls, health checks."""
    lines = []
    internal = _missing(port, port.internal_endpoints)
    external = _missing(port, port.external_endpoints)
    if internal:
        text, target = internal
        lines.append(f"-A KUBE-SERVICES {_to(port, f'{port.cluster_ip}/32', text)} -j {target}")
    if external:
        text, target = external
        lines += [
            f"-A KUBE-EXTERNAL-SERVICES {_to(port, f'{address}/32', text)} -j {target}"
            for address in (*port.external_ips, *port.load_balancer_ips)
        ]
        if port.node_port:
            lines.append(
                f"-A KUBE-EXTERNAL-SERVICES -p {port.protocol} {_comment(text)} -m addrtype --dst-type LOCAL"
                f" -m {port.protocol} --dport {port.node_port} -j {target}"
            )
    if port.has_firewall:
        text = f"{port.name} traffic not accepted by {chain('KUBE-FW', port)}"
        lines += [
            f"-A KUBE-PROXY-FIREWALL {_to(port, f'{address}/32', text)} -j DROP"
            for address in port.load_balancer_ips
        ]
    if port.health_check_port:
        lines.append(
            f"-A KUBE-NODEPORTS -p tcp {_comment(f'{port.name} health check node port')}"
            f" -m tcp --dport {port.health_check_port} -j ACCEPT"
        )
    return lines


def _missing(port: ServicePort, endpoints: tuple[Endpoint, ...]) -> tuple[str, str] | None:
    """Return the comment and the target for traffic that has nowhere to go, or None if it has."""
    if not port.has_endpoints:
        return f"{port.name} has no endpoints", "REJECT --reject-with icmp-port-unreachable"
    if not endpoints:
        return f"{port.name} has no local endpoints", "DROP"
    return None


def _dispatch_rules(port: ServicePort) -> list[str]:
    """Return the rules of KUBE-SERVICES and KUBE-NODEPORTS in table nat that lead to this port's chains."""
    lines = []
    external = chain("KUBE-EXT", port)
    if port.internal_endpoints:
        target = chain("KUBE-SVL" if port.internal_local else "KUBE-SVC", port)
        lines.append(
            f"-A KUBE-SERVICES {_to(port, f'{port.cluster_ip}/32', f'{port.name} cluster IP')} -j {target}"
        )
    if not port.has_endpoints:
        return lines
    balanced = chain("KUBE-FW", port) if port.has_firewall else external
    ways = [
        *((address, "external IP", external) for address in port.external_ips),
        *((address, "loadbalancer IP", balanced) for address in port.load_balancer_ips),
    ]
    lines += [
        f"-A KUBE-SERVICES {_to(port, f'{address}/32', f'{port.name} {what}')} -j {target}"
        for address, what, target in ways
    ]
    if port.node_port:
        lines += [
            (
                f"-A KUBE-NODEPORTS {_to(port, '127.0.0.0/8', port.name, port.node_port)}"
                f" -m nfacct --nfacct-name  {NFACCT_OBJECTS[1]} -j {external}"
            ),
            f"-A KUBE-NODEPORTS {_to(port, '', port.name, port.node_port)} -j {external}",
        ]
    return lines


def _internal_masquerade(port: ServicePort, node: NodeView) -> Iterator[str]:
    """Yield the rule that marks traffic to the cluster IP from outside the pods' network."""
    if port.internal_endpoints:
        name = chain("KUBE-SVL" if port.internal_local else "KUBE-SVC", port)
        yield (
            f"-A {name} ! -s {node.cluster_cidr}"
            f" {_to(port, f'{port.cluster_ip}/32', f'{port.name} cluster IP')} -j KUBE-MARK-MASQ"
        )


def _external_chain(port: ServicePort, node: NodeView) -> list[str]:
    """Return the rules of KUBE-EXT: masquerade, or keep the source address and stay on the node."""
    if not (port.externally_accessible and port.has_endpoints):
        return []
    name, cluster, local = (chain(prefix, port) for prefix in ("KUBE-EXT", "KUBE-SVC", "KUBE-SVL"))
    if not port.external_local:
        text = f"masquerade traffic for {port.name} external destinations"
        return [f"-A {name} {_comment(text)} -j KUBE-MARK-MASQ", f"-A {name} -j {cluster}"]
    ours = "-m addrtype --src-type LOCAL"
    what = f"for {port.name} external destinations"
    lines = [
        f"-A {name} -s {node.cluster_cidr} {_comment(f'pod traffic {what}')} -j {cluster}",
        f"-A {name} {_comment(f'masquerade LOCAL traffic {what}')} {ours} -j KUBE-MARK-MASQ",
        f"-A {name} {_comment(f'route LOCAL traffic {what}')} {ours} -j {cluster}",
    ]
    return [*lines, f"-A {name} -j {local}"] if port.local else lines


def _firewall_chain(port: ServicePort) -> list[str]:
    """Return the rules of KUBE-FW: who may use the load balancer IP."""
    if not (port.has_firewall and port.has_endpoints):
        return []
    name = chain("KUBE-FW", port)
    text = f"{port.name} loadbalancer IP"
    rest = f"other traffic to {port.name} will be dropped by KUBE-PROXY-FIREWALL"
    return [
        *[
            f"-A {name} -s {cidr} {_comment(text)} -j {chain('KUBE-EXT', port)}"
            for cidr in port.source_ranges
        ],
        f"-A {name} {_comment(rest)}",
    ]


def _balancing_chain(port: ServicePort, prefix: str, endpoints: tuple[Endpoint, ...]) -> Iterator[str]:
    """Yield the rules that pick an endpoint: first the one that this client had before, then at random."""
    name = chain(prefix, port)
    targets = [(e.text, iptables_endpoint_chain(port.name, port.protocol, e.text)) for e in endpoints]
    if port.affinity_s:
        for text, target in targets:
            yield (
                f"-A {name} {_comment(f'{port.name} -> {text}')} -m recent --rcheck"
                f" --seconds {port.affinity_s} --reap --name {target} --mask 255.255.255.255 --rsource"
                f" -j {target}"
            )
    for left, (text, target) in zip(range(len(targets), 0, -1), targets, strict=True):
        share = f" -m statistic --mode random --probability {probability(left)}" if left > 1 else ""
        yield f"-A {name} {_comment(f'{port.name} -> {text}')}{share} -j {target}"
