"""Labels as a page writes them, and the labels that people add."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from skoopctl.cluster.cluster import Cluster
from skoopctl.errors import UsageError

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_POD_LABEL = re.compile(r"\$\{labels:([^}]*)\}")
_TAKEN = frozenset({"k8s_node", "k8s_namespace", "k8s_pod", "device", "type", "port", "job", "instance"})


def escaped(value: str) -> str:
    """Escape a label's value; what is no text in UTF-8 (a lone surrogate) becomes a question mark."""
    return value.encode("utf-8", "replace").decode("utf-8").translate(_ESCAPES)


def head(names: Sequence[str], values: Sequence[str], more: str = "") -> str:
    """Return ``{name="value",…}``; ``more`` is what `Additional` has made."""
    pairs = [f'{name}="{escaped(value)}"' for name, value in zip(names, values, strict=True)]
    return "{" + ",".join(pairs) + more + "}"


@dataclass(frozen=True, slots=True)
class Additional:
    """Labels that people add: names, and texts in which ``${labels:NAME}`` is a pod's label, or nothing."""

    texts: Mapping[str, str]

    @property
    def plain(self) -> str:
        """What the node itself and pods that nobody knows have."""
        return self._written({})

    def by_pod(self, cluster: Cluster | None) -> dict[tuple[str, str], str]:
        """Return what each pod has, by its namespace and name."""
        if not self.texts or cluster is None:
            return {}
        return {name: self._written(pod.labels) for name, pod in cluster.pods.items()}

    def _written(self, labels: Mapping[str, str]) -> str:
        filled = {
            name: _POD_LABEL.sub(lambda found: labels.get(found[1].strip(), ""), text)
            for name, text in self.texts.items()
        }
        return "".join(f',{name}="{escaped(value)}"' for name, value in filled.items())


def additional_text(texts: Mapping[str, str]) -> Additional:
    """Check labels that people add. Raises UsageError for a name that cannot be a label, or is taken."""
    for name in texts:
        if not _NAME.fullmatch(name) or name.startswith("__"):
            raise UsageError(
                f"additionalLabels: {name!r} is no name of a label", hint="letters, digits and _"
            )
        if name in _TAKEN:
            raise UsageError(f"additionalLabels: {name!r} is a label already", hint="choose another name")
    return Additional(dict(texts))
