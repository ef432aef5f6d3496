"""What the cluster is, from what its nodes hold: network plugin, underlay devices, kube-proxy's mode.

None of it is needed by the walk, which reads routes and rules as they are; it is told to people, so that no
flag has to name it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from skoopctl.checks.diagnosis import Detected
from skoopctl.kernel.iptables import Backend
from skoopctl.kernel.netns import Host, NetNamespace

# A device or chain that only one plugin makes.
_PLUGIN_DEVICES = (
    ("cilium", ("cilium_host", "cilium_net", "cilium_vxlan")),
    ("calico", ("vxlan.calico", "wireguard.cali")),
    ("flannel (vxlan)", ("flannel.1", "flannel-v6.1")),
    ("flannel (wireguard)", ("flannel-wg",)),
    ("antrea", ("antrea-gw0",)),
    ("weave", ("weave",)),
    ("kube-router", ("kube-bridge",)),
)


def detect(hosts: Mapping[str, Host]) -> Detected:
    """Describe the cluster that these hosts are nodes of; empty strings where nothing tells."""
    roots = [host.root_netns for host in hosts.values()]
    modes = Counter(mode for root in roots if (mode := _proxy_mode(root)))
    backends = Counter(backend for root in roots if (backend := _backend(root)))
    plugins = Counter(plugin for root in roots if (plugin := _plugin(root)))
    return Detected(
        network_plugin=_commonest(plugins),
        underlay_interfaces=tuple(dict.fromkeys(name for root in roots for name in _underlay(root))),
        proxy_mode=_commonest(modes),
        backend=_commonest(backends),
    )


def _commonest(counted: Counter[str]) -> str:
    return " and ".join(name for name, _ in counted.most_common()) if counted else ""


def _plugin(root: NetNamespace) -> str:
    names = {link.name for link in root.links.values()}
    for plugin, devices in _PLUGIN_DEVICES:
        if names.intersection(devices):
            return plugin
    if any(name.startswith("cali") for name in names):
        return "calico"
    bridge = root.link_named("cni0")
    if bridge is None:
        return ""
    return "flannel (host-gw)" if _routes_to_peers(root) else "bridge"


def _routes_to_peers(root: NetNamespace) -> bool:
    """Tell whether ranges of pods are routed by other nodes' addresses."""
    return any(
        hop.gateway is not None and 0 < route.destination.prefixlen < 32
        for route in root.routes
        for hop in route.next_hops
    )


def _underlay(root: NetNamespace) -> Iterable[str]:
    """Yield the devices that the default routes and the tunnels use."""
    lowers = {link.vxlan.lower for link in root.links.values() if link.vxlan}
    defaults = {
        hop.index
        for route in root.routes
        if route.destination.prefixlen == 0 and route.table == 254
        for hop in route.next_hops
    }
    for index in sorted(lowers | defaults):
        link = root.links.get(index)
        if link is not None:
            yield link.name


def _proxy_mode(root: NetNamespace) -> str:
    if any(table.name == "kube-proxy" for table in root.nft):
        return "nftables"
    if root.ipvs_services or root.link_named("kube-ipvs0"):
        return "ipvs"
    if any("KUBE-SERVICES" in table.chains for table in root.iptables):
        return "iptables"
    return ""


def _backend(root: NetNamespace) -> str:
    used = {t.backend for t in root.iptables if any(chain.rules for chain in t.chains.values())}
    return "+".join(b.value for b in (Backend.NFT, Backend.LEGACY) if b in used)
