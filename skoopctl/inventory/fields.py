"""A host's variables become its fields: addresses, accounts, and what options of ssh add to them.

Where two variables decide one field, Ansible's order counts: its ``ssh`` takes the first of ``ansible_ssh_args``,
the variable of the field's own, ``ansible_ssh_common_args``, ``ansible_ssh_extra_args``
(``plugins/connection/ssh.py: _build_command``).
"""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

from skoopctl.inventory.host import InventoryHost
from skoopctl.inventory.ssh_arguments import SshArguments
from skoopctl.inventory.tree import Place, Setting

OWN_VARIABLES: dict[str, tuple[str, ...]] = {
    "address": ("ansible_host", "ansible_ssh_host"),
    "port": ("ansible_port", "ansible_ssh_port"),
    "user": ("ansible_user", "ansible_ssh_user"),
    "key_file": ("ansible_ssh_private_key_file", "ansible_private_key_file"),
    "known_hosts": ("skoop_known_hosts",),
    "netns": ("skoop_netns",),
    "connection": ("ansible_connection",),
    "become": ("ansible_become",),
    "become_user": ("ansible_become_user",),
    "become_method": ("ansible_become_method",),
    "python": ("ansible_python_interpreter",),
}
"""The variables of each field of `InventoryHost`; where several are set, the first counts."""

_ARGUMENTS_BEFORE = ("ansible_ssh_args",)
_ARGUMENTS_AFTER = ("ansible_ssh_common_args", "ansible_ssh_extra_args")


def host_of(name: str, groups: tuple[str, ...], settings: dict[str, Setting]) -> InventoryHost:
    """Return the host that these variables describe."""
    chosen: dict[str, object] = {}
    origins: dict[str, str] = {}
    for target, value, variable, place in _decisions(settings):
        if target == "key_file" and chosen.get(target, value) != value:
            raise place.error(
                f"host {name!r}: {variable} names the key {value}, and {origins[target]} another one",
                hint="name one key",
            )
        if value is not None and target not in chosen:
            chosen[target] = value
            origins[target] = f"{variable} in {place}"
    if chosen.get("connection") == "local" and (netns := settings.get("skoop_netns")) is not None:
        raise netns.place.error(f"host {name!r}: skoop_netns is for connection ssh, not local")
    fields: dict[str, Any] = {"address": name, **chosen}
    return InventoryHost(
        name=name,
        groups=groups,
        variables=MappingProxyType({key: setting.written for key, setting in settings.items()}),
        port_given="port" in chosen,
        origins=MappingProxyType(
            origins | {key: f"{setting.place}" for key, setting in settings.items()},
        ),
        **fields,
    )


def _decisions(settings: dict[str, Setting]) -> Iterator[tuple[str, object, str, Place]]:
    """Yield (field, value, variable, place), what counts first."""
    yield from _from_arguments(settings, _ARGUMENTS_BEFORE)
    for target, names in OWN_VARIABLES.items():
        for name in names:
            if (setting := settings.get(name)) is not None:
                yield target, setting.value, name, setting.place
                break
    yield from _from_arguments(settings, _ARGUMENTS_AFTER)


def _from_arguments(
    settings: dict[str, Setting], names: tuple[str, ...]
) -> Iterator[tuple[str, object, str, Place]]:
    for name in names:
        setting = settings.get(name)
        if setting is not None and isinstance(setting.value, SshArguments):
            for target, value in setting.value.fields.items():
                yield target, value, name, setting.place
