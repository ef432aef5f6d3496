"""Rules, services and connections that end a packet."""

from __future__ import annotations

from skoopctl.checks.catalogue.doc import Doc
from skoopctl.checks.finding import Severity

RULES = (
    Doc(
        "netfilter-drop",
        "A firewall rule drops the packet",
        Severity.FATAL,
        "A rule with the target DROP, or a chain's policy, ends the packet without telling its sender: the "
        "client waits until it times out. A rule on a tunnel's outer packet (VXLAN: UDP 8472) stops all pod "
        "traffic between the two nodes, though no rule names a pod.",
        "Delete the rule, or put one that accepts before it. If a tool wrote it (firewalld, ufw, a security "
        "agent), change it there, or it will come back.",
        ("iptables-save -c", "nft -a list ruleset"),
    ),
    Doc(
        "netfilter-reject",
        "A firewall rule rejects the packet",
        Severity.FATAL,
        "A rule with the target REJECT ends the packet and answers with an ICMP error or a TCP reset. The "
        "client fails at once: connection refused, or no route to host.",
        "Delete the rule, or put one that accepts before it.",
        ("iptables-save -c", "nft -a list ruleset"),
    ),
    Doc(
        "service-without-endpoints",
        "The service has no ready endpoints",
        Severity.FATAL,
        "kube-proxy rejects packets for a service that has no ready endpoint. Its selector matches no pod, or "
        "none of its pods passes its readiness probe.",
        "Compare the service's selector with the pods' labels; see why the pods are not ready.",
        ("kubectl get endpointslices -l kubernetes.io/service-name=NAME", "kubectl get pods -o wide"),
    ),
    Doc(
        "ipvs-no-server",
        "IPVS has a service, and no server that takes new connections",
        Severity.FATAL,
        "All servers of the service have weight 0 (kube-proxy drains endpoints that terminate), are over their "
        "threshold of connections, or the scheduler's hash names one that takes none. The kernel answers with "
        "ICMP port unreachable, TCP too: connection refused.",
        "See why the service's endpoints are not ready; with a hashing scheduler, set its fallback flag.",
        ("ipvsadm -L -n --thresholds", "kubectl get endpointslices -o wide"),
    ),
    Doc(
        "ipvs-loopback-source",
        "IPVS does not send packets of 127.0.0.0/8 to another host",
        Severity.FATAL,
        "A client on the node that connects from a loopback address cannot be balanced to a server elsewhere, "
        "and a packet from outside not to a server on a loopback address: the kernel drops it without a word.",
        "Connect to the node's own address, or to the service's.",
        ("ipvsadm -L -n",),
    ),
    Doc(
        "stale-conntrack",
        "An old connection sends packets where they went before",
        Severity.CRITICAL,
        "conntrack's table has an entry for this client, port and service from another time. Its packets are "
        "translated as it was then, and no rule is asked again: to an endpoint that is gone, or not at all. UDP "
        "clients that keep their port (DNS, SIP, syslog) never get away from it while they go on sending.",
        "Delete the entry. kube-proxy does so for UDP when an endpoint goes; see whether it runs.",
        ("conntrack -L -d ADDRESS",),
    ),
    Doc(
        "conntrack-table-full",
        "conntrack's table is full",
        Severity.FATAL,
        "A packet that begins a connection needs an entry. When there are nf_conntrack_max of them and none "
        "nearby can be thrown out, the kernel drops the packet and logs 'nf_conntrack: table full, dropping "
        "packet'. Connections that exist go on.",
        "Raise net.netfilter.nf_conntrack_max, or find who makes so many connections.",
        ("conntrack -C", "sysctl net.netfilter.nf_conntrack_max", "conntrack -S"),
    ),
    Doc(
        "source-range-refused",
        "The source is outside the load balancer's source ranges",
        Severity.FATAL,
        "The service has loadBalancerSourceRanges; kube-proxy drops packets to its load balancer address from "
        "any other source, pods and nodes of the cluster too.",
        "Add the source to spec.loadBalancerSourceRanges, or use the cluster IP from inside.",
        ("kubectl get service NAME -o yaml",),
    ),
    Doc(
        "stale-endpoint",
        "A service sends to an address that no pod has",
        Severity.FATAL,
        "The node's rules translate the service to an endpoint that is not there any more: kube-proxy has not "
        "caught up with the API, or has stopped.",
        "See whether kube-proxy runs on this node and reaches the API server; restart it there.",
        ("kubectl -n kube-system get pods -l k8s-app=kube-proxy -o wide",),
    ),
    Doc(
        "no-local-endpoint",
        "The node has no endpoint of a service with a Local traffic policy",
        Severity.FATAL,
        "With externalTrafficPolicy or internalTrafficPolicy Local, a node sends only to its own pods. A node "
        "without one drops, or lets the packet go where no one waits for it.",
        "Ask a node that runs an endpoint, or use the policy Cluster.",
        ("kubectl get service NAME -o yaml", "kubectl get endpointslices -o wide"),
    ),
    Doc(
        "service-port-unknown",
        "The service has no such port",
        Severity.FATAL,
        "The address is a service's, but no rule of this node translates this port: the packet keeps the "
        "virtual address, which no device has, and is routed to nowhere.",
        "Use a port of the service.",
        ("kubectl get service NAME",),
    ),
)
