"""Read the configuration of push: its own file, KubeSkoop's, and the flags that win over both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skoopctl.errors import ConfigurationError, InventoryError, UsageError
from skoopctl.plans.written import read_mapping, read_written
from skoopctl.pushing.config import GatewayPart, ListenPart, ProbePart, PushConfig
from skoopctl.pushing.kubeskoop import KEYS, read_kubeskoop

_FILES = {
    "gateway": ("password_file", "ca_file", "cert_file", "key_file"),
    "loki": ("password_file", "token_file", "ca_file", "cert_file", "key_file"),
    "listen": ("password_file", "cert_file", "key_file", "client_ca_file"),
}
"""What names files in each part; relative ones stand beside the configuration."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Where the configuration comes from; it is read again on each SIGHUP."""

    file: Path | None = None
    kubeskoop: Path | None = None
    inventories: tuple[str, ...] = ()
    hosts: str | None = None
    cluster: str | None = None
    kubeconfig: str | None = None
    gateway: str | None = None
    listen: str | None = None
    insecure: bool = False
    interval: float | None = None
    probes: tuple[str, ...] = ()
    once: bool = False
    """Whether one round is wanted, which may go to standard output."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration, and what should be said about it."""

    config: PushConfig
    notes: tuple[str, ...] = field(default=())


def load_config(wanted: Wanted) -> Loaded:
    """Return the configuration. Raises `UsageError` with the file and line, or the flag."""
    config = _of_file(wanted.file) if wanted.file is not None else PushConfig()
    changes: dict[str, Any] = {}
    notes: tuple[str, ...] = ()
    if wanted.kubeskoop is not None:
        taken = read_kubeskoop(wanted.kubeskoop)
        changes, notes = dict(taken.changes), taken.notes
    changes |= _flags(wanted, config)
    config = config.model_copy(update=changes)
    _check(config, wanted)
    return Loaded(config, notes)


def _of_file(path: Path) -> PushConfig:
    if not path.is_file():
        raise ConfigurationError("there is no such file", path=str(path))
    try:
        document, value = read_mapping(path)
    except InventoryError:
        value = None  # it is read again below, where the error gets its words
    if isinstance(value, Mapping) and "inventories" not in value and KEYS & set(value):
        key = next(key for key in value if key in KEYS)
        assert document.root is not None  # noqa: S101 - it has keys
        raise ConfigurationError(
            f"{key!r} belongs to a configuration of KubeSkoop",
            path=str(path),
            line=1,
            hint=f"skoopctl push --kubeskoop-config {path} -i INVENTORY --listen 127.0.0.1:9102",
        )
    config = read_written(path, PushConfig, ConfigurationError, "configuration", "inventories and a gateway")
    return _beside(config, path.absolute().parent)


def _beside(config: PushConfig, folder: Path) -> PushConfig:
    """Return the configuration with the files that it names made absolute."""
    changes: dict[str, Any] = {
        "inventories": [_inventory(source, folder) for source in config.inventories],
        "kubeconfig": _path(config.kubeconfig, folder),
    }
    for name, keys in _FILES.items():
        part = getattr(config, name)
        if part is not None:
            found = {key: _path(getattr(part, key), folder) for key in keys}
            changes[name] = part.model_copy(update=found)
    return config.model_copy(update=changes)


def _inventory(source: str, folder: Path) -> str:
    """Return a source; the name of a file is taken from the configuration's folder, if it is there."""
    if "," in source or source.startswith(("k8s:", "~")):
        return source
    beside = folder / source
    return str(beside) if beside.exists() or "/" in source else source


def _path(text: str, folder: Path) -> str:
    return str(folder / Path(text).expanduser()) if text else ""


def _flags(wanted: Wanted, config: PushConfig) -> dict[str, Any]:
    changes: dict[str, Any] = {
        "inventories": list(wanted.inventories) or None,
        "hosts": wanted.hosts,
        "cluster": wanted.cluster,
        "kubeconfig": wanted.kubeconfig,
        "interval": wanted.interval,
    }
    if wanted.probes:
        changes["probes"] = [_valid(ProbePart, "--probe", name=name) for name in wanted.probes]
    if wanted.gateway is not None:
        kept = config.gateway.model_dump() if config.gateway else {}
        changes["gateway"] = _valid(GatewayPart, "--gateway", **{**kept, "url": wanted.gateway})
    listen = config.listen
    if wanted.listen is not None:
        listen = _valid(
            ListenPart, "--listen", **{**(listen.model_dump() if listen else {}), "address": wanted.listen}
        )
    if listen is not None:
        changes["listen"] = listen.model_copy(update={"insecure": True}) if wanted.insecure else listen
    return {key: value for key, value in changes.items() if value is not None}


def _valid(part: type[Any], flag: str, **values: object) -> Any:
    from pydantic import ValidationError  # noqa: PLC0415 - heavy, and loaded by now

    try:
        return part(**values)
    except ValidationError as error:
        said = str(error.errors(include_url=False)[0]["msg"]).removeprefix("Value error, ")
        raise UsageError(f"{flag}: {said}") from None


def _check(config: PushConfig, wanted: Wanted) -> None:
    """Refuse what cannot work as a whole."""
    path = str(wanted.file or "push")
    if not config.inventories:
        raise ConfigurationError("nobody is asked", path=path, hint="give it inventories, or -i INVENTORY")
    if not config.probes:
        raise ConfigurationError("probes is empty", path=path, hint="leave it out for the default ones")
    if config.gateway is None and config.listen is None and config.loki is None and not wanted.once:
        raise ConfigurationError(
            "series and events go nowhere",
            path=path,
            hint="give it a gateway, listen or loki, or --gateway URL, --listen ADDRESS",
        )
    for key, file in _named_files(config):
        if not Path(file).is_file():
            raise ConfigurationError(f"{key}: there is no such file: {file}", path=path)
    listen = config.listen
    if listen is not None and not listen.guarded and not listen.insecure:
        raise ConfigurationError(
            f"listen: others can reach {listen.address}, and nothing keeps them out",
            path=path,
            hint="give it user, password-file, cert-file and key-file, or --insecure if a firewall or policy does",
        )


def _named_files(config: PushConfig) -> list[tuple[str, str]]:
    """Return the keys that name files, with the files."""
    found = [("kubeconfig", config.kubeconfig)]
    for name, keys in _FILES.items():
        part = getattr(config, name)
        found += [(f"{name}.{key.replace('_', '-')}", getattr(part, key)) for key in keys if part is not None]
    return [(key, str(Path(file).expanduser())) for key, file in found if file]
