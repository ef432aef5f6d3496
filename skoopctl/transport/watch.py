"""Follows one SSH login: how far it came, which keys it saw, and the answers that it is given."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

import asyncssh

from skoopctl.transport.credentials import Trial, Trials


class LoginWatch(asyncssh.SSHClient):
    """What asyncssh asks and tells during one login."""

    def __init__(
        self,
        trials: Trials | None = None,
        accept: Callable[[asyncssh.SSHKey], bool] | None = None,
    ) -> None:
        self.connection: asyncssh.SSHClientConnection | None = None
        self.refused_key: asyncssh.SSHKey | None = None
        self.not_kept: OSError | None = None
        """Why a new host key could not be written down."""
        self.authenticating = False
        self.takes_password = False
        """Whether the server would have taken a password."""
        self.password_sent = False
        self.password_held_back = False
        """Whether the password was not sent because other hosts had refused it."""
        self.asked_for = ""
        """A question of the server that no password answers."""
        self._trials = trials
        self._trial: Trial | None = None
        self._accept = accept
        self._lost = False
        self._interactive = False

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        """Remember the connection: its properties tell what the server has said."""
        self.connection = conn

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """Refuse a host key that is not trusted, and remember it, unless it is new and such may be accepted."""
        del host, addr, port
        try:
            if self._accept is not None and self._accept(key):
                return True
        except OSError as error:
            self.not_kept = error
        self.refused_key = key
        return False

    def begin_auth(self, username: str) -> None:
        """Note that the server is the right one and that its login begins."""
        del username
        self.authenticating = True

    def auth_completed(self) -> None:
        """Note that the login is done; a password that was sent last is right."""
        self._judge(accepted=True)

    async def password_auth_requested(self) -> str | None:
        """Give the password, once in a login: the server counts failures."""
        return await self._password()

    def kbdint_auth_requested(self) -> str | None:
        """Take part in keyboard-interactive when there is a password, as PAM may offer nothing else.

        Once: an sshd without PAM offers it too, asks nothing, and counts each time as a failure.
        """
        self.takes_password = True
        first, self._interactive = not self._interactive, True
        return "" if first and self._trials is not None and not self.password_sent else None

    async def kbdint_challenge_received(
        self, name: str, instructions: str, lang: str, prompts: Sequence[tuple[str, bool]]
    ) -> list[str] | None:
        """Answer one hidden question with the password; give up at any other."""
        del name, instructions, lang
        if not prompts:
            return []
        if len(prompts) > 1 or prompts[0][1] or self.password_sent:
            self.asked_for = prompts[-1][0].strip()
            return None
        password = await self._password()
        return None if password is None else [password]

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end; a password that was sent last, and brought no login, is wrong or was not looked at."""
        self._lost = True
        self._judge(accepted=False if isinstance(exc, asyncssh.PermissionDenied) else None)

    def debug_msg_received(self, msg: str, lang: str, always_display: bool) -> None:
        """Acknowledge at once, which saves 40 ms a host.

        sshd sends debug messages after the login, and holds back its answer to the exec until they are
        acknowledged (it uses Nagle's algorithm until a session is open); Linux delays acknowledgements
        unless it is told (tcp(7): TCP_QUICKACK, not permanent).
        """
        del msg, lang, always_display
        sock = self.connection.get_extra_info("socket") if self.connection is not None else None
        if sock is not None and sock.family in {socket.AF_INET, socket.AF_INET6}:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    @property
    def server_spoke(self) -> bool:
        """Whether the server has sent its SSH version."""
        return self.connection is not None and bool(self.connection.get_extra_info("server_version"))

    async def _password(self) -> str | None:
        self.takes_password = True
        self._judge(accepted=False)  # asked again: what was sent before was refused
        if self._trials is None or self.password_sent:
            return None
        trial = await self._trials.begin()
        if trial is None:
            self.password_held_back = True
            return None
        if self._lost:
            trial.end(accepted=None)
            return None
        self._trial = trial
        self.password_sent = True
        return self._trials.secret.reveal()

    def _judge(self, *, accepted: bool | None) -> None:
        if self._trial is not None:
            self._trial.end(accepted=accepted)
            self._trial = None
