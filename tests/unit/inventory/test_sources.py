"""What ``-i`` may name: files, folders, lists, several of them; and what is refused, with what to do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from skoopctl.errors import InventoryError, UsageError
from skoopctl.inventory import Inventory, InventoryHost, load_inventory


def write(folder: Path, files: dict[str, str]) -> Path:
    """Write files below a folder, and return the folder."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def host(inventory: Inventory, name: str) -> InventoryHost:
    """Return one host by its name."""
    return next(host for host in inventory.hosts if host.name == name)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("hosts", "[web]\na\n"),
        ("hosts", "a # x: y\n"),
        ("hosts", "a x='b: c'\n"),
        ("hosts", "# comment\n\nall:\n  hosts:\n    a:\n"),
        ("hosts", "---\nall: {hosts: {a: }}\n"),
        ("hosts", '{"all": {"hosts": {"a": {}}}}'),
        ("hosts.prod", "[web]\na\n"),
        ("hosts.cfg", "a\n"),
        ("hosts.json", '{"all": {"hosts": {"a": {}}}}'),
    ],
)
def test_the_form_is_told_by_the_name_or_the_first_line(tmp_path: Path, name: str, text: str) -> None:
    """INI and YAML are told apart without trying one after the other."""
    assert [h.name for h in load_inventory(write(tmp_path, {name: text}) / name).hosts] == ["a"]


def test_a_folder_is_one_inventory(tmp_path: Path) -> None:
    """All files of a folder add up, save those that Ansible passes over."""
    files = {
        "1.ini": "[web]\na\n",
        "2.yaml": "web: {vars: {v: 2}}\ndb: {hosts: {b: }}\n",
        "deep/3": "c\n",
        "readme.md": "no inventory",
        ".hidden": "no inventory: [",
        "group_vars/web.yml": "w: 3\n",
    }
    inventory = load_inventory(write(tmp_path, files))
    assert [h.name for h in inventory.hosts] == ["a", "b", "c"]
    assert (host(inventory, "a").variables["v"], host(inventory, "a").variables["w"]) == (2, 3)


def test_a_contradiction_across_the_files_of_a_folder_is_an_error(tmp_path: Path) -> None:
    """Both files and lines are named."""
    folder = write(
        tmp_path, {"1.ini": "a ansible_host=1.1.1.1\n", "2.yaml": "g: {hosts: {a: {ansible_host: 2.2.2.2}}}"}
    )
    with pytest.raises(
        InventoryError, match=r"2\.yaml:1: .*'2\.2\.2\.2' here, but '1\.1\.1\.1' in .*1\.ini:1"
    ):
        load_inventory(folder)


def test_a_cycle_across_files_is_an_error(tmp_path: Path) -> None:
    """The chain is spelt out, with a file and a line."""
    folder = write(tmp_path, {"1.ini": "[a]\nh\n[a:children]\nb\n", "2.yaml": "b: {children: {a: {}}}\n"})
    with pytest.raises(InventoryError, match=r"(1\.ini:4|2\.yaml:1): group '\w' is its own descendant"):
        load_inventory(folder)


def test_of_several_sources_the_last_wins_and_it_is_noted(tmp_path: Path) -> None:
    """A later -i replaces an address, and says so: another machine would be asked."""
    write(tmp_path, {"1.ini": "a ansible_host=1.1.1.1 x=1\n", "2.ini": "a ansible_host=2.2.2.2 x=2\n"})
    inventory = load_inventory([tmp_path / "1.ini", tmp_path / "2.ini"])
    assert (inventory.hosts[0].address, inventory.hosts[0].variables["x"]) == ("2.2.2.2", 2)
    first, second = tmp_path / "1.ini", tmp_path / "2.ini"
    assert inventory.notes == (f"host 'a': ansible_host of {second}:1 replaces that of {first}:1",)


