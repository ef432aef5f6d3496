"""KubeSkoop's own configuration file, for whoever comes from there: its probes and labels are taken over.

The keys are those of ``pkg/exporter/cmd/config.go``. What has no counterpart is named, never dropped in silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skoopctl.errors import ConfigurationError, InventoryError
from skoopctl.events.catalogue import known_names
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
    "event": "this version has no events",
}


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
    probes, missing = _probes(metrics.get("probes") or [], path)
    notes += missing
    if probes:
        changes["probes"] = probes
    if labels := metrics.get("additionalLabels"):
        changes["additional_labels"] = _labels(labels, path)
    return Taken(changes, tuple(notes))


def _probes(listed: Any, path: Path) -> tuple[list[ProbePart], list[str]]:
    names = [entry.get("name") if isinstance(entry, Mapping) else entry for entry in listed]
    wrong = [name for name in names if not isinstance(name, str)]
    if wrong:
        raise ConfigurationError(f"metrics.probes: expected a name, found {wrong[0]!r}", path=str(path))
    wanted = dict.fromkeys(str(name) for name in names)
    there = known_names()
    known = [ProbePart(name=name) for name in wanted if name in there]
    missing = [
        f"{path}: the probe {name} is not taken over: this version does not have it"
        for name in wanted
        if name not in there
    ]
    if wanted and not known:
        raise ConfigurationError(
            "metrics.probes: this version has none of them",
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
