"""A whole bundle redacted: on export only. Every analysis of the original sees what is there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from skoopctl.evidence.bundle import Bundle, HostRecord
from skoopctl.evidence.item import HostEvidence
from skoopctl.evidence.redaction.items import LEFT_OUT, WITH_RANGES, redact_item
from skoopctl.evidence.redaction.map_file import RedactionMap
from skoopctl.evidence.redaction.objects import redact_objects
from skoopctl.evidence.redaction.words import Redactor

_MAY_HOLD_RANGES = re.compile(
    rb"\.[0-9]{1,3}-[0-9]{1,3}\.|:[0-9a-fA-F]*-[0-9a-fA-F]*:|\"range\"|NETMAP|netmap|bitmap"
)
REDACTED_INVENTORY = "(redacted)"


@dataclass(frozen=True, slots=True)
class Redaction:
    """A redacted bundle, the map that made it, and what is not in it: host, item or kind, and why."""

    bundle: Bundle
    map: RedactionMap
    left_out: tuple[tuple[str, str, str], ...]


def redact(bundle: Bundle, known: RedactionMap) -> Redaction:
    """Return a bundle that tells the same of the network, with other names and addresses.

    ``known`` holds the key; what an earlier bundle made of it is made of it again. The result's map holds what was
    replaced by what.
    """
    if not known.used:
        known = _fitted(known, bundle)
    redactor = known.redactor()
    results = {redactor.names.name(name): _host(record, redactor) for name, record in bundle.results.items()}
    cluster, missing = _objects(bundle.cluster, redactor)
    redacted = replace(
        bundle,
        results=results,
        cluster=cluster,
        cluster_problem=_problem(bundle.cluster_problem, missing, redactor),
        inventory=REDACTED_INVENTORY if bundle.inventory else "",
        redacted=True,
    )
    left_out = (*_left_out(results), *(("", kind, "it could not be read") for kind in missing))
    return Redaction(redacted, known.with_replacements(redactor), left_out)


def _fitted(known: RedactionMap, bundle: Bundle) -> RedactionMap:
    """Return a map that keeps the bundle's ranges of addresses, and what NETMAP carries.

    The rewriters note both; so the items that may hold some are rewritten once in vain.
    """
    scout = known.redactor()
    for record in bundle.results.values():
        for item in record.evidence.items.values():
            if item.name in WITH_RANGES and _MAY_HOLD_RANGES.search(item.payload):
                redact_item(item, scout)
    return replace(known, ranges=frozenset(scout.ranges), carried=frozenset(scout.carried))


def _host(record: HostRecord, redactor: Redactor) -> HostRecord:
    evidence = record.evidence
    items = {key: redact_item(item, redactor) for key, item in evidence.items.items()}
    name = redactor.names.name(evidence.host)
    new = HostEvidence(name, items, evidence.complete, redactor.prose(evidence.problem))
    address = redactor.ip(record.address) if record.address else ""
    return replace(record, detail=redactor.prose(record.detail), evidence=new, address=address)


def _objects(cluster: Mapping[str, bytes], redactor: Redactor) -> tuple[dict[str, bytes], list[str]]:
    written: dict[str, bytes] = {}
    missing: list[str] = []
    for kind, payload in cluster.items():
        try:
            written[kind] = redact_objects(kind, payload, redactor)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            missing.append(kind)
    return written, missing


def _problem(known: str, missing: Sequence[str], redactor: Redactor) -> str:
    left_out = f"{LEFT_OUT}{', '.join(missing)} could not be read" if missing else ""
    return "; ".join(filter(None, (redactor.prose(known), left_out)))


def _left_out(results: Mapping[str, HostRecord]) -> Iterator[tuple[str, str, str]]:
    for name, record in results.items():
        for item in record.evidence.items.values():
            if item.detail.startswith(LEFT_OUT):
                yield name, item.name, item.detail.removeprefix(LEFT_OUT)
