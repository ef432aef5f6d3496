"""Whatever stands in a file or a flag: an inventory, or one clear error; never another exception, never two lines."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from skoopctl.errors import InventoryError
from skoopctl.inventory import InventoryHost, load_inventory
from skoopctl.inventory import ssh_arguments as ssh
from skoopctl.inventory.selection import Inventory
from skoopctl.inventory.values import VariableError

WORDS = st.sampled_from(
    [
        *(
            "[",
            "]",
            "[web]",
            "[web:vars]",
            "[all:children]",
            "web",
            "all:",
            "hosts:",
            "children:",
            "vars:",
            "a",
            "b[1:3]",
        ),
        *(
            "ansible_host=",
            "ansible_port",
            "ansible_ssh_common_args=",
            "-o",
            "-J",
            "ProxyJump=x",
            "StrictHostKeyChecking=",
        ),
        *(
            "=",
            ":",
            ": ",
            "{",
            "}",
            "{}",
            "- ",
            "&x ",
            "*x",
            "<<: ",
            "!vault ",
            "'",
            '"',
            "#",
            "\\",
            ",",
            "!",
            "&",
            "@",
            "~",
        ),
        *(
            "\n",
            "\n",
            "\n  ",
            "\n    ",
            " ",
            "\t",
            "1",
            "0",
            "-1",
            "99999",
            "::1",
            "é",
            "\u2028",
            "\x00",
            "\x1b",
            "{{ x }}",
        ),
    ]
)
TEXTS = st.lists(WORDS, max_size=25).map("".join) | st.text(max_size=40)


@given(text=TEXTS, name=st.sampled_from(["hosts.ini", "hosts.yaml", "hosts", "group_vars/all.yml"]))
@example(text="{? {a: b} : c}", name="hosts.yaml")
@example(text="[web]\na ansible_ssh_common_args='-o'\n", name="hosts.ini")
def test_any_file_is_an_inventory_or_one_error(text: str, name: str) -> None:
    """INI, YAML and files of variables."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "group_vars").mkdir()
        (folder / "other.ini").write_text("a\n", encoding="utf-8")
        (folder / name).write_text(text, encoding="utf-8")
        source = folder / ("other.ini" if name.startswith("group_vars") else name)
        try:
            inventory = load_inventory(source)
        except InventoryError as error:
            assert str(error).startswith(str(folder))  # noqa: PT017 - some texts are inventories
            assert "\n" not in str(error)  # noqa: PT017 - the same
        else:
            assert all(host.address and 1 <= host.port <= 65535 for host in inventory.hosts)


@given(text=TEXTS)
def test_any_options_of_ssh_are_read_or_one_error(text: str) -> None:
    """Nothing but `VariableError`, and no address, user or bastion that is an option of a program."""
    try:
        found = ssh.read(text, Path("/"))
    except VariableError:
        return
    assert not any(str(value).startswith("-") for value in found.fields.values())


@given(text=TEXTS.filter(lambda text: "@" not in text))
def test_any_pattern_chooses_hosts_or_is_one_error(text: str) -> None:
    """Never nobody: an empty choice is an error."""
    hosts = tuple(InventoryHost(name, name, groups=("web",)) for name in ("a", "b1", "b2"))
    inventory = Inventory("x", "x.yaml", hosts, ("web",))
    try:
        assert inventory.select(text)
    except InventoryError as error:
        assert error.hint  # noqa: PT017 - some texts choose hosts


@given(text=TEXTS.map(lambda text: text + ","))
def test_any_list_of_hosts_is_an_inventory_or_one_error(text: str) -> None:
    """``-i a,b``."""
    try:
        assert load_inventory(text).hosts
    except InventoryError as error:
        assert error.path  # noqa: PT017 - some texts are lists of hosts


@pytest.mark.parametrize("text", ["\x1b[31m", "a\nb"])
def test_what_an_error_repeats_cannot_paint_the_terminal(tmp_path: Path, text: str) -> None:
    """Control characters of a file are escaped where they are shown."""
    (tmp_path / "h.yaml").write_text(
        f"all: {{hosts: {{a: {{ansible_host: {text!r}}}}}}}".replace("'", '"'), encoding="utf-8"
    )
    with pytest.raises(InventoryError) as caught:
        load_inventory(tmp_path / "h.yaml")
    assert str(caught.value).isprintable()
