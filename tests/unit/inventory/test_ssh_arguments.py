"""Options of ssh in an inventory: honoured, harmless or refused, and never passed over."""

from __future__ import annotations

from pathlib import Path

import pytest

from skoopctl.errors import InventoryError
from skoopctl.inventory import InventoryHost, load_inventory


def load(folder: Path, *lines: str) -> InventoryHost:
    """Return the one host of an inventory with these variables of all."""
    file = folder / "hosts.ini"
    file.write_text("\n".join(["a", "[all:vars]", *lines]), encoding="utf-8")
    return load_inventory(file).hosts[0]


@pytest.mark.parametrize(
    ("arguments", "field", "expected"),
    [
        ("-J ops@bastion:2222", "jump", "ops@bastion:2222"),
        ("-Jbastion", "jump", "bastion"),
        ("-J one,ops@[fd00::1]:22", "jump", "one,ops@[fd00::1]:22"),
        ("-o ProxyJump=bastion", "jump", "bastion"),
        ("-oProxyJump=bastion", "jump", "bastion"),
        ('-o "ProxyJump bastion"', "jump", "bastion"),
        ("-o 'proxyjump = \"bastion\"'", "jump", "bastion"),
        ("-o ProxyJump=none", "jump", "none"),
        ("-o StrictHostKeyChecking=accept-new", "accept_new", True),
        ("-o StrictHostKeyChecking=yes", "accept_new", False),
        ("-o UserKnownHostsFile=/etc/known", "known_hosts", "/etc/known"),
        ("-o IdentityFile=/etc/id", "key_file", "/etc/id"),
        ("-i /etc/id", "key_file", "/etc/id"),
        ("-o User=ops", "user", "ops"),
        ("-l ops", "user", "ops"),
        ("-o Port=2222", "port", 2222),
        ("-p 2222", "port", 2222),
        ("-C -o ControlMaster=auto -o ControlPersist=60s -o ControlPath=/x -J b", "jump", "b"),
        ("-o ConnectTimeout=5 -o ServerAliveInterval=9 -J b", "jump", "b"),
        ("-J first -J second", "jump", "first"),
        ("", "jump", None),
    ],
)
@pytest.mark.parametrize(
    "variable", ["ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args"]
)
def test_an_option_gets_into_its_field(
    tmp_path: Path, variable: str, arguments: str, field: str, expected: object
) -> None:
    """Each form in which ssh takes an option decides the same field; options without effect are accepted."""
    assert getattr(load(tmp_path, f"{variable}={arguments}"), field) == expected


def test_a_relative_key_starts_at_the_inventory(tmp_path: Path) -> None:
    """As for the variables that name files."""
    assert load(tmp_path, "ansible_ssh_common_args=-i keys/id").key_file == str(tmp_path / "keys/id")


def test_of_several_places_that_counts_which_ssh_sees_first(tmp_path: Path) -> None:
    """ansible_ssh_args before the variable of the field, and that before the common arguments."""
    host = load(
        tmp_path,
        "ansible_ssh_args=-l first",
        "ansible_user=second",
        "ansible_port=22",
        "ansible_ssh_common_args=-l third -p 23 -J bastion",
    )
    assert (host.user, host.port, host.jump) == ("first", 22, "bastion")


def test_two_keys_are_one_too_many(tmp_path: Path) -> None:
    """The program ssh would try both; which one is meant is not guessed."""
    with pytest.raises(InventoryError, match=r":4: host 'a': ansible_ssh_common_args names the key /b"):
        load(tmp_path, "ansible_ssh_private_key_file=/a", "ansible_ssh_common_args=-i /b")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("-o StrictHostKeyChecking=no", "write yes or accept-new"),
        ("-o StrictHostKeyChecking=off", "host keys are always checked"),
        ("-o UserKnownHostsFile=/dev/null", "would forget every host key"),
        ("-o 'UserKnownHostsFile=/a /b'", "expected one file"),
        ("-o IdentityFile=%d/id", "without % signs"),
        ("-o ProxyCommand='nc %h %p'", "the option ProxyCommand is not honoured"),
        ("-o ProxyCommand='ssh -W %h:%p -q bastion'", "write -o ProxyJump=BASTION"),
        ("-o ProxyJump=-oX", "does not begin with '-'"),
        ("-J 'a b'", "found 'a b'"),
        ("-J a,,b", "joined by commas"),
        ("-o Port=x", "expected a port"),
        ("-A", "'-A' is not honoured"),
        ("bastion", "'bastion' is not honoured"),
        ("-J", "-J lacks its value"),
        ("-o 'x", "cannot be split into words"),
        ("-o Bogus=1", "~/.ssh/config is read too"),
    ],
)
def test_everything_else_is_an_error_with_its_line(tmp_path: Path, arguments: str, says: str) -> None:
    """An option that would change where or how we log in is never passed over."""
    with pytest.raises(InventoryError) as caught:
        load(tmp_path, f"ansible_ssh_common_args={arguments}")
    assert says in str(caught.value)
    assert caught.value.line == 3


def test_host_keys_cannot_be_left_unchecked(tmp_path: Path) -> None:
    """Ansible's variable may say yes, and nothing else."""
    assert load(tmp_path, "ansible_host_key_checking=True").accept_new is False
    for name in ("ansible_host_key_checking", "ansible_ssh_host_key_checking"):
        with pytest.raises(InventoryError, match="host keys are always checked"):
            load(tmp_path, f"{name}=False")


@pytest.mark.parametrize(
    ("written", "method"),
    [
        ("sudo", "sudo"),
        ("doas", "doas"),
        ("community.general.doas", "doas"),
        ("ansible.builtin.sudo", "sudo"),
    ],
)
def test_root_is_reached_by_sudo_or_doas(tmp_path: Path, written: str, method: str) -> None:
    """Both ways get into the host; others are refused."""
    assert load(tmp_path, f"ansible_become_method={written}").become_method == method
