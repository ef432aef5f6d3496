"""What a failed SSH login means, in words, with what to do about it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import asyncssh

from skoopctl.errors import AuthenticationError, DeniedError, HostKeyError, TransportError, UnreachableError
from skoopctl.inventory.host import InventoryHost
from skoopctl.transport.dial import unreachable
from skoopctl.transport.identities import fingerprint
from skoopctl.transport.login import Login

if TYPE_CHECKING:
    from skoopctl.transport.ssh import LoginWatch

_TOO_MANY_FAILURES = "too many authentication failures"


class DroppedError(UnreachableError):
    """The server hung up before the login began: it may be busy (MaxStartups), and one retry is fair."""


def no_login(
    host: InventoryHost, login: Login, watch: LoginWatch, error: Exception, proxy_said: str
) -> TransportError:
    """Return our error for one that asyncssh or the system raised during a login."""
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
        what = "after its greeting" if watch.server_spoke else "before it said anything"
        if login.proxy_command is not None:
            what += f"; the ProxyCommand said: {proxy_said}" if proxy_said else " (through the ProxyCommand)"
        hint = "is that port sshd's? sshd also drops logins when many come at once (MaxStartups)"
        return DroppedError(host.name, f"{login.target} hung up {what}", hint=hint)
    return UnreachableError(host.name, f"no SSH login to {login.target}: {text}", hint="is that port sshd's?")


def no_key(host: InventoryHost, login: Login) -> AuthenticationError:
    """Return our error for a host to which nothing can be offered."""
    tried = ", ".join(login.identities.described)
    what = f"no usable key: {tried}" if tried else "there is no usable key: no SSH agent and no key in ~/.ssh"
    hint = "name one with ansible_ssh_private_key_file, or start an agent and ssh-add the key"
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
    offered = ", ".join(login.identities.described) or "no key: there is no agent and no key in ~/.ssh"
    methods: list[str] = []
    if watch.connection is not None:
        methods = list(watch.connection.get_server_auth_methods())
    accepts = f"; it accepts: {', '.join(methods)}" if methods and "publickey" not in methods else ""
    too_many = " after too many keys" if _TOO_MANY_FAILURES in text.lower() else ""
    hint = f"put the public key into ~{login.user}/.ssh/authorized_keys on the host, or correct ansible_user"
    if too_many:
        hint = "the agent holds many keys: name the right one with ansible_ssh_private_key_file"
    return AuthenticationError(
        host.name,
        f"{login.target} refused the login of {login.user}{too_many} (offered: {offered}{accepts})",
        hint=hint,
    )


def _host_key(host: InventoryHost, login: Login, watch: LoginWatch, text: str) -> HostKeyError:
    key = watch.refused_key
    seen = fingerprint(key) if key is not None else "a certificate"
    trusted = login.trusted
    if "revoked" in text.lower():
        return HostKeyError(host.name, f"the host key of {login.target} is revoked: {text}")
    if trusted.keys:
        known = ", ".join(fingerprint(known) for known in trusted.keys)
        return _changed(host, login, f"it shows {seen}, known is {known}")
    if not trusted.files:
        where = "because UserKnownHostsFile is `none` in ~/.ssh/config"
        return HostKeyError(
            host.name,
            f"the host key of {login.target} ({seen}) cannot be checked {where}",
            hint="name a known_hosts file with skoop_known_hosts; host keys are always checked",
        )
    if key is None:
        return HostKeyError(host.name, f"the host certificate of {login.target} is not trusted: {text}")
    file = Path(trusted.files[0])
    where = str(file) if file.exists() else f"{file}, which does not exist"
    return HostKeyError(
        host.name,
        f"the host key of {login.target} ({seen}) is not known in {where}",
        hint=f"compare it with `ssh-keygen -lf` on the host, then: {_keyscan(host, login)}",
    )


def _other_key_types(host: InventoryHost, login: Login) -> HostKeyError:
    known = ", ".join(fingerprint(known) for known in login.trusted.keys)
    if known:
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
