"""``skoopctl inventory``, and the flags that name hosts on every command that asks them."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner, Result

from skoopctl.cli.app import app
from skoopctl.errors import SkoopError

HOSTS = """\
lonely ansible_connection=local

[workers]
w[1:2] ansible_user=ops ansible_port=2222 app_password=s3cret
[control]
c1 ansible_host=10.0.0.1
[cluster:children]
workers
control
"""


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an inventory, which is also in the working directory."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "hosts.ini"
    file.write_text(HOSTS, encoding="utf-8")
    return file


def run(*arguments: str) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(app, arguments, standalone_mode=False)


def test_list_is_a_line_a_host(hosts: Path) -> None:
    """Address, port, user and groups; what the inventory leaves open is a dash."""
    done = run("inventory", "list", "-i", str(hosts))
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["HOST", "ADDRESS", "PORT", "USER", "GROUPS"],
        ["lonely", "local", "-", "-", "ungrouped"],
        ["w1", "w1", "2222", "ops", "cluster,workers"],
        ["w2", "w2", "2222", "ops", "cluster,workers"],
        ["c1", "10.0.0.1", "-", "-", "cluster,control"],
    ]


def test_list_as_json_has_a_schema_and_no_values_of_others(hosts: Path) -> None:
    """Every field with its origin; variables that are not ours by name only."""
    done = run("inventory", "list", "-i", str(hosts), "-l", "w1", "--json")
    found = json.loads(done.stdout)
    assert found["schema"] == "skoopctl.inventory/1"
    (host,) = found["hosts"]
    assert (host["name"], host["port"], host["user"]) == ("w1", 2222, "ops")
    assert host["origins"]["user"] == f"ansible_user in {hosts}:4"
    assert "app_password" in host["variables"]
    assert found["groups"]["workers"] == {"children": [], "hosts": ["w1"]}
    assert "s3cret" not in done.output


@pytest.mark.parametrize("command", [["list"], ["show", "w1"], ["show", "lonely"]])
def test_json_is_what_the_published_schema_says(hosts: Path, command: list[str]) -> None:
    """No key is missing, and none is there that nobody knows."""
    published = Path(__file__).parents[3] / "docs" / "schema" / "inventory-1.schema.json"
    schema = json.loads(published.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    done = run("inventory", *command, "-i", str(hosts), "--json")
    jsonschema.validate(json.loads(done.stdout), schema, jsonschema.Draft202012Validator)


def test_graph_draws_what_ansible_draws(hosts: Path) -> None:
    """Groups and hosts, each below its group."""
    done = run("inventory", "graph", "-i", str(hosts))
    assert done.stdout == (
        "@all:\n"
        "  |--@ungrouped:\n"
        "  |  |--lonely\n"
        "  |--@cluster:\n"
        "  |  |--@workers:\n"
        "  |  |  |--w1\n"
        "  |  |  |--w2\n"
        "  |  |--@control:\n"
        "  |  |  |--c1\n"
    )
    assert run("inventory", "graph", "-i", str(hosts), "workers").stdout == "@workers:\n  |--w1\n  |--w2\n"


def test_an_unknown_group_names_the_nearest(hosts: Path) -> None:
    """A typing mistake is exit status 2 and a suggestion."""
    done = run("inventory", "graph", "-i", str(hosts), "workrs")
    assert isinstance(done.exception, SkoopError)
    assert "did you mean 'workers'?" in str(done.exception)


def test_show_says_where_a_setting_is_written(hosts: Path) -> None:
    """A field with its value and file:line, or what decides it else; no values of variables that are not ours."""
    lines = run("inventory", "show", "-i", str(hosts), "w2").stdout.splitlines()
    words = {line.split()[0]: line.split() for line in lines}
    assert words["port"] == ["port", "2222", "ansible_port", "in", f"{hosts}:4"]
    assert words["jump"] == ["jump", "-", "default:", "~/.ssh/config"]
    assert words["app_password"] == ["app_password", f"{hosts}:4"]


def test_show_needs_one_host(hosts: Path) -> None:
    """A group is not a host."""
    done = run("inventory", "show", "-i", str(hosts), "workers")
    assert "'workers' stands for 2 hosts (name one, such as w1)" in str(done.exception)


@pytest.mark.parametrize("command", ["collect", "diagnose", "run"])
def test_list_hosts_asks_nobody(hosts: Path, command: str) -> None:
    """The chosen names on standard output, exit status 0, and nothing else."""
    done = run(command, "-i", str(hosts), "-l", "cluster:!w1", "--list-hosts")
    assert (done.stdout, done.exception) == ("w2\nc1\n", None)


def test_several_sources_are_one_inventory(hosts: Path) -> None:
    """-i may be given several times, and name hosts without a file."""
    done = run("collect", "-i", str(hosts), "-i", "x,y:2022", "-l", "x:y:c1", "--list-hosts")
    assert done.stdout == "c1\nx\ny\n"


def test_notes_are_said_once_on_standard_error(hosts: Path) -> None:
    """What may be a mistake is told, without getting into the data; --quiet keeps it quiet."""
    hosts.write_text("a ansible_host=10.0.0.1\nb ansible_host=10.0.0.1\n", encoding="utf-8")
    done = run("collect", "-i", str(hosts), "--list-hosts")
    assert done.stdout == "a\nb\n"
    assert done.stderr == "skoopctl: note: hosts a and b are one machine: 10.0.0.1 port 22\n"
    assert run("collect", "-i", str(hosts), "--list-hosts", "-q").stderr == ""


def test_variables_beside_playbooks_are_read_when_asked_for(
    hosts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ansible reads group_vars of the working directory; here a flag decides, and its absence is noted."""
    elsewhere = hosts.parent / "playbooks"
    (elsewhere / "group_vars").mkdir(parents=True)
    (elsewhere / "group_vars" / "all.yml").write_text("ansible_user: from_playbooks\n", encoding="utf-8")
    monkeypatch.chdir(elsewhere)
    without = run("inventory", "list", "-i", str(hosts), "-l", "c1")
    assert "./group_vars is not read" in without.stderr
    assert "from_playbooks" not in without.stdout
    asked = run("inventory", "list", "-i", str(hosts), "-l", "c1", "--playbook-dir", ".")
    assert "from_playbooks" in asked.stdout
    assert asked.stderr == ""


@pytest.mark.parametrize("flag", ["--limit=w1", "--list-hosts", "--playbook-dir=."])
def test_flags_of_an_inventory_do_not_go_with_a_bundle(flag: str) -> None:
    """A flag that would have no effect is an error."""
    done = run("diagnose", "--bundle", "x.skoop", "-s", "1.1.1.1", "-d", "1.1.1.2", flag)
    assert isinstance(done.exception, SkoopError)
    assert flag.partition("=")[0] in str(done.exception)
