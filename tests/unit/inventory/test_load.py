"""Reading an inventory: what a correct file means, and what is said about a wrong one."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from skoopctl.errors import InventoryError
from skoopctl.inventory import Inventory, InventoryHost, load_inventory

EXAMPLES = Path(__file__).parents[3] / "inventories"

Load = Callable[[str], Inventory]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Return a function that loads an inventory from its text."""

    def from_text(text: str) -> Inventory:
        file = tmp_path / "hosts.yaml"
        file.write_text(text, encoding="utf-8")
        return load_inventory(file)

    return from_text


def host(inventory: Inventory, name: str) -> InventoryHost:
    """Return one host by its name."""
    return next(host for host in inventory.hosts if host.name == name)


def test_the_lab_example_describes_the_lab() -> None:
    """The shipped lab inventory reaches the lab's four machines from inside its namespace."""
    inventory = load_inventory(EXAMPLES / "lab.yaml")
    assert inventory.name == "lab"
    assert [(h.name, h.address) for h in inventory.hosts] == [
        ("master-c4", "192.168.3.85"),
        ("node1-c4", "192.168.3.86"),
        ("node2-c4", "192.168.3.87"),
        ("outside", "192.168.3.99"),
    ]
    node = host(inventory, "node1-c4")
    assert (node.user, node.netns, node.groups) == ("root", "skoop-lab", ("nodes",))
    assert node.key_file == "/run/skoopctl-lab/id_ed25519"
    assert node.known_hosts == "/run/skoopctl-lab/known_hosts"
    assert [h.name for h in inventory.select("outside")] == ["outside"]


def test_the_static_example_loads() -> None:
    """The example for users is correct and shows precedence, ranges and become."""
    inventory = load_inventory(EXAMPLES / "static.yaml")
    assert [h.name for h in inventory.select("control_plane")] == ["control-1", "control-2", "control-3"]
    worker = host(inventory, "worker-03")
    assert (worker.port, worker.user, worker.become) == (2222, "root", False)
    assert host(inventory, "worker-01").become
    assert worker.variables["rack"] == "b7"


def test_a_host_without_settings_leaves_everything_to_ssh(load: Load) -> None:
    """Nothing but a name: the name is the address, and nothing else is decided."""
    assert load("all: {hosts: {a: }}").hosts == (InventoryHost("a", "a", groups=("ungrouped",)),)


def test_every_honoured_variable_gets_into_its_field(load: Load, tmp_path: Path) -> None:
    """Each variable that is honoured changes the host."""
    inventory = load(
        """
        all:
          hosts:
            a:
              ansible_host: 10.0.0.1
              ansible_port: "2200"
              ansible_user: ops
              ansible_ssh_private_key_file: keys/id
              ansible_become: yes
              ansible_become_user: netadmin
              ansible_become_method: sudo
              ansible_python_interpreter: /opt/python3
              skoop_known_hosts: known
              skoop_netns: lab
              own: [1, {b: c}]
            b: {ansible_connection: local, ansible_python_interpreter: auto_silent}
        """
    )
    a, b = inventory.hosts
    assert (a.address, a.port, a.port_given, a.user) == ("10.0.0.1", 2200, True, "ops")
    assert (a.key_file, a.known_hosts) == (str(tmp_path / "keys/id"), str(tmp_path / "known"))
    assert (a.become, a.become_user, a.python, a.netns) == (True, "netadmin", "/opt/python3", "lab")
    assert a.variables["own"] == [1, {"b": "c"}]
    assert (b.connection, b.python, b.port_given) == ("local", None, False)


