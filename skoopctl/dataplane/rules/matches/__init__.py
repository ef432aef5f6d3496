"""iptables matches: a table from module name to a compiler, filled by the files beside this one.

A compiler turns one `Match` into predicates on a `Scene`. A module that no file registers is *unknown*:
its rule may match, and both ways are walked.
"""

from __future__ import annotations

from skoopctl.dataplane.rules.matches import (  # noqa: F401
    address,
    cluster,
    connection,
    header,
    icmp,
    ipset,
    ipvs,
    kernel_state,
    link,
    reverse_path,
    transport,
    undecidable,
)
from skoopctl.dataplane.rules.matches.registry import Predicate, compile_match, known_modules

__all__ = ["Predicate", "compile_match", "known_modules"]
