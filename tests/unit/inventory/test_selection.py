"""Host patterns: Ansible's language, without its silence about names that match nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skoopctl.errors import InventoryError
from skoopctl.inventory import Inventory, InventoryHost
from skoopctl.inventory.ranges import expand

NAMES = ("master", "node01", "node02", "node03", "db", "fd00::1")
GROUPS = {"node01": ("nodes",), "node02": ("nodes", "gpu"), "node03": ("nodes",), "db": ("gpu", "old")}
INVENTORY = Inventory(
    name="x",
    path="x.yaml",
    hosts=tuple(InventoryHost(name, name, groups=GROUPS.get(name, ("ungrouped",))) for name in NAMES),
    groups=("nodes", "gpu", "old", "spare"),
)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (None, NAMES),
        ("all", NAMES),
        ("*", NAMES),
        ("master", ("master",)),
        ("nodes", ("node01", "node02", "node03")),
        ("node0*", ("node01", "node02", "node03")),
        ("node0?,db", ("node01", "node02", "node03", "db")),
        ("db:master", ("master", "db")),
        ("db, master", ("master", "db")),
        ("node[01:02]", ("node01", "node02")),
        ("node[01:02]:db", ("node01", "node02", "db")),
        ("nodes:!gpu", ("node01", "node03")),
        ("!nodes", ("master", "db", "fd00::1")),
        ("nodes:&gpu", ("node02",)),
        ("nodes,gpu,!old", ("node01", "node02", "node03")),
        ("!gpu,nodes", ("node01", "node03")),
        ("&gpu:&nodes", ("node02",)),
        ("node*[0:1]", ("node01", "node02")),
        ("*a*", ("master",)),
        ("nodes[0]", ("node01",)),
        ("nodes[-1]", ("node03",)),
        ("nodes[1:]", ("node02", "node03")),
        ("nodes[0:1]", ("node01", "node02")),
        ("~node0(1|3)", ("node01", "node03")),
        ("fd00::1", ("fd00::1",)),
        ("ungrouped", ("master", "fd00::1")),
    ],
)
def test_a_pattern_chooses_hosts_in_the_order_of_the_file(
    pattern: str | None, expected: tuple[str, ...]
) -> None:
    """Names, groups, globs, ranges, unions, exclusions and intersections."""
    assert tuple(host.name for host in INVENTORY.select(pattern)) == expected


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("node1", "host pattern 'node1' matches no host or group (did you mean 'node01'?)"),
        ("db,nod*x", "'nod*x' matches no host or group"),
        ("nodes:!gpo", "'gpo' matches no host or group (did you mean 'gpu'?)"),
        ("node[01:04]", "'node04' matches no host or group"),
        ("node[3:1]", "is empty"),
        ("spare", "is a group without hosts"),
        ("nodes[7]", "asks for more than the 3 hosts"),
        ("old:&nodes", "leaves no host"),
        ("", "is empty"),
        (" , ", "is empty"),
        ("~(", "is not a regular expression"),
        ("zzz", "there are: master, node01"),
    ],
)
def test_a_pattern_that_chooses_nothing_is_an_error(pattern: str, says: str) -> None:
    """The part that is wrong is named, with the nearest name that there is."""
    with pytest.raises(InventoryError) as caught:
        INVENTORY.select(pattern)
    assert says in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.fixture
def patterns(tmp_path: Path) -> Path:
    """Return a file of patterns."""
    file = tmp_path / "hosts.txt"
    file.write_text(
        "# nodes that failed last night\nnode01\n\ngpu:!old # and these\n  fd00::1\n", encoding="utf-8"
    )
    return file


def test_a_file_of_patterns_is_a_pattern_a_line(patterns: Path) -> None:
    """Comments and empty lines count for nothing; signs work as on the command line."""
    chosen = INVENTORY.select(f"@{patterns}")
    assert [host.name for host in chosen] == ["node01", "node02", "fd00::1"]


def test_a_file_of_patterns_is_a_piece_like_others(patterns: Path) -> None:
    """It can be joined with more pieces."""
    assert [host.name for host in INVENTORY.select(f"master,@{patterns},!node02")] == [
        "master",
        "node01",
        "fd00::1",
    ]


def test_a_file_that_excludes_only_leaves_the_others(tmp_path: Path) -> None:
    """As with ``!x`` on the command line."""
    (tmp_path / "not").write_text("!node01\n!db\n", encoding="utf-8")
    assert [host.name for host in INVENTORY.select(f"@{tmp_path}/not")] == [
        "master",
        "node02",
        "node03",
        "fd00::1",
    ]


def test_a_mistake_in_a_file_of_patterns_names_its_line(patterns: Path) -> None:
    """File, line, and the nearest name that there is."""
    patterns.write_text("db\n# x\nnode04\n", encoding="utf-8")
    with pytest.raises(InventoryError, match=r"hosts\.txt:3: host pattern 'node04' .*did you mean 'node0\d'"):
        INVENTORY.select(f"@{patterns}")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds no host pattern"),
        ("# only\n", "holds no host pattern"),
        ("@other\n", "cannot name another"),
    ],
)
def test_a_file_that_says_nothing_is_an_error(patterns: Path, text: str, says: str) -> None:
    """An empty list of hosts must not mean all of them."""
    patterns.write_text(text, encoding="utf-8")
    with pytest.raises(InventoryError, match=says):
        INVENTORY.select(f"@{patterns}")


def test_a_file_of_patterns_must_be_there() -> None:
    """The name and its sign are in the error."""
    with pytest.raises(InventoryError, match="gone: no such file"):
        INVENTORY.select("@gone")


@given(low=st.integers(0, 500), length=st.integers(0, 50), step=st.integers(1, 7), width=st.integers(1, 5))
def test_a_range_counts_like_python(low: int, length: int, step: int, width: int) -> None:
    """``n[low:high:step]`` is every step-th number from low to high, with low's leading zeros."""
    high = low + length
    digits = max(width, len(str(high)))
    text = f"n[{str(low).zfill(digits)}:{str(high).zfill(digits)}:{step}]"
    assert expand(text) == [f"n{str(number).zfill(digits)}" for number in range(low, high + 1, step)]
