"""The same inventories, read by us and by the real ``ansible-inventory --list``: hosts, groups, every value.

A case is a folder in ``cases/``: an inventory ``hosts*``, or a file ``sources`` with one ``-i`` a line. A disagreement
that somebody reports becomes a test by adding a folder.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from skoopctl.inventory import Inventory, load_inventory

ROOT = Path(__file__).parents[4]
CASES = Path(__file__).with_name("cases")
BENCH = Path(os.environ.get("SKOOPCTL_TEST_BENCH_VENV", ROOT / ".venv-bench"))
INSTALLED = BENCH / "bin" / "ansible-inventory"
ANSIBLE = str(INSTALLED) if INSTALLED.is_file() else shutil.which("ansible-inventory")

pytestmark = pytest.mark.skipif(
    ANSIBLE is None, reason=f"ansible-inventory is neither in {BENCH} nor on PATH: nothing to compare with"
)

Host = tuple[frozenset[str], dict[str, object]]
"""The groups of a host without ``all``, and its variables."""


def by_ansible(sources: list[str], home: Path, playbooks: Path | None = None) -> dict[str, Host]:
    """Return what ansible-inventory makes of the sources; ``home`` is a folder for what it leaves behind."""
    config = home / "ansible.cfg"
    config.touch()
    command = [str(ANSIBLE), "--list", *(word for source in sources for word in ("-i", source))]
    if playbooks is not None:
        command += ["--playbook-dir", str(playbooks)]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_CONFIG": str(config),
        "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true",
    }
    done = subprocess.run(
        command, cwd=home, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout, object_hook=lambda pairs: pairs.get("__ansible_unsafe", pairs))
    variables = listed.pop("_meta")["hostvars"]
    groups: dict[str, set[str]] = {name: set() for name in variables}

    def walk(group: str, over: frozenset[str]) -> None:
        below = listed.get(group, {})
        for host in below.get("hosts", []):
            groups.setdefault(host, set()).update(over | {group})
        for child in below.get("children", []):
            walk(child, over | {group})

    walk("all", frozenset())
    return {name: (frozenset(found - {"all"}), variables.get(name, {})) for name, found in groups.items()}


def by_us(inventory: Inventory) -> dict[str, Host]:
    """Return the same of an inventory that we have read."""
    return {
        host.name: (frozenset(host.groups), json.loads(json.dumps(dict(host.variables), default=as_text)))
        for host in inventory.hosts
    }


def as_text(value: object) -> str:
    """Write a date as Ansible writes it into JSON."""
    assert isinstance(value, dt.date)
    return value.isoformat()


def sources_of(case: Path) -> list[str]:
    """Return the ``-i`` of a case; what is not there as a file is a list of hosts."""
    listed = case / "sources"
    if not listed.is_file():
        return [str(next(iter(sorted(case.glob("hosts*")))))]
    words = listed.read_text(encoding="utf-8").splitlines()
    return [str(case / word) if (case / word).exists() else word for word in words]


@pytest.mark.parametrize("case", sorted(CASES.iterdir()), ids=lambda case: case.name)
def test_an_inventory_means_what_ansible_takes_it_for(case: Path, tmp_path: Path) -> None:
    """Hosts, their groups and the final value of every variable are those of ansible-inventory."""
    playbooks = case / "playbooks" if (case / "playbooks").is_dir() else None
    sources = sources_of(case)
    assert by_us(load_inventory(sources, playbooks)) == by_ansible(sources, tmp_path, playbooks)


NAMES = st.sampled_from(["g1", "g2", "g3", "g4"])
VALUES = st.sampled_from(
    ["1", "text", "'quoted'", "[1, 2]", "{'a': 1}", "True", "yes", "", "0x1f", "1.0", "a b"]
)
VARIABLES = st.dictionaries(st.sampled_from(["v", "w", "x"]), VALUES, max_size=3)
HOSTS = st.sampled_from(["h1", "h2", "h3", "n[1:2]", "h4:2022"])


@st.composite
def inventories(draw: st.DrawFn) -> Mapping[str, str]:
    """Draw an INI inventory with groups of groups, and files of variables beside it."""
    children = draw(st.sets(st.tuples(NAMES, NAMES).filter(lambda pair: pair[0] < pair[1]), max_size=4))
    lines = []
    for group in ("g1", "g2", "g3", "g4"):
        lines += [f"[{group}]", *sorted(draw(st.sets(HOSTS, min_size=1, max_size=3)))]
        lines += [f"[{group}:vars]", *(f"{name}={value}" for name, value in draw(VARIABLES).items())]
        if draw(st.booleans()):
            lines.append(f"ansible_group_priority={draw(st.integers(0, 3))}")
    for parent, child in sorted(children):
        lines += [f"[{parent}:children]", child]
    lines += ["[all:vars]", *(f"{name}={value}" for name, value in draw(VARIABLES).items())]
    files = {"hosts.ini": "\n".join(lines) + "\n"}
    for name in draw(
        st.sets(st.sampled_from(["group_vars/all", "group_vars/g2", "group_vars/g4", "host_vars/h1"]))
    ):
        text = "".join(
            f"{key}: {json.dumps(value + ' of ' + name)}\n" for key, value in draw(VARIABLES).items()
        )
        files[f"{name}.yml"] = text
    return files


@settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(files=inventories())
def test_drawn_inventories_mean_what_ansible_takes_them_for(
    files: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Groups of groups, priorities and files of variables that nobody thought of end in the same values."""
    folder, home = tmp_path_factory.mktemp("drawn"), tmp_path_factory.mktemp("home")
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    inventory = folder / "hosts.ini"
    assert by_us(load_inventory(inventory)) == by_ansible([str(inventory)], home)
