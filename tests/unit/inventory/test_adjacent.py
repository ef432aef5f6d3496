"""``group_vars/`` and ``host_vars/``: mistakes in them, and what is said about files that count for nothing.

Which files are read, and in which order, is compared with the real program in ``conformance/``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from skoopctl.errors import InventoryError
from skoopctl.inventory import Inventory, load_inventory


def load(folder: Path, files: dict[str, str]) -> Inventory:
    """Load an inventory of one host with these files beside it."""
    (folder / "hosts.ini").write_text("[workers]\na\n", encoding="utf-8")
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return load_inventory(folder / "hosts.ini")


def test_files_beside_an_inventory_decide_logins(tmp_path: Path) -> None:
    """Fields are taken from group_vars and host_vars; relative paths start at the inventory."""
    files = {
        "group_vars/workers/login.yml": "ansible_user: ops\nansible_ssh_private_key_file: keys/id\n",
        "host_vars/a.json": '{"ansible_host": "10.0.0.1"}',
    }
    host = load(tmp_path, files).hosts[0]
    assert (host.user, host.address, host.key_file) == ("ops", "10.0.0.1", str(tmp_path / "keys/id"))


WRONG = {
    "refused": ("group_vars/workers.yml", "x: 1\nansible_password: x\n", 2, "--ask-pass"),
    "vaulted value": (
        "host_vars/a.yml",
        "ansible_user: !vault |\n  $ANSIBLE\n",
        1,
        "is encrypted with !vault",
    ),
    "vaulted file": (
        "group_vars/all/v.yml",
        "$ANSIBLE_VAULT;1.1;AES256\n61\n",
        1,
        "encrypted with ansible-vault",
    ),
    "jinja": ("group_vars/all.yml", "ansible_host: '{{ ip }}'\n", 1, "holds a Jinja expression"),
    "list": ("group_vars/workers.yml", "- a\n", 1, "vars of group 'workers' must be a mapping, found a list"),
    "yaml": ("host_vars/a", "a: [\n", 2, "YAML"),
    "typing mistake": ("host_vars/a.yaml", "ansible_prot: 1\n", 1, "did you mean ansible_port?"),
}


@pytest.mark.parametrize(("name", "text", "line", "says"), WRONG.values(), ids=WRONG.keys())
def test_a_mistake_beside_an_inventory_is_named(
    tmp_path: Path, name: str, text: str, line: int, says: str
) -> None:
    """The error names the file of variables and the line."""
    with pytest.raises(InventoryError) as caught:
        load(tmp_path, {name: text})
    assert says in str(caught.value)
    assert (caught.value.path, caught.value.line) == (str(tmp_path / name), line)


def test_encrypted_files_can_be_left_out(tmp_path: Path) -> None:
    """Who knows that they hold other programs' secrets says so; each is noted, and the inventory itself is no such."""
    with pytest.raises(InventoryError, match="--skip-vaulted"):
        load(tmp_path, {"group_vars/all/vault.yml": "$ANSIBLE_VAULT;1.1;AES256\n61\n"})
    inventory = load_inventory(tmp_path / "hosts.ini", skip_vaulted=True)
    assert inventory.notes == (f"{tmp_path}/group_vars/all/vault.yml: not read, because it is encrypted",)
    (tmp_path / "hosts.ini").write_text("$ANSIBLE_VAULT;1.1;AES256\n61\n", encoding="utf-8")
    with pytest.raises(InventoryError, match="encrypted with ansible-vault"):
        load_inventory(tmp_path / "hosts.ini", skip_vaulted=True)


def test_values_that_are_not_ours_may_be_vaulted(tmp_path: Path) -> None:
    """An encrypted value of another program's variable is kept and left alone."""
    inventory = load(tmp_path, {"group_vars/all.yml": "db_password: !vault |\n  $ANSIBLE_VAULT;1\n"})
    assert "db_password" in inventory.hosts[0].variables


def test_a_file_that_is_hidden_by_another_is_noted(tmp_path: Path) -> None:
    """Ansible reads NAME.yml and not NAME.yaml; whoever wrote the second one should know."""
    inventory = load(tmp_path, {"group_vars/workers.yml": "x: 1\n", "group_vars/workers.yaml": "x: 2\n"})
    assert inventory.hosts[0].variables["x"] == 1
    assert "workers.yaml: not read, because" in inventory.notes[0]


def test_a_misspelt_file_is_noted(tmp_path: Path) -> None:
    """A file that is named nearly like a group or host is a typing mistake; others belong to other inventories."""
    inventory = load(tmp_path, {"group_vars/workrs.yml": "x: 1\n", "host_vars/elsewhere.yml": "x: 1\n"})
    assert inventory.notes == (
        f"{tmp_path}/group_vars/workrs.yml: there is no group 'workrs'; did you mean 'workers'?",
    )


def test_a_priority_in_group_vars_is_noted(tmp_path: Path) -> None:
    """Ansible takes a group's priority from the inventory only, and says nothing."""
    inventory = load(tmp_path, {"group_vars/workers.yml": "ansible_group_priority: 5\n"})
    assert "ansible_group_priority has no effect in group_vars" in inventory.notes[0]
