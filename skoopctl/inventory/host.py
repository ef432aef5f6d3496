"""One host of an inventory, with everything that decides where and how we log in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

NO_VARIABLES: Mapping[str, object] = MappingProxyType({})
NO_ORIGINS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class InventoryHost:
    """One machine to ask.

    ``None`` always means "not said here": the SSH client's own configuration and defaults decide then.
    Paths are absolute. ``groups`` holds every group that the host is in, ancestors first, without ``all``.
    """

    name: str
    address: str
    port: int = 22
    user: str | None = None
    key_file: str | None = None
    known_hosts: str | None = None
    netns: str | None = None
    """Name under ``/run/netns`` of the network namespace from which the connection is opened."""
    connection: Literal["ssh", "local"] = "ssh"
    become: bool = False
    become_user: str | None = None
    """The user that ``become_method`` turns into; ``None`` is root."""
    become_method: Literal["sudo", "doas"] = "sudo"
    jump: str | None = None
    """The bastions on the way, as ``ProxyJump`` of ssh_config(5) has them: ``[user@]host[:port][,…]``, or
    ``none`` for a direct connection whatever ``~/.ssh/config`` says."""
    accept_new: bool = False
    """Whether a host key that nobody knows yet is taken and kept, as with ``StrictHostKeyChecking=accept-new``."""
    python: str | None = None
    groups: tuple[str, ...] = ()
    variables: Mapping[str, object] = field(default_factory=lambda: NO_VARIABLES, hash=False)
    """Every variable of the host after precedence, as written, also those that have a field above."""
    port_given: bool = False
    """Whether the inventory names the port; otherwise ``~/.ssh/config`` may."""
    origins: Mapping[str, str] = field(default_factory=lambda: NO_ORIGINS, hash=False, compare=False)
    """Where each variable was written (``FILE:LINE``), and, by the name of the field, what decided it."""
