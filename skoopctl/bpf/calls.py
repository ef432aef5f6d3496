"""What the calls of the kernel tell that led to a drop: the function, and the netfilter hook that it happened in.

All rules of a hook are run by ``nf_hook_slow``; whoever called that is the hook (include/linux/netfilter.h: NF_HOOK).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

RUNNERS = frozenset(("nf_hook_slow", "nf_hook_slow_list"))
"""net/netfilter/core.c."""

NETFILTER_HOOKS = {
    "ip_rcv": "PREROUTING",
    "ip_sublist_rcv": "PREROUTING",
    "ip_list_rcv": "PREROUTING",
    "ipv6_rcv": "PREROUTING",
    "ip6_sublist_rcv": "PREROUTING",
    "ipv6_list_rcv": "PREROUTING",
    "br_nf_pre_routing": "PREROUTING",
    "br_nf_pre_routing_ipv6": "PREROUTING",
    "ip_local_deliver": "INPUT",
    "ip6_input": "INPUT",
    "ip_forward": "FORWARD",
    "ip6_forward": "FORWARD",
    "br_nf_forward_ip": "FORWARD",
    "br_nf_forward": "FORWARD",
    "__ip_local_out": "OUTPUT",
    "__ip6_local_out": "OUTPUT",
    "ip6_xmit": "OUTPUT",
    "ndisc_send_skb": "OUTPUT",
    "raw_send_hdrinc": "OUTPUT",
    "rawv6_send_hdrinc": "OUTPUT",
    "ip_output": "POSTROUTING",
    "ip_mc_output": "POSTROUTING",
    "ip6_output": "POSTROUTING",
    "br_nf_post_routing": "POSTROUTING",
    "arp_rcv": "arp input",
    "arp_xmit": "arp output",
    "br_handle_frame": "bridge prerouting",
    "br_pass_frame_up": "bridge input",
    "__br_forward": "bridge forward",
    "br_forward_finish": "bridge postrouting",
    "__netif_receive_skb_core": "netdev ingress",
    "__dev_queue_xmit": "netdev egress",
}
"""Each of these functions asks one hook."""

NO_LOSS = {
    "sk_stream_kill_queues": "a socket was closed with data in its queue",
    "skb_queue_purge": "a queue was emptied that nobody needs any more",
    "skb_queue_purge_reason": "the same",
    "unix_release_sock": "a socket between processes was closed",
    "nfnetlink_rcv_batch": "a message to netfilter was read",
}
"""Functions that free packets in the normal course of things. Rules that drop are seen in other functions."""

NO_LOSS_WITHOUT_REASON = {
    "ip6_mc_input": "IPv6 multicast came by that nobody here has asked for, such as other hosts' reports (MLD)",
    "icmpv6_rcv": "an ICMPv6 message was read (before 6.2)",
}
"""Functions that do so where the kernel tells no reason, and lose packets for a reason that it tells."""

NO_REASON = frozenset(("", "NOT_SPECIFIED"))
"""What stands for a reason where the kernel tells none."""


def is_loss(function: str, reason_name: str) -> bool:
    """Return whether a packet that was freed got lost."""
    if function in NO_LOSS_WITHOUT_REASON:
        return reason_name not in NO_REASON
    return function not in NO_LOSS


def function_of(symbol: str) -> str:
    """Return the function of ``name.isra.0+0x1f``: what the compiler made of it does not matter."""
    return symbol.partition("+")[0].partition(".")[0]


def callers(location: int, stack: Sequence[int]) -> tuple[int, ...]:
    """Return the calls from the one that dropped the packet outwards, without those of the tracepoint itself."""
    calls = tuple(address for address in stack if address)
    return calls[calls.index(location) :] if location in calls else calls


def netfilter_hook(functions: Sequence[str]) -> str:
    """Return the hook whose rules were run, or nothing when none were, or it is not known."""
    for inner, outer in pairwise(functions):
        if inner in RUNNERS and outer not in RUNNERS:
            return NETFILTER_HOOKS.get(outer, "")
    return ""
