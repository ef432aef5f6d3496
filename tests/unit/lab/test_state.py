"""The lab's state file, inventory and command line, without a lab."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from skoopctl.cli.lab import lab as lab_command
from skoopctl.errors import LabError
from skoopctl.inventory import load_inventory
from skoopctl.lab import Backend, Lab, LabOptions, ProxyMode, logins, statefile, summary
from skoopctl.lab.statefile import LabState, load_state, locked_state
from skoopctl.lab.topology import plan_lab


@pytest.fixture
def state_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the state directory into a temporary place."""
    place = tmp_path / "lab"
    for module in (statefile, logins, summary):
        monkeypatch.setattr(module, "STATE_DIR", place)
    return place


def test_state_survives_a_round_trip(state_dir: Path) -> None:
    """What was saved is what is loaded."""
    state_dir.mkdir()
    options = LabOptions(nodes=7, proxy=ProxyMode.NFTABLES, backend=Backend.HOST_GW)
    state = LabState(options, "up", {"node1-c4": 42}, 6443, "cgroup", ["input-drop"])
    state.save()
    assert load_state() == state
    assert list(state_dir.iterdir()) == [state_dir / "state.json"]


def test_no_lab_says_how_to_start_one(state_dir: Path) -> None:
    """Without a state there is no lab, and the hint is the command that builds one."""
    assert not state_dir.exists()
    with pytest.raises(LabError, match="skoopctl lab up"):
        load_state()
    with pytest.raises(LabError, match="skoopctl lab up"), locked_state():
        pass


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 99}', '{"schema": 1}'])
def test_a_broken_state_says_how_to_clean_up(state_dir: Path, text: str) -> None:
    """A state file that cannot be read is one error with the file's name."""
    state_dir.mkdir()
    (state_dir / "state.json").write_text(text)
    with pytest.raises(LabError, match=r"state\.json cannot be read.*lab down"):
        load_state()


def test_a_half_built_lab_is_not_used(state_dir: Path) -> None:
    """A state from a build that was killed is not taken for a lab."""
    state_dir.mkdir()
    LabState(LabOptions()).save()
    with pytest.raises(LabError, match="half built"):
        Lab.load()


def test_a_lab_whose_processes_are_gone_is_not_used(state_dir: Path) -> None:
    """A state that outlived its lab says who is missing."""
    state_dir.mkdir()
    LabState(LabOptions(), "up", {"node1-c4": 2**22 + 1}).save()
    with pytest.raises(LabError, match=r"damaged.*node1-c4"):
        Lab.load()


def test_changes_under_the_lock_are_saved_also_after_an_error(state_dir: Path) -> None:
    """A fault that failed half way stays written down."""
    state_dir.mkdir()
    LabState(LabOptions(), "up").save()

    def fail() -> None:
        with locked_state() as state:
            state.faults.append("input-drop")
            raise LabError("half way")

    with pytest.raises(LabError, match="half way"):
        fail()
    assert load_state().faults == ["input-drop"]


def test_the_inventory_is_one_that_skoopctl_reads(state_dir: Path) -> None:
    """The lab's inventory loads, with two groups and everything needed to log in."""
    state_dir.mkdir()
    path = state_dir / "inventory.yaml"
    path.write_text(logins.inventory_text(plan_lab(LabOptions())))
    inventory = load_inventory(path)
    nodes = {host.name: host.address for host in inventory.select("nodes")}
    assert nodes == {"master-c4": "192.168.3.85", "node1-c4": "192.168.3.86", "node2-c4": "192.168.3.87"}
    (outside,) = inventory.select("outside")
    assert (outside.user, outside.netns) == ("root", "skoop-lab")
    assert outside.key_file == str(state_dir / "id_ed25519")
    assert outside.known_hosts == str(state_dir / "known_hosts")


def test_without_root_every_command_that_builds_says_so(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is one line with what to do."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    for arguments in (["up"], ["down"], ["fault", "apply", "input-drop"]):
        result = CliRunner().invoke(lab_command, arguments)
        assert isinstance(result.exception, LabError)
        assert "sudo" in str(result.exception)
    assert not state_dir.exists()


def test_a_missing_program_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not installed is named with the command that installs it."""
    monkeypatch.setattr("shutil.which", lambda name, **_: None if name == "nft" else f"/usr/sbin/{name}")
    from skoopctl.lab.commands import require_programs

    with pytest.raises(LabError, match=r"missing programs: nft \(apt-get install nftables\)"):
        require_programs()


def test_faults_can_be_listed_without_a_lab(state_dir: Path) -> None:
    """The list needs no root and no lab, and has the same rows as JSON."""
    assert not state_dir.exists()
    text = CliRunner().invoke(lab_command, ["fault", "list"]).output
    assert "iptables -I INPUT -s 192.168.3.87 -j DROP" in text
    rows = json.loads(CliRunner().invoke(lab_command, ["fault", "list", "--json"]).output)
    assert all(f"{row['name']}: " in text for row in rows)
    assert not any(row["applied"] for row in rows)
    assert rows[0]["name"] == "input-drop"


@pytest.mark.parametrize("arguments", [[], ["input-drop", "--all"]])
def test_undo_wants_one_name_or_all(arguments: list[str]) -> None:
    """Neither and both are usage errors."""
    result = CliRunner().invoke(lab_command, ["fault", "undo", *arguments])
    assert result.exit_code == 2
    assert "--all" in result.output
