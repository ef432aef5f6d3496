"""What a failed SSH login means, in words, with what to do about it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import asyncssh

from skoopctl.errors import AuthenticationError, DeniedError, HostKeyError, TransportError, UnreachableError
from skoopctl.inventory.host import InventoryHost
from skoopctl.transport.credentials import REFUSALS_AT_MOST
from skoopctl.transport.dial import unreachable
from skoopctl.transport.identities import fingerprint
from skoopctl.transport.login import Login

if TYPE_CHECKING:
    from skoopctl.transport.watch import LoginWatch

_TOO_MANY_FAILURES = "too many authentication failures"


class DroppedError(UnreachableError):
    """The server hung up before the login began: it may be busy (MaxStartups), and trying again is fair."""

    def __init__(self, host: str, what: str, *, hint: str = "") -> None:
        super().__init__(host, what, hint=hint)
        self.what = what


def no_login(
    host: InventoryHost, login: Login, watch: LoginWatch, error: Exception, *, proxy_said: str, bastion: str
) -> TransportError:
    """Return our error for one that asyncssh or the system raised during a login.

    ``bastion`` names the bastion that we came through, if any, and ``proxy_said`` is a ProxyCommand's last line.
    """
    if isinstance(error, asyncssh.ChannelOpenError):
        return _not_forwarded(host, login, error, bastion)
    if isinstance(error, asyncssh.HostKeyNotVerifiable):
        return _host_key(host, login, watch, str(error))
    if isinstance(error, asyncssh.KeyExchangeFailed) and "host key" in str(error).lower():
        return _other_key_types(host, login)
    text = str(error) or type(error).__name__
    if isinstance(error, asyncssh.PermissionDenied) or _TOO_MANY_FAILURES in text.lower():
        return _refused(host, login, watch, text)
    if isinstance(error, OSError) and not isinstance(error, ConnectionResetError | BrokenPipeError):
        return unreachable(host, login.name, login.port, error)
    if watch.authenticating:
        hint = "look at sshd's log on the host"
        return UnreachableError(host.name, f"{login.target} broke off during the login: {text}", hint=hint)
    if isinstance(error, asyncssh.ConnectionLost | OSError):
        return _hung_up(host, login, watch, proxy_said, bastion)
    return UnreachableError(host.name, f"no SSH login to {login.target}: {text}", hint="is that port sshd's?")


def _hung_up(
    host: InventoryHost, login: Login, watch: LoginWatch, proxy_said: str, bastion: str
) -> UnreachableError:
    what = "after its greeting" if watch.server_spoke else "before it said anything"
    hint = "is that port sshd's? sshd also drops logins when many come at once (MaxStartups)"
    if login.proxy_command is not None:  # it may be a login that was refused: never again
        what += f"; the ProxyCommand said: {proxy_said}" if proxy_said else " (through the ProxyCommand)"
        return UnreachableError(host.name, f"{login.target} hung up {what}", hint=hint)
    if bastion:
        what += f" (through {bastion})"
    return DroppedError(host.name, f"{login.target} hung up {what}", hint=hint)


def _not_forwarded(
    host: InventoryHost, login: Login, error: asyncssh.ChannelOpenError, bastion: str
) -> UnreachableError:
    """Tell a bastion that may not forward from one that finds nobody there (RFC 4254, 5.1)."""
    if error.code == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED:
        what = f"{bastion} does not forward to {login.target}: {error.reason}"
        hint = "look at AllowTcpForwarding and PermitOpen in the bastion's sshd_config"
    else:
        what = f"{bastion} cannot reach {login.target}: {error.reason}"
        hint = (
            "is the host up, is sshd running, are ansible_host and ansible_port right, seen from the bastion?"
        )
    return UnreachableError(host.name, what, hint=hint)


def no_key(host: InventoryHost, login: Login) -> AuthenticationError:
    """Return our error for a host to which nothing can be offered."""
    tried = ", ".join(login.identities.described)
    what = f"no usable key: {tried}" if tried else "there is no usable key: no SSH agent and no key in ~/.ssh"
    hint = (
        "name one with --private-key or ansible_ssh_private_key_file, or start an agent and ssh-add the key"
    )
    return AuthenticationError(
        host.name, f"cannot log in to {login.target} as {login.user}: {what}", hint=hint
    )


def no_exec(host: InventoryHost, error: Exception) -> TransportError:
    """Return our error for a login that may not run a command."""
    if isinstance(error, asyncssh.ChannelOpenError):
        hint = "the account may not run commands; look at sshd_config and authorized_keys on the host"
        return DeniedError(host.name, f"the host lets us log in but runs nothing: {error}", hint=hint)
    return UnreachableError(host.name, f"the connection broke before the program began: {error}")


def _refused(host: InventoryHost, login: Login, watch: LoginWatch, text: str) -> AuthenticationError:
    offered = [*login.identities.described, *(["the password, once"] if watch.password_sent else [])]
    offered = offered or ["no key: there is no agent and no key in ~/.ssh"]
    methods: list[str] = []
    if watch.connection is not None:
        methods = list(watch.connection.get_server_auth_methods())
    accepts = f"; it accepts: {', '.join(methods)}" if methods and "publickey" not in methods else ""
    too_many = " after too many keys" if _TOO_MANY_FAILURES in text.lower() else ""
    return AuthenticationError(
        host.name,
        f"{login.target} refused the login of {login.user}{too_many} (offered: {', '.join(offered)}{accepts})"
        f"{_about_password(watch)}",
        hint=_what_to_do(login, watch, too_many=bool(too_many)),
        final=watch.password_sent or watch.password_held_back,
    )


def _about_password(watch: LoginWatch) -> str:
    if watch.password_held_back:
        return f"; the password was not sent: {REFUSALS_AT_MOST} hosts had refused it and none taken it"
    return f"; it also asked: {watch.asked_for[:80]!r}" if watch.asked_for else ""


def _what_to_do(login: Login, watch: LoginWatch, *, too_many: bool) -> str:
    if too_many:
        return "the agent holds many keys: name the right one with ansible_ssh_private_key_file"
    if watch.asked_for:
        return "only a password can be given; log in with a key, which needs no second factor there"
    if watch.password_sent or watch.password_held_back:
        return "it is not tried again, for failures lock accounts; is it the right one, and the right user?"
    if watch.takes_password and login.trials is None:
        return f"--ask-pass gives it a password; or put the key into ~{login.user}/.ssh/authorized_keys there"
    return f"put the public key into ~{login.user}/.ssh/authorized_keys on the host, or correct ansible_user"


def _host_key(host: InventoryHost, login: Login, watch: LoginWatch, text: str) -> HostKeyError:
    key = watch.refused_key
    seen = fingerprint(key) if key is not None else "a certificate"
    trusted = login.trusted
    if watch.not_kept is not None:
        return HostKeyError(
            host.name,
            f"the new host key of {login.target} cannot be written to {trusted.files[0]}: "
            f"{watch.not_kept.strerror or watch.not_kept}",
            hint="a key that is not kept is not accepted",
        )
    if "revoked" in text.lower():
        return HostKeyError(host.name, f"the host key of {login.target} is revoked: {text}")
    if trusted.changed:
        known = ", ".join(fingerprint(known) for known in trusted.keys)
        return _changed(host, login, f"it shows {seen}, known is {known}")
    if not trusted.files:
        where = "because UserKnownHostsFile is `none` in ~/.ssh/config"
        return HostKeyError(
            host.name,
            f"the host key of {login.target} ({seen}) cannot be checked {where}",
            hint="name a known_hosts file with skoop_known_hosts; host keys are always checked",
        )
    if trusted.authorities and key is not None:
        return HostKeyError(
            host.name,
            f"{login.target} shows {seen} without a certificate, and {trusted.files[0]} trusts an authority for it",
            hint="give the host a certificate of that authority (HostCertificate in sshd_config)",
        )
    if key is None:
        return HostKeyError(host.name, f"the host certificate of {login.target} is not trusted: {text}")
    file = Path(trusted.files[0])
    where = str(file) if file.exists() else f"{file}, which does not exist"
    return HostKeyError(
        host.name,
        f"the host key of {login.target} ({seen}) is not known in {where}",
        hint=f"compare it with `ssh-keygen -lf` on the host, then: {_keyscan(host, login)}"
        "; or --accept-new takes the keys of new hosts",
    )


def _other_key_types(host: InventoryHost, login: Login) -> HostKeyError:
    known = ", ".join(fingerprint(known) for known in login.trusted.keys)
    if known and login.trusted.changed:
        return _changed(host, login, f"it has no key of a known kind, known is {known}")
    return HostKeyError(host.name, f"{login.target} has no host key of a kind that we accept")


def _changed(host: InventoryHost, login: Login, how: str) -> HostKeyError:
    file = login.trusted.files[0]
    remove = f"ssh-keygen -R {shlex.quote(login.trusted.name)} -f {shlex.quote(file)}"
    return HostKeyError(
        host.name,
        f"the host key of {login.target} HAS CHANGED: {how}",
        hint="somebody may be in between. Only if the host was set up anew: "
        f"{remove}, then {_keyscan(host, login)}, and compare with `ssh-keygen -lf` on the host",
    )


def _keyscan(host: InventoryHost, login: Login) -> str:
    inside = f"ip netns exec {shlex.quote(host.netns)} " if host.netns else ""
    port = "" if login.port == 22 else f"-p {login.port} "
    return f"{inside}ssh-keyscan {port}{shlex.quote(login.name)} >> {shlex.quote(login.trusted.files[0])}"
