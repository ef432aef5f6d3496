"""What the grammar may draw, row by row. A row that the model does not decide yet is switched off here.

To widen the grammar, delete a row of ``NOT_YET``. ``python -m tests.kernel --with NAME`` tries one out.
"""

from __future__ import annotations

NOT_YET: dict[str, str] = {
    "bridge-port:bcast_flood off": "ARP requests are flooded to every port (corpus: bcast-flood-off)",
    "bridge-port:mcast_flood off": "solicitations are flooded to every port (corpus: mcast-flood-off)",
    "sysctl:ip_forward": "a proxy answers ARP without forwarding (corpus: proxy-arp-needs-forwarding)",
    "sysctl:forwarding": "the same",
    "bridge-nf:6": "neighbour discovery over a bridge skips br_netfilter (corpus: bridged-solicitation-rejected)",
    "local:duplicate": "two hosts with one address: a race (corpus: duplicate-address-answers-arp)",
}
"""Each row: the name of a theme, match, target or option, and what stands in its way."""
