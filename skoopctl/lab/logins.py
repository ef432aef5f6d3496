"""How one logs in to the lab: keys, the SSH servers' configuration, known_hosts and the inventory."""

from __future__ import annotations

from concurrent.futures import Executor
from pathlib import Path

from skoopctl.lab.commands import run
from skoopctl.lab.statefile import STATE_DIR
from skoopctl.lab.topology import ADMIN_NETNS, OUTSIDE_ADDRESS, OUTSIDE_NAME, Plan

HOST_DIR = "/run/skoopctl-lab-host"
"""Where a host finds its own key and configuration: in its own /run, which the machine does not share."""

SSHD_CONFIG = f"""\
AddressFamily inet
HostKey {HOST_DIR}/ssh_host_ed25519_key
AuthorizedKeysFile {HOST_DIR}/authorized_keys
SetEnv HOME={HOST_DIR}
PidFile none
UsePAM no
UseDNS no
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 200:30:400
MaxSessions 100
PrintMotd no
X11Forwarding no
Subsystem sftp internal-sftp
"""


def client_key() -> Path:
    """Return the file of the private key that opens every host."""
    return STATE_DIR / "id_ed25519"


def make_keys(plan: Plan, pool: Executor) -> None:
    """Make the client's key and a host key for every host."""
    (STATE_DIR / "hosts").mkdir(mode=0o700)
    paths = [client_key(), *(_host_key(host) for host in plan.host_names)]
    list(pool.map(_keygen, paths))


def host_files(host: str) -> dict[str, str]:
    """Return the files that a host's SSH server reads, by path inside the host."""
    return {
        f"{HOST_DIR}/ssh_host_ed25519_key": _host_key(host).read_text(encoding="ascii"),
        f"{HOST_DIR}/authorized_keys": client_key().with_suffix(".pub").read_text(encoding="ascii"),
        f"{HOST_DIR}/sshd_config": SSHD_CONFIG,
    }


def write_known_hosts(plan: Plan) -> None:
    """Write the file that names every host's key, by address and by name."""
    lines = []
    for host, address in _addresses(plan).items():
        kind, key = _host_key(host).with_suffix(".pub").read_text(encoding="ascii").split()[:2]
        lines.append(f"{address},{host} {kind} {key}\n")
    (STATE_DIR / "known_hosts").write_text("".join(lines), encoding="ascii")


def write_inventory(plan: Plan) -> None:
    """Write the inventory, in the words of Ansible."""
    (STATE_DIR / "inventory.yaml").write_text(inventory_text(plan), encoding="utf-8")


def inventory_text(plan: Plan) -> str:
    """Return the inventory: group ``nodes`` is the cluster, ``outside`` a host that is not part of it."""
    addresses = _addresses(plan)
    outside = addresses.pop(OUTSIDE_NAME)
    nodes = "".join(f"    {name}: {{ansible_host: {address}}}\n" for name, address in addresses.items())
    return f"""\
# The lab's hosts. Written by "skoopctl lab up"; gone after "skoopctl lab down".
all:
  vars:
    ansible_user: root
    ansible_ssh_private_key_file: {client_key()}
    skoop_known_hosts: {STATE_DIR / "known_hosts"}
    skoop_netns: {ADMIN_NETNS}
nodes:
  hosts:
{nodes}outside:
  hosts:
    {OUTSIDE_NAME}: {{ansible_host: {outside}}}
"""


def _addresses(plan: Plan) -> dict[str, str]:
    """Return the hosts' addresses by name."""
    return {**{node.name: node.address for node in plan.nodes}, OUTSIDE_NAME: OUTSIDE_ADDRESS}


def _host_key(host: str) -> Path:
    """Return the file of a host's private key."""
    return STATE_DIR / "hosts" / f"{host}_ed25519_key"


def _keygen(path: Path) -> None:
    """Make a key pair without a passphrase."""
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", path.name, "-f", str(path)])
