"""Where a page is served, and to whom."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Listen:
    """An address, and what keeps strangers out. Files are named, and read where they are used."""

    host: str
    port: int
    user: str = ""
    password_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    client_ca_file: str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach what listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def name_in(host_header: str) -> str:
    """Return the name or address of a Host header, without its port and brackets."""
    return re.sub(r":\d+$", "", host_header).strip("[]")


def is_loopback_host(host_header: str) -> bool:
    """Tell whether a Host header means this machine by a name that nobody else can let point here."""
    return is_loopback(name_in(host_header))
