"""Which transport a host gets, and what the hosts of one run share: keys, known_hosts, passwords, bastions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from skoopctl.inventory.host import InventoryHost
from skoopctl.transport.base import Transport
from skoopctl.transport.credentials import Credentials, Trials
from skoopctl.transport.loading import load_asyncssh

if TYPE_CHECKING:
    from skoopctl.transport.bastion import Bastions
    from skoopctl.transport.login import Logins


@dataclass(frozen=True, slots=True)
class _Shared:
    logins: Logins
    bastions: Bastions


class RealTransports:
    """The transports of one run. asyncssh is loaded when the first SSH host comes."""

    def __init__(
        self,
        credentials: Credentials | None = None,
        *,
        accept_new: bool = False,
        say: Callable[[str], None] = lambda _line: None,
    ) -> None:
        """With ``accept_new``, keys of hosts that are not known yet are written down; ``say`` gets a line each."""
        self._credentials = credentials or Credentials()
        self._accept_new = accept_new
        self._say = say
        become = self._credentials.become_password
        self._become = Trials(become) if become is not None else None
        self._shared: _Shared | None = None
        self._lasting = False

    def __call__(self, host: InventoryHost) -> Transport:
        """Return a transport for ``host`` that is not connected yet."""
        if host.connection == "local":
            from skoopctl.transport.local import LocalTransport  # noqa: PLC0415

            return LocalTransport(host, self._become)
        shared = self._open()
        from skoopctl.transport.ssh import SshTransport  # noqa: PLC0415

        return SshTransport(host, shared.logins, shared.bastions, self._become)

    def renewed(self) -> RealTransports:
        """Return others for another run, after `close`: with the same secrets, and nobody is asked again."""
        made = RealTransports(self._credentials, accept_new=self._accept_new, say=self._say)
        made._become = self._become
        if self._shared is not None:
            from skoopctl.transport.bastion import Bastions  # noqa: PLC0415 - loads asyncssh

            made._shared = _Shared(self._shared.logins, Bastions(self._shared.logins))
        return made

    def unlock(self, hosts: Iterable[InventoryHost]) -> None:
        """Ask for the passphrases that ``hosts`` need, before the event loop runs and any deadline with it."""
        over_ssh = [host for host in hosts if host.connection == "ssh"]
        if over_ssh and self._credentials.ask_passphrase is not None:
            logins = self._open().logins
            logins.unlock(asyncio.run(logins.locked(over_ssh)))

    def lasting(self) -> None:
        """Open bastions again that failed, from now on."""
        self._lasting = True
        if self._shared is not None:
            self._shared.bastions.lasting = True

    async def close(self) -> None:
        """Close the bastions."""
        if self._shared is not None:
            await self._shared.bastions.close()

    def _open(self) -> _Shared:
        if self._shared is None:
            load_asyncssh()
            from skoopctl.transport.bastion import Bastions  # noqa: PLC0415 - loads asyncssh
            from skoopctl.transport.login import Logins  # noqa: PLC0415

            logins = Logins(self._credentials, accept_new=self._accept_new, say=self._say)
            self._shared = _Shared(logins, Bastions(logins, lasting=self._lasting))
        return self._shared
