"""The sysctls of one namespace, by their path below ``/proc/sys``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Sysctls:
    """Values by path, such as ``net/ipv4/conf/cni0/rp_filter``.

    Paths, not the dotted names of sysctl(8): a device name may hold a dot (``flannel.1``).
    """

    values: Mapping[str, str] = field(default_factory=dict)

    def text(self, path: str) -> str | None:
        """Return the raw value, or None when it was not collected."""
        return self.values.get(path)

    def integer(self, path: str) -> int | None:
        """Return the value as an integer, or None when it is missing or not one."""
        raw = self.values.get(path)
        try:
            return None if raw is None else int(raw)
        except ValueError:
            return None

    def dotted(self, path: str) -> str:
        """Return the name as sysctl(8) writes it: dots for slashes, slashes for dots in device names."""
        return path.translate(str.maketrans("/.", "./"))
