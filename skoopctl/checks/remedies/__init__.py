"""Remedies: edits of the model that may mend a cause, in a table that the files beside this one fill."""

from __future__ import annotations

from skoopctl.checks.remedies import links, mtu, routes, rules, sysctls

__all__ = ["links", "mtu", "routes", "rules", "sysctls"]
