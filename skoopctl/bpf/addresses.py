"""Addresses of the kernel's records as they are written."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address


@lru_cache(maxsize=4096)
def address_text(family: int, raw: bytes) -> str:
    """Return 16 bytes of a record as an address of family 4 or 6, or nothing."""
    if family == 4:
        return ".".join(map(str, raw[:4]))
    return str(IPv6Address(raw)) if family else ""
