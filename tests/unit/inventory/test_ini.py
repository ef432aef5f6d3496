"""INI inventories: what a correct file means, and what is said about a wrong one.

That values and groups are Ansible's own is compared with the real program in ``conformance/``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skoopctl.errors import InventoryError
from skoopctl.inventory import Inventory, load_inventory
from skoopctl.inventory.ini_file import typed

Load = Callable[[str], Inventory]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Return a function that loads an inventory from its text."""

    def from_text(text: str) -> Inventory:
        file = tmp_path / "hosts.ini"
        file.write_text(text, encoding="utf-8")
        return load_inventory(file)

    return from_text


def test_a_host_line_decides_the_login(load: Load, tmp_path: Path) -> None:
    """Variables beside a host and of its group get into its fields."""
    inventory = load(
        "[nodes]\n"
        "n[1:2] ansible_port=2222 ansible_become=yes  # both\n"
        "[nodes:vars]\n"
        "ansible_user = ops\n"
        "ansible_ssh_private_key_file=keys/id\n"
    )
    assert [(h.name, h.port, h.user, h.become) for h in inventory.hosts] == [
        ("n1", 2222, "ops", True),
        ("n2", 2222, "ops", True),
    ]
    assert inventory.hosts[0].key_file == str(tmp_path / "keys/id")


def test_hosts_before_the_first_section_are_ungrouped(load: Load) -> None:
    """A list of names is an inventory."""
    assert [(h.name, h.port, h.groups) for h in load("a\nb:2022\n").hosts] == [
        ("a", 22, ("ungrouped",)),
        ("b", 2022, ("ungrouped",)),
    ]


WRONG = {
    "empty": ("", 0, "holds no hosts"),
    "kind of section": ("[web:childern]\na\n", 1, "did you mean [web:children]?"),
    "unknown kind": ("[web:xyz]\na\n", 1, "[group:vars] or [group:children]"),
    "spaces in a section": ("[ web ]\na\n", 1, "without spaces"),
    "word without =": ("[web]\na ansible_user ops\n", 2, "expected key=value, found 'ansible_user'"),
    "quotation": ("[web]\na x='1\n", 2, "no closing quotation"),
    "variable without =": ("[web]\na\n[web:vars]\nx\n", 4, "expected key=value, found a word without '='"),
    "variable twice": ("[web]\na\n[web:vars]\nx=1\nx=2\n", 5, "has 'x' twice (first in line 4)"),
    "host variable twice": ("[web]\na x=1 x=2\n", 2, "host 'a' has 'x' twice"),
    "unknown child": ("[web]\na\n[site:children]\nwep\n", 4, "did you mean 'web'?"),
    "vars of nobody": ("[web]\na\n[wep:vars]\nx=1\n", 3, "unknown group 'wep' has variables"),
    "child that is a list": ("[web]\na\n[site:children]\nweb db\n", 4, "found 'web db'"),
    "child of all": ("[web]\na\n[web:children]\nall\n", 4, "cannot be the child"),
    "cycle": ("[a]\nh\n[a:children]\nb\n[b:children]\na\n", 0, "is its own descendant"),
    "contradiction": ("[a]\nh x=1\n[b]\nh x=2\n", 4, "host 'h' has another x here than in line 2"),
    "late port": ("[a]\nh\n[b]\nh:2022\n", 4, "was named before without port 2022"),
    "port": ("a:70000\n", 1, "expected a port"),
    "range": ("n[3:1]\n", 1, "is empty"),
    "yaml": ("web:\n  hosts:\n", 1, "name the file *.yaml"),
    "password": ("[web]\na ansible_ssh_pass=x\n", 2, "--ask-pass"),
    "sudo password": ("[web]\na\n[web:vars]\nansible_become_pass=x\n", 4, "-K (--ask-become-pass)"),
    "jinja": ("a ansible_host='{{ x }}'\n", 1, "holds a Jinja expression"),
    "typing mistake": ("a ansible_hots=1.2.3.4\n", 1, "did you mean ansible_host?"),
    "key that no mapping can have": ("[w]\na\n[w:vars]\nx={[]: 1}\n", 4, "no value"),
}


@pytest.mark.parametrize(("text", "line", "says"), WRONG.values(), ids=WRONG.keys())
def test_a_mistake_is_named_with_file_and_line(load: Load, text: str, line: int, says: str) -> None:
    """Each mistake is one error: the file, the line where it stands, and what to do."""
    with pytest.raises(InventoryError) as caught:
        load(text)
    assert says in str(caught.value)
    assert caught.value.path.endswith("hosts.ini")
    if line:
        assert caught.value.line == line
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "a ansible_password=s3cret\n",
        "a token=top s3cret\n",
        "[g]\na\n[g:vars]\nkey=begin\ns3cret\n",
        "[g]\na token=s3cret\n[h]\na token=s3cret2\n",
    ],
)
def test_a_secret_is_not_repeated(load: Load, text: str) -> None:
    """The error about a variable that may be a secret does not hold its value."""
    with pytest.raises(InventoryError) as caught:
        load(text)
    assert "s3cret" not in str(caught.value)


@given(st.text(max_size=60))
def test_any_text_is_a_value_or_one_clear_error(text: str) -> None:
    """Typing a value raises nothing but `ValueError`."""
    try:
        typed(text)
    except ValueError as error:
        assert str(error)  # noqa: PT017 - most texts are values


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )
)
def test_a_literal_is_what_python_writes(value: object) -> None:
    """What Python writes for a value of lists and mappings is read as that value again."""
    assert typed(repr(value)) == value


def test_a_value_without_end_is_refused() -> None:
    """A value that is too long is one clear error; one that Python gives up on stays text, as in Ansible."""
    with pytest.raises(ValueError, match="is too long"):
        typed("1" * 100_000)
    nested = "[" * 30_000 + "]" * 30_000
    assert typed(nested) == nested
