"""kube-proxy's rules for any services and endpoints, in the shapes that v1.36 leaves on a node.

``serviceport`` turns API objects into service ports with their endpoints as one node sees them, ``naming``
gives kube-proxy's chain names, ``iptables`` and ``nftables`` write what ``iptables-restore`` and ``nft -f``
load.
"""

from skoopctl.lab.kubeproxy.iptables import iptables_ruleset
from skoopctl.lab.kubeproxy.nftables import nftables_ruleset
from skoopctl.lab.kubeproxy.serviceport import NodeView, ServicePort, service_ports

__all__ = ["NodeView", "ServicePort", "iptables_ruleset", "nftables_ruleset", "service_ports"]
