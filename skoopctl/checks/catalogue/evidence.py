"""The evidence itself: what was not read, or cannot be trusted as it was."""

from __future__ import annotations

from skoopctl.checks.catalogue.doc import Doc
from skoopctl.checks.finding import Severity

EVIDENCE = (
    Doc(
        "not-decided",
        "Something on the way could not be decided",
        Severity.WARNING,
        "A rule, a table or a node could not be read, or holds something outside of the model. Both ways were "
        "walked, and they end differently.",
        "Collect what is missing, or look at the named place.",
    ),
    Doc(
        "node-not-collected",
        "A node on the way was not collected",
        Severity.WARNING,
        "The packet goes to a node that gave no answer: what happens there is unknown.",
        "Make the node reachable for skoopctl, or add it to the inventory.",
    ),
    Doc(
        "evidence-incomplete",
        "Part of a node's state was not read",
        Severity.WARNING,
        "An item is missing, was cut or denied. It is treated as unknown, not as empty.",
        "See the reason beside it: a missing program, no root, a deadline.",
    ),
    Doc(
        "unreadable-rules",
        "iptables-save does not show a table that exists",
        Severity.WARNING,
        "A native nft expression inside one of iptables' tables makes iptables-save print nothing of that table "
        "but 'incompatible': rules exist that this dump does not show.",
        "Read the table with nft; keep native rules in a table of their own.",
        ("nft -a list table ip NAME",),
    ),
    Doc(
        "two-iptables",
        "iptables-legacy and iptables-nft both hold rules",
        Severity.INFO,
        "A packet meets the rules of both, and each tool shows only its own: a DROP in the one is not seen in "
        "the other. skoopctl walks both.",
        "Move the rules to one of them, and see which programs on the node use which.",
        ("iptables-legacy-save", "iptables-nft-save"),
    ),
    Doc(
        "xt-without-arguments",
        "nft shows rules of iptables without what they ask for",
        Severity.INFO,
        "nft -j prints a match or target of iptables by its name only. Where iptables-save does not show the "
        "same table, such a rule is unknown: both ways are walked.",
        "Keep native nft rules out of iptables' tables, so that iptables-save shows them again.",
        ("nft -a list ruleset", "iptables-nft-save -c"),
    ),
    Doc(
        "rule-names-missing",
        "A rule names a chain or a set that is not in the dump",
        Severity.INFO,
        "The kernel has no such rules: the dump is not whole, or the rules changed while it was taken. What the "
        "rule does is unknown.",
        "Collect again.",
        ("nft -a list ruleset",),
    ),
    Doc(
        "rule-unreadable",
        "A rule cannot be read to its end",
        Severity.INFO,
        "The line is cut, or holds something that iptables-save does not print. The rule may match and do "
        "anything; no other rule is affected.",
        "Look at the rule on the node.",
        ("iptables-save -c",),
    ),
    Doc(
        "rules-changed",
        "The rules changed while they were read",
        Severity.INFO,
        "iptables-save and nft read the same tables one after the other, and showed different numbers of rules. "
        "A verdict may rest on rules that are gone.",
        "Collect again when kube-proxy and the network plugin are at rest.",
    ),
    Doc(
        "foreign-rules",
        "Another firewall stands beside Kubernetes' rules",
        Severity.INFO,
        "Rules of firewalld, docker, ufw or the administrator look at the same packets. ACCEPT in Kubernetes' "
        "own tables does not keep them from dropping. skoopctl walks them all.",
        "Know that it is there; let it pass the pods' and the services' networks.",
        ("nft -a list ruleset", "iptables-save -c"),
    ),
    Doc(
        "dumps-apart",
        "The dumps of two nodes are far apart in time",
        Severity.INFO,
        "The nodes' clocks differ, or one was collected long after the other: the walk may join two states of "
        "the cluster that never were at one time.",
        "Compare the nodes' clocks (chrony, timesyncd); collect both again in one run.",
        ("timedatectl", "chronyc tracking"),
    ),
    Doc(
        "arp-rules",
        "There are rules for ARP, which are not walked",
        Severity.INFO,
        "Chains of nft's family arp can keep a node from asking for, or telling, a MAC address. The walk takes "
        "it that ARP works as neighbours and devices say.",
        "Look at the rules when neighbours stay INCOMPLETE.",
        ("nft -a list ruleset arp", "ip neigh"),
    ),
)