def test_a_list_of_hosts_needs_no_file() -> None:
    """Names joined by commas, with ports; one host has a comma behind it."""
    inventory = load_inventory("a,b:2022, [fd00::1]:23 ,n[1:2]")
    assert [(h.name, h.port) for h in inventory.hosts] == [
        ("a", 22),
        ("b", 2022),
        ("fd00::1", 23),
        ("n1", 22),
        ("n2", 22),
    ]
    assert [h.name for h in load_inventory("a,").hosts] == ["a"]


def test_hosts_at_one_address_are_noted(tmp_path: Path) -> None:
    """Two names for one machine may be meant, and are said."""
    text = "a ansible_host=10.0.0.1\nb ansible_host=10.0.0.1\nc ansible_host=10.0.0.1 ansible_port=23\n"
    inventory = load_inventory(write(tmp_path, {"h.ini": text}) / "h.ini")
    assert inventory.notes == ("hosts a and b are one machine: 10.0.0.1 port 22",)


def test_a_name_of_a_host_and_a_group_is_noted(tmp_path: Path) -> None:
    """A pattern of that name means both here, and only the group in Ansible."""
    inventory = load_inventory(write(tmp_path, {"h.ini": "same\n[same]\na\n"}) / "h.ini")
    assert inventory.notes == ("'same' is a host and a group; as a pattern it means both",)
    assert [h.name for h in inventory.select("same")] == ["same", "a"]


@pytest.mark.parametrize("source", ["", " "])
def test_an_empty_name_is_not_the_working_directory(source: str) -> None:
    """An unset variable of a shell must not make a folder of anything an inventory."""
    with pytest.raises(InventoryError, match="-i: names nothing"):
        load_inventory(source)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("ec2.py", "#!/usr/bin/env python3\n", "is a program (a dynamic inventory)"),
        ("hosts.toml", "[web]\n", "TOML inventories are not read"),
        ("aws_ec2.yml", "plugin: aws_ec2\n", "inventory plugin, which is not run"),
        ("hosts.yaml", "$ANSIBLE_VAULT;1.1;AES256\n61\n", "encrypted with ansible-vault"),
    ],
)
def test_what_is_not_read_is_one_error_with_what_to_do(
    tmp_path: Path, name: str, text: str, says: str
) -> None:
    """Programs, plugins, TOML and encrypted files are refused by name, alone and in a folder."""
    folder = write(tmp_path, {name: text})
    for source in (folder, folder / name):
        with pytest.raises(InventoryError) as caught:
            load_inventory(source)
        assert says in str(caught.value)
        assert caught.value.path == str(folder / name)
        assert caught.value.hint


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """A source that might never end is refused at once."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InventoryError, match="not a regular file"):
        load_inventory(tmp_path / "pipe")


def test_the_folder_of_playbooks_must_be_there(tmp_path: Path) -> None:
    """A misspelt folder is an error, not a folder without variables."""
    with pytest.raises(UsageError, match=r"--playbook-dir .*: there is no such folder"):
        load_inventory("a,", tmp_path / "gone")


def test_an_inventory_has_a_name_fit_for_a_folder(tmp_path: Path) -> None:
    """Results of runs are kept by this name."""
    file = write(tmp_path, {"prod.ini": "a\n"}) / "prod.ini"
    assert load_inventory(file).name == "prod"
    assert load_inventory([file, "b,c:22"]).name == "prod+b_c_22"


def test_origins_name_what_decided_a_field(tmp_path: Path) -> None:
    """Each field that the inventory decides has its variable, file and line."""
    files = {"h.ini": "a\n[all:vars]\nansible_user=ops\n", "host_vars/a.yml": "x: 1\nansible_port: 23\n"}
    folder = write(tmp_path, files)
    origins = load_inventory(folder / "h.ini").hosts[0].origins
    assert origins["user"] == f"ansible_user in {folder}/h.ini:3"
    assert origins["port"] == f"ansible_port in {folder}/host_vars/a.yml:2"
    assert origins["x"] == f"{folder}/host_vars/a.yml:1"
    assert "address" not in origins