def test_a_tilde_is_the_home_directory(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths may begin with ~."""
    monkeypatch.setenv("HOME", "/home/ops")
    inventory = load("all: {hosts: {a: {ansible_ssh_private_key_file: ~/.ssh/id}}}")
    assert inventory.hosts[0].key_file == "/home/ops/.ssh/id"


def test_older_names_of_variables_count_when_the_newer_are_not_set(load: Load) -> None:
    """ansible_ssh_host and its like are aliases; the newer name wins."""
    inventory = load(
        """
        all:
          hosts:
            a: {ansible_ssh_host: 10.0.0.1, ansible_ssh_port: 22, ansible_ssh_user: u}
            b: {ansible_ssh_host: 10.0.0.1, ansible_host: 10.0.0.2}
        """
    )
    a, b = inventory.hosts
    assert (a.address, a.port, a.port_given, a.user) == ("10.0.0.1", 22, True, "u")
    assert b.address == "10.0.0.2"


PRECEDENCE = """
all:
  vars: {level: all, only_all: 1}
  children:
    outer:
      vars: {level: outer, only_outer: 2}
      children:
        inner: {}
    a_inner_too:
      vars: {level: a_inner_too}
inner:
  vars: {level: inner}
  hosts:
    by_group:
    by_host: {level: host}
a_inner_too:
  hosts: {by_group: }
"""


def test_the_nearest_setting_wins(load: Load) -> None:
    """Host before inner group before outer group before all."""
    inventory = load(PRECEDENCE)
    assert host(inventory, "by_host").variables["level"] == "host"
    by_group = host(inventory, "by_group")
    assert by_group.variables["level"] == "inner"
    assert (by_group.variables["only_all"], by_group.variables["only_outer"]) == (1, 2)
    assert by_group.groups == ("a_inner_too", "outer", "inner")


def test_among_groups_of_one_depth_the_last_name_or_the_priority_wins(load: Load) -> None:
    """Ansible's tie-break: priority, then alphabetical order."""
    text = "one: {hosts: {h: }, vars: {v: 1%s}}\ntwo: {hosts: {h: }, vars: {v: 2}}\n"
    assert load(text % "").hosts[0].variables["v"] == 2
    assert load(text % ", ansible_group_priority: 10").hosts[0].variables["v"] == 1


def test_a_range_stands_for_many_hosts(load: Load) -> None:
    """Settings beside a range are every host's."""
    inventory = load("all: {hosts: {'n[08:10]-[a:b]': {ansible_user: u}}}")
    assert [h.name for h in inventory.hosts] == ["n08-a", "n08-b", "n09-a", "n09-b", "n10-a", "n10-b"]
    assert {h.user for h in inventory.hosts} == {"u"}


def test_a_port_after_the_name_is_a_port(load: Load) -> None:
    """Ansible's name:port, also for IPv6 in brackets; a bare IPv6 address is a name."""
    inventory = load("all: {hosts: {'a:2022': , '[fd00::1]:2023': , 'fd00::2': , 'n[1:2]:24': }}")
    assert [(h.address, h.port) for h in inventory.hosts] == [
        ("a", 2022),
        ("fd00::1", 2023),
        ("fd00::2", 22),
        ("n1", 24),
        ("n2", 24),
    ]


def test_one_host_in_two_groups_may_say_the_same_twice(load: Load) -> None:
    """Equal settings are no contradiction, and different ones add up."""
    inventory = load(
        "a: {hosts: {h: {ansible_host: 10.0.0.1, x: 1}}}\nb: {hosts: {h: {ansible_host: 10.0.0.1, y: 2}}}"
    )
    assert inventory.hosts[0].groups == ("a", "b")
    assert (inventory.hosts[0].variables["x"], inventory.hosts[0].variables["y"]) == (1, 2)


def test_anchors_and_merge_keys_work(load: Load) -> None:
    """YAML's own means of not repeating oneself are followed."""
    inventory = load(
        """
        all:
          hosts:
            a: &usual {ansible_user: ops, ansible_port: 2222}
            b: {<<: *usual, ansible_port: 2223}
        """
    )
    assert [(h.user, h.port) for h in inventory.hosts] == [("ops", 2222), ("ops", 2223)]


def test_values_that_are_not_ours_may_be_jinja_or_vaulted(load: Load) -> None:
    """Only variables that decide the login must be plain."""
    inventory = load(
        """
        all:
          hosts: {a: }
          vars:
            motd: "{{ inventory_hostname }}"
            token: !vault |
              $ANSIBLE_VAULT;1.1;AES256
              6133
            raw: !unsafe "{{ x }}"
            ansible_remote_tmp: /tmp/x
        """
    )
    assert inventory.hosts[0].variables["motd"] == "{{ inventory_hostname }}"


WRONG = {
    "tab": ("all:\n\thosts:\n", 2, "indent with spaces"),
    "syntax": ("all:\n  hosts: {a: 1\n", 3, "YAML"),
    "not a mapping": ("- a\n- b\n", 1, "must be a mapping, found a list"),
    "empty": ("", 0, "the inventory is empty"),
    "only a comment": ("# nothing\n", 0, "the inventory is empty"),
    "no hosts": ("all:\n  hosts:\n", 0, "holds no hosts"),
    "typo in a key": ("all:\n  host:\n    a:\n", 2, "did you mean 'hosts'?"),
    "unknown key": ("all:\n  hosts: {a: }\n  workers: {hosts: {b: }}\n", 3, "stands under `children:`"),
    "variable in a group": ("all:\n  hosts: {a: }\n  ansible_user: x\n", 3, "stand under `vars:`"),
    "hosts at the top": ("hosts:\n  a:\n", 1, "write `all:` first"),
    "plugin": ("plugin: aws_ec2\n", 1, "ansible-inventory -i FILE --list --yaml"),
    "hosts as a list": (
        "all:\n  hosts:\n    - a\n",
        3,
        "hosts of group 'all' must be a mapping, found a list",
    ),
    "hosts as text": ("all:\n  hosts: a\n", 2, "found the text 'a'"),
    "vars as a list": ("all:\n  hosts: {a: }\n  vars: [1]\n", 3, "vars of group 'all' must be a mapping"),
    "host as text": ("all:\n  hosts:\n    a: 10.0.0.1\n", 3, "host 'a' must be a mapping"),
    "key twice": ("all:\n  hosts:\n    a:\n    a:\n", 4, "has 'a' twice (first in line 3)"),
    "port": ("all:\n  hosts:\n    a:\n      ansible_port: 70000\n", 4, "expected a port from 1 to 65535"),
    "port of the name": ("all:\n  hosts:\n    a:0:\n", 3, "expected a port"),
    "boolean": (
        "all:\n  hosts:\n    a: {ansible_become: perhaps}\n",
        3,
        "ansible_become: expected yes or no",
    ),
    "address": (
        "all:\n  hosts:\n    a: {ansible_host: [1]}\n",
        3,
        "ansible_host: expected text, found a list",
    ),
    "option as address": ("all: {hosts: {a: {ansible_host: -oX}}}\n", 1, "does not begin with '-'"),
    "nothing as address": ("all:\n  hosts:\n    a:\n      ansible_host:\n", 4, "found nothing"),
    "jinja": ("all:\n  hosts:\n    a: {ansible_host: '{{ ip }}'}\n", 3, "holds a Jinja expression"),
    "vault": ("all:\n  hosts:\n    a:\n      ansible_user: !vault x\n", 4, "is encrypted with !vault"),
    "connection": ("all:\n  vars:\n    ansible_connection: winrm\n", 3, "'winrm' is not supported"),
    "become method": ("all:\n  vars:\n    ansible_become_method: su\n", 3, "use sudo"),
    "password": ("all:\n  vars:\n    ansible_password: x\n", 3, "ansible_password is not honoured"),
    "ssh args": (
        "all:\n  vars:\n    ansible_ssh_common_args: -o ProxyCommand=x\n",
        3,
        "any other one into ~/.ssh/config",
    ),
    "typo in ours": ("all:\n  vars:\n    ansible_hosts: x\n", 3, "did you mean ansible_host?"),
    "typo in skoop": ("all:\n  vars:\n    skoop_netnss: x\n", 3, "did you mean skoop_netns?"),
    "unknown skoop": ("all:\n  vars:\n    skoop_colour: x\n", 3, "there are: skoop_known_hosts, skoop_netns"),
    "netns path": ("all:\n  vars:\n    skoop_netns: ../x\n", 3, "a name under /run/netns"),
    "netns and local": (
        "all:\n  hosts:\n    a:\n      ansible_connection: local\n      skoop_netns: x\n",
        5,
        "skoop_netns is for connection ssh",
    ),
    "contradiction": (
        "a:\n  hosts:\n    h: {ansible_host: 10.0.0.1}\nb:\n  hosts:\n    h: {ansible_host: 10.0.0.2}\n",
        6,
        "'10.0.0.2' here, but '10.0.0.1' in line 3",
    ),
    "unknown group": (
        "all:\n  hosts: {h: }\n  children:\n    workrs:\nworkers:\n  hosts: {i: }\n",
        4,
        "did you mean 'workers'?",
    ),
    "child of all": ("a:\n  hosts: {h: }\n  children:\n    all:\n", 4, "cannot be the child"),
    "own child": ("a:\n  hosts: {h: }\n  children:\n    a:\n", 4, "a > a"),
    "cycle": (
        "a:\n  hosts: {h: }\n  children:\n    b:\nb:\n  children:\n    c:\nc:\n  children:\n    a:\n",
        0,
        "is its own descendant",
    ),
    "bracket": ("all:\n  hosts:\n    n[x]:\n", 3, "holds a bracket that is not a range"),
    "backward range": ("all:\n  hosts:\n    n[3:1]:\n", 3, "is empty"),
    "digits of a range": ("all:\n  hosts:\n    n[08:100]:\n", 3, "same number of digits"),
    "huge range": ("all:\n  hosts:\n    n[1:999999999]:\n", 3, "more than 100000"),
    "name with spaces": ("all:\n  hosts:\n    a b:\n", 3, "cannot be a host's name"),
    "name that is a pattern": ("all:\n  hosts:\n    a*:\n", 3, "cannot be a host's name"),
    "self-containing value": ("all:\n  hosts: {a: }\n  vars:\n    x: &x [*x]\n", 4, "recursive"),
    "deep value": (f"all:\n  hosts: {{a: }}\n  vars:\n    x: {'[' * 80}{']' * 80}\n", 4, "more than 64 deep"),
    "merged into itself": ("all:\n  hosts: {a: &a {<<: *a}}\n", 2, "merged into itself"),
    "merged in a circle": ("all:\n  hosts: {a: &a {<<: {<<: *a}}}\n", 0, "nested without end"),
    "merged text": ("all:\n  hosts:\n    a: {<<: x}\n", 3, "must be a mapping, found the text 'x'"),
    "unknown tag": (
        "all:\n  hosts: {a: }\n  vars:\n    x: !!python/name:os.system\n",
        4,
        "could not determine",
    ),
    "impossible date": ("all:\n  hosts: {a: }\n  vars:\n    x: 2024-99-99\n", 4, "not a YAML value"),
    "list as a key": ("all:\n  hosts:\n    [a]: 1\n", 3, "must be plain text"),
}


@pytest.mark.parametrize(("text", "line", "says"), WRONG.values(), ids=WRONG.keys())
def test_a_mistake_is_named_with_file_and_line(load: Load, text: str, line: int, says: str) -> None:
    """Each mistake is one error: the file, the line where it stands, and what to do."""
    with pytest.raises(InventoryError) as caught:
        load(text)
    assert says in str(caught.value)
    assert caught.value.path.endswith("hosts.yaml")
    if line:
        assert caught.value.line == line
        assert str(caught.value).startswith(f"{caught.value.path}:{line}: ")
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_cycle_of_groups_is_spelt_out(load: Load) -> None:
    """The chain of groups is in the message."""
    with pytest.raises(InventoryError, match=re.escape("a > b > c > a")):
        load(WRONG["cycle"][0])


def test_aliases_that_multiply_are_read_in_no_time(load: Load) -> None:
    """A file of a few lines cannot make the reader work for ever."""
    lines = ["    x0: &x0 [1, 1]"]
    lines += [f"    x{n}: &x{n} [" + ", ".join([f"*x{n - 1}"] * 9) + "]" for n in range(1, 30)]
    assert load("all:\n  hosts: {a: }\n  vars:\n" + "\n".join(lines)).hosts[0].name == "a"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("gone.yaml", "no such file"),
        ("gone.ini", "no such file"),
        ("hosts.toml", "TOML inventories are not read"),
        (".", "the folder holds no inventory file"),
    ],
)
def test_what_is_no_inventory_is_refused(tmp_path: Path, name: str, says: str) -> None:
    """What cannot be read says what to do about it."""
    with pytest.raises(InventoryError, match=says):
        load_inventory(tmp_path / name)


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    """Bytes that are not UTF-8 are no inventory."""
    file = tmp_path / "x.yaml"
    file.write_bytes(b"\xff\xfe\x00all")
    with pytest.raises(InventoryError, match="not UTF-8"):
        load_inventory(file)
