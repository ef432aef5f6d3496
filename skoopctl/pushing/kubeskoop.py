"""KubeSkoop's own configuration file, for whoever comes from there: its probes and labels are taken over.

The keys are those of ``pkg/exporter/cmd/config.go``. What has no counterpart is named, never dropped in silence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skoopctl.errors import ConfigurationError, InventoryError
from skoopctl.events.catalogue import known_names
from skoopctl.plans.loki_part import LokiPart
from skoopctl.plans.written import read_mapping
from skoopctl.pushing.config import ProbePart, PushConfig

KEYS = frozenset({"metrics", "event", "debugMode", "debugmode", "enableController", "controllerAddr", "port"})
"""Keys at the top that only KubeSkoop's file has."""
_ADDRESS = "one skoopctl serves all nodes: give it --listen ADDRESS or --gateway URL"
_NOT_TAKEN = {
    "port": _ADDRESS,
    "address": _ADDRESS,
    "enableController": "there is no controller: pods are named by --kubeconfig or by the nodes",
    "controllerAddr": "there is no controller: pods are named by --kubeconfig or by the nodes",
    "debugMode": "it has no counterpart",
    "debugmode": "it has no counterpart",
}
_OTHER_NAMES = {"conntrack": "conntrackevents"}
"""Its event probes that are called otherwise here, where a probe of metrics has their name."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What of KubeSkoop's file counts here, and a line for all that does not."""

    changes: Mapping[str, Any]
    notes: tuple[str, ...]


def read_kubeskoop(path: Path) -> Taken:
    """Return what is taken over from KubeSkoop's file. Raises `ConfigurationError`."""
    try:
        _, value = read_mapping(path)
    except InventoryError as error:
        said = error.message.partition(": ")[2]
        raise ConfigurationError(said, path=str(path), line=error.line, hint=error.hint) from None
    if not isinstance(value, Mapping) or not isinstance(value.get("metrics", {}), Mapping):
        raise ConfigurationError(
            "this is no configuration of KubeSkoop", path=str(path), hint="it has metrics.probes"
        )
    metrics = value.get("metrics", {})
    changes: dict[str, Any] = {}
    notes = [f"{path}: {key} is not taken over: {_NOT_TAKEN[key]}" for key in value if key in _NOT_TAKEN]
    event = value.get("event") or {}
    if not isinstance(event, Mapping):
        raise ConfigurationError("event: expected probes and sinks", path=str(path))
    probes, missing = _probes("metrics", metrics.get("probes") or [], path)
    more, missing_too = _probes("event", event.get("probes") or [], path)
    notes += [*missing, *missing_too]
    if probes or more:
        changes["probes"] = [*probes, *more]
    loki, left = _sinks(event.get("sinks") or [], path)
    notes += left
    if loki is not None:
        changes["loki"] = loki
    if labels := metrics.get("additionalLabels"):
        changes["additional_labels"] = _labels(labels, path)
    return Taken(changes, tuple(notes))


def _sinks(listed: Any, path: Path) -> tuple[LokiPart | None, list[str]]:
    """Return where events go, and a line for what is not taken over. Its Loki is an address on a fixed port."""
    found: LokiPart | None = None
    notes = []
    for entry in listed if isinstance(listed, list) else []:
        name = entry.get("name") if isinstance(entry, Mapping) else entry
        if name != "loki":
            notes.append(
                f"{path}: the sink {name} is not taken over: events go to Loki, or skoopctl probe run --json"
            )
            continue
        args = entry.get("args") if isinstance(entry, Mapping) else None
        address = str(args.get("addr") or "") if isinstance(args, Mapping) else ""
        try:
            found = LokiPart(url=_loki_url(address))
        except ValueError:
            raise ConfigurationError(
                f"event.sinks: loki has no usable addr: {address!r}", path=str(path)
            ) from None
    return found, notes


def _loki_url(address: str) -> str:
    url = address if "://" in address else f"http://{address}"
    return url if re.search(r":\d+/?$", url) else f"{url.rstrip('/')}:3100"


def _probes(part: str, listed: Any, path: Path) -> tuple[list[ProbePart], list[str]]:
    names = [entry.get("name") if isinstance(entry, Mapping) else entry for entry in listed]
    wrong = [name for name in names if not isinstance(name, str)]
    if wrong:
        raise ConfigurationError(f"{part}.probes: expected a name, found {wrong[0]!r}", path=str(path))
    theirs = _OTHER_NAMES if part == "event" else {}
    wanted = dict.fromkeys(theirs.get(str(name), str(name)) for name in names)
    there = known_names()
    known = [ProbePart(name=name) for name in wanted if name in there]
    missing = [
        f"{path}: the probe {name} is not taken over: this version does not have it"
        for name in wanted
        if name not in there
    ]
    if wanted and not known:
        raise ConfigurationError(
            f"{part}.probes: this version has none of them",
            path=str(path),
            hint=f"there are {', '.join(there)}",
        )
    return known, missing


def _labels(listed: Any, path: Path) -> dict[str, str]:
    from pydantic import ValidationError  # noqa: PLC0415 - heavy, and loaded by now

    try:
        return PushConfig.model_validate({"additional-labels": listed}).additional_labels
    except ValidationError as error:
        said = str(error.errors(include_url=False)[0]["msg"]).removeprefix("Value error, ")
        raise ConfigurationError(f"metrics.additionalLabels: {said}", path=str(path)) from None
