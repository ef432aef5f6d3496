"""The chains and rules of kube-proxy's iptables mode that do not depend on any service.

Source: pkg/proxy/iptables/proxier.go (``iptablesJumpChains``, ``syncProxyRules``), as
``iptables-save`` prints it.
"""

from __future__ import annotations

NFACCT_OBJECTS = ("ct_state_invalid_dropped_pkts", "localhost_nps_accepted_pkts")
MASQUERADE_MARK = "0x4000/0x4000"

BUILTIN_CHAINS = {
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
}

FIXED_CHAINS = {
    "mangle": ("KUBE-PROXY-CANARY",),
    "filter": (
        "KUBE-EXTERNAL-SERVICES",
        "KUBE-FIREWALL",
        "KUBE-FORWARD",
        "KUBE-NODEPORTS",
        "KUBE-PROXY-CANARY",
        "KUBE-PROXY-FIREWALL",
        "KUBE-SERVICES",
    ),
    "nat": ("KUBE-MARK-MASQ", "KUBE-NODEPORTS", "KUBE-POSTROUTING", "KUBE-PROXY-CANARY", "KUBE-SERVICES"),
}

MARTIAN_RULE = (
    '-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m comment --comment "block incoming localnet'
    ' connections"'
    " -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP"
)

FIXED_RULES = {
    "mangle": (),
    "filter": (
        "-A INPUT -j KUBE-FIREWALL",
        (
            '-A INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall"'
            " -j KUBE-PROXY-FIREWALL"
        ),
        '-A INPUT -m comment --comment "kubernetes health check service ports" -j KUBE-NODEPORTS',
        (
            '-A INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes externally-visible service'
            ' portals" -j KUBE-EXTERNAL-SERVICES'
        ),
        (
            '-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall"'
            " -j KUBE-PROXY-FIREWALL"
        ),
        '-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD',
        (
            '-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals"'
            " -j KUBE-SERVICES"
        ),
        (
            "-A FORWARD -m conntrack --ctstate NEW"
            ' -m comment --comment "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES'
        ),
        "-A OUTPUT -j KUBE-FIREWALL",
        (
            '-A OUTPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall"'
            " -j KUBE-PROXY-FIREWALL"
        ),
        (
            '-A OUTPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals"'
            " -j KUBE-SERVICES"
        ),
        MARTIAN_RULE,
        (
            f"-A KUBE-FORWARD -m conntrack --ctstate INVALID -m nfacct --nfacct-name  {NFACCT_OBJECTS[0]}"
            " -j DROP"
        ),
        (
            '-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules"'
            f" -m mark --mark {MASQUERADE_MARK} -j ACCEPT"
        ),
        (
            '-A KUBE-FORWARD -m comment --comment "kubernetes forwarding conntrack rule"'
            " -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
        ),
    ),
    "nat": (
        '-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
        '-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
        '-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING',
        f"-A KUBE-MARK-MASQ -j MARK --set-xmark {MASQUERADE_MARK}",
        f"-A KUBE-POSTROUTING -m mark ! --mark {MASQUERADE_MARK} -j RETURN",
        "-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0",
        (
            '-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT"'
            " -j MASQUERADE --random-fully"
        ),
    ),
}

LAST_SERVICES_RULE = (
    '-A KUBE-SERVICES -m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in'
    ' this chain" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS'
)
