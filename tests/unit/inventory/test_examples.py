"""The shipped inventories, and the page about them: each loads, and the page has every variable.

``lab.yaml`` and ``static.yaml`` are tested in ``test_load.py``, ``kubernetes.yaml`` in ``test_kubernetes_nodes.py``.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from skoopctl.inventory import Inventory, InventoryHost, load_inventory, ssh_arguments, variables
from skoopctl.inventory.sources import IGNORED_ENDS

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "inventories.md").read_text(encoding="utf-8")


def host(inventory: Inventory, name: str) -> InventoryHost:
    """Return one host by its name."""
    return next(host for host in inventory.hosts if host.name == name)


def test_no_example_is_untested() -> None:
    """Whoever adds an example adds a test that loads it."""
    there = {path.name for path in (ROOT / "inventories").iterdir()}
    assert there == {"lab.yaml", "static.yaml", "static.ini", "site", "kubernetes.yaml"}


def test_the_ini_example_says_what_the_yaml_example_says() -> None:
    """Both describe one cluster; the INI one has a bastion besides."""
    ini, yaml = (load_inventory(ROOT / "inventories" / name) for name in ("static.ini", "static.yaml"))
    shown = ("name", "address", "port", "user", "key_file", "become")
    assert [[getattr(h, field) for field in shown] for h in ini.hosts] == [
        [getattr(h, field) for field in shown] for h in yaml.hosts
    ]
    assert {h.jump for h in ini.hosts} == {"ops@bastion.example.com"}
    assert ini.notes == yaml.notes == ()


def test_the_folder_example_uses_files_of_variables() -> None:
    """The group's folder, the file for all and the host's file all count."""
    folder = ROOT / "inventories" / "site"
    inventory = load_inventory(folder)
    worker = host(inventory, "worker-03")
    assert (worker.address, worker.port, worker.become_method) == ("10.20.0.23", 2222, "doas")
    assert worker.key_file == str(Path("~/.ssh/workers").expanduser())
    assert (worker.user, worker.known_hosts) == ("ops", str(folder / "known_hosts"))
    assert host(inventory, "control-1").key_file is None
    assert inventory.notes == ()


def rows(heading: str) -> dict[str, str]:
    """Return the table below a heading of the page: the first column to the second."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return dict(re.findall(r"^\| `([^`]+)` \| (.+) \|$", section, re.MULTILINE))


def test_the_page_has_every_variable_that_is_honoured() -> None:
    """Names and meanings are those of the code's table."""
    assert rows("Variables that decide a login") == {k: v.means for k, v in variables.HONOURED.items()}


def test_the_page_has_every_variable_that_is_refused() -> None:
    """Names and what to do are those of the code's table."""
    assert rows("Variables that are refused") == variables.REFUSED


def test_the_page_has_every_option_of_ssh() -> None:
    """Options that decide a field, and those that are accepted and do nothing, with the reason."""
    found = rows("Options of ssh in an inventory")
    assert {name: text for name, text in found.items() if name in ssh_arguments.NO_EFFECT} == {
        name: f"no effect: {why}" for name, why in ssh_arguments.NO_EFFECT.items()
    }
    assert found.keys() == ssh_arguments.FIELDS.keys() | ssh_arguments.NO_EFFECT.keys()


@pytest.mark.parametrize("end", IGNORED_ENDS)
def test_the_page_has_every_ending_that_is_passed_over(end: str) -> None:
    """A file that is not read must not be a surprise."""
    assert f"`{end}`" in PAGE
