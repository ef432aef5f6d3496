"""More hosts than the lab has nodes: every node gets further addresses, and each is a host of the inventory.

Each such host is dialled, logged in to and asked like any other; no tool can tell that two of them are one machine.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from skoopctl.lab import Lab
from tests.bench.peer import ADMIN_NETNS
from tests.bench.stopwatch import run

DEVICE = "ens192"


@dataclass(frozen=True, slots=True)
class Names:
    """Hosts by name, with their addresses, and the files that say so to each tool."""

    addresses: dict[str, str]
    known_hosts: Path
    key: Path
    inventory: Path

    @property
    def number(self) -> int:
        """How many."""
        return len(self.addresses)

    def pyinfra(self, folder: Path) -> Path:
        """Write the same hosts as an inventory of pyinfra."""
        data = {
            "ssh_user": "root",
            "ssh_key": str(self.key),
            "ssh_known_hosts_file": str(self.known_hosts),
            "ssh_strict_host_key_checking": "yes",
        }
        hosts = [(address, data) for address in self.addresses.values()]
        file = folder / "hosts.py"
        file.write_text(f"nodes = {hosts!r}\n", encoding="utf-8")
        return file


def name_nodes(lab: Lab, each: int, folder: Path) -> Names:
    """Give every node ``each`` addresses of a network of its own, and write the inventory."""
    run(["ip", "-n", ADMIN_NETNS, "address", "replace", "172.31.255.254/16", "dev", _admin_device()])
    addresses: dict[str, str] = {}
    keys = _host_keys(lab)
    known = []
    for index, node in enumerate(lab.nodes, 1):
        for number in range(each):
            address = f"172.31.{number}.{index}"
            run(["ip", "-n", node.netns, "address", "replace", f"{address}/16", "dev", DEVICE])
            addresses[f"{node.name}-{number}"] = address
            known.append(f"{address} {keys[node.address]}")
    known_hosts = folder / "many_known_hosts"
    known_hosts.write_text("\n".join(known) + "\n", encoding="ascii")
    key = lab.inventory.parent / "id_ed25519"
    variables = {
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(key),
        "skoop_known_hosts": str(known_hosts),
        "skoop_netns": ADMIN_NETNS,
    }
    hosts = {name: {"ansible_host": address} for name, address in addresses.items()}
    inventory = folder / "many.yaml"
    inventory.write_text(json.dumps({"nodes": {"vars": variables, "hosts": hosts}}), encoding="utf-8")
    return Names(addresses, known_hosts, key, inventory)


def _host_keys(lab: Lab) -> dict[str, str]:
    """Return the nodes' keys, as known_hosts has them, by address."""
    found = {}
    for line in lab.inventory.with_name("known_hosts").read_text(encoding="ascii").splitlines():
        names, _, key = line.partition(" ")
        found.update(dict.fromkeys(names.split(","), key))
    return found


def _admin_device() -> str:
    """Return the device of the administrator's namespace that leads to the nodes."""
    shown = json.loads(run(["ip", "-n", ADMIN_NETNS, "-j", "link"]).stdout)
    return str(next(link["ifname"] for link in shown if link["ifname"] != "lo"))
