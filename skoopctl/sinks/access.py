"""How to reach a server, as a configuration says it."""

from __future__ import annotations

from skoopctl.plans.part import ServerPart
from skoopctl.sinks.connection import Access


def access_of(part: ServerPart, token_file: str = "") -> Access:
    """Return where a server is and how to log in."""
    return Access(
        part.url,
        part.user,
        part.password_file,
        part.ca_file,
        part.cert_file,
        part.key_file,
        part.timeout,
        token_file,
    )
