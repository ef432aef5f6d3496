"""iptables targets: what a rule that matches does, in a table that the files beside this one fill."""

from __future__ import annotations

from skoopctl.dataplane.rules.targets import header, ipset, proxy, tcpmss

__all__ = ["header", "ipset", "proxy", "tcpmss"]
