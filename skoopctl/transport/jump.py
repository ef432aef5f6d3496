"""The bastions on the way to a host, as ``ProxyJump`` of ssh_config(5) writes them: ``[user@]host[:port][,…]``."""

from __future__ import annotations

import re
from dataclasses import dataclass

_HOP = re.compile(
    r"(?:ssh://)?(?:(?P<user>[^,\s]+)@)?(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^@:,\s\[\]/]+))(?::(?P<port>\d+))?/?"
)


@dataclass(frozen=True, slots=True)
class Hop:
    """One bastion; what is ``None`` here is for ``~/.ssh/config`` to say."""

    host: str
    user: str | None = None
    port: int | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (f"{self.user}@" if self.user else "") + host + (f":{self.port}" if self.port else "")


def hops(text: str) -> tuple[Hop, ...]:
    """Return the bastions in the order in which they are passed; ``none`` is none.

    Raises ``ValueError`` for text that names no host.
    """
    if text.strip().lower() in {"", "none"}:
        return ()
    found = []
    for word in text.split(","):
        match = _HOP.fullmatch(word.strip())
        if match is None or (match["host"] or "").startswith("-"):
            raise ValueError(f"expected [user@]host[:port], found {word.strip()!r}")
        port = int(match["port"]) if match["port"] else None
        if port is not None and not 1 <= port <= 65535:
            raise ValueError(f"expected a port from 1 to 65535, found {port}")
        found.append(Hop(match["v6"] or match["host"], match["user"], port))
    return tuple(found)
