"""Which transport a host gets, and what the hosts of one run share (keys, known_hosts, login slots)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skoopctl.inventory.host import InventoryHost
from skoopctl.transport.base import Transport

if TYPE_CHECKING:
    from skoopctl.transport.login import Logins


class RealTransports:
    """The transports of a real run. asyncssh is loaded when the first SSH host comes."""

    def __init__(self) -> None:
        self._logins: Logins | None = None

    def __call__(self, host: InventoryHost) -> Transport:
        """Return a transport for ``host`` that is not connected yet."""
        if host.connection == "local":
            from skoopctl.transport.local import LocalTransport  # noqa: PLC0415

            return LocalTransport(host)
        from skoopctl.transport.login import Logins  # noqa: PLC0415 - loads asyncssh
        from skoopctl.transport.ssh import SshTransport  # noqa: PLC0415

        if self._logins is None:
            self._logins = Logins()
        return SshTransport(host, self._logins)
