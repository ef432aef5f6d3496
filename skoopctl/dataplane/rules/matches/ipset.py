"""The match on sets of ipset(8): ``-m set``."""

from __future__ import annotations

from skoopctl.dataplane.rules.matches.registry import NotUnderstoodError, Predicate, whole
from skoopctl.dataplane.rules.scene import Scene
from skoopctl.dataplane.rules.sets import lookup
from skoopctl.dataplane.truth import Truth, Unknown, negate
from skoopctl.kernel.iptables import Match

_COUNTERS = ("packets-eq", "packets-lt", "packets-gt", "bytes-eq", "bytes-lt", "bytes-gt")


@whole("set", "match-set", "return-nomatch", "update-counters", "update-subcounters", "set", *_COUNTERS)
def match_set(match: Match) -> Predicate:
    """``[!] --match-set NAME FLAGS``: the packet is in the set (net/netfilter/xt_set.c: set_match_v4)."""
    by_name = {opt.name: opt for opt in match.options}
    told = by_name.get("match-set") or by_name["set"]
    name, flags = told.values[0], directions(told.values[1])
    return_nomatch = "return-nomatch" in by_name
    counted = next((each for each in _COUNTERS if each in by_name), "")

    def predicate(scene: Scene) -> Truth:
        truth = lookup(scene, name, flags, return_nomatch=return_nomatch)
        if counted and truth is not False:
            truth = Unknown(
                f"--{counted}: how often the entry of set {name} will have been used is not known"
            )
        return negate(truth, told.inverted)

    return predicate


def directions(text: str) -> tuple[str, ...]:
    """Return the flags of ``src,dst,src``."""
    flags = tuple(text.split(","))
    if not set(flags) <= {"src", "dst"}:
        raise NotUnderstoodError(text)
    return flags
