"""The repository around the code: its layout, its pages, its locks, its scripts and its promises."""

from __future__ import annotations

import ast
import importlib
import os
import re
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import skoopctl
from skoopctl.checks.catalogue import DOCS
from skoopctl.cli.app import COMMANDS, app
from skoopctl.sinks.run_metrics import METRICS
from tests.conftest import USE_THE_LAB
from tests.support.paper import needs_pango, needs_poppler

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
ROOMS = (
    "inventory",
    "transport",
    "evidence",
    "kernel",
    "cluster",
    "bpf",
    "dataplane",
    "checks",
    "changes",
    "report",
    "doctor",
    "prepare",
    "web",
    "cli",
    "lab",
)
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
SCRIPTS = sorted(path for path in (ROOT / ".ci").iterdir() if path.is_file())
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "managers"}
NOT_OURS = {".git", "__pycache__", "dist", "build", "out", "fixtures"}
TEXT = {".py", ".md", ".toml", ".txt", ".yaml", ".yml", ".sh", ".j2", ".css", ".js", ".svg"}
FIRST = ("README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile", ".ci/run")
TARGETS = {
    "demo",
    "test",
    "test-unit",
    "lint",
    "bench",
    "fuzz",
    "soak",
    "venv",
    "wheel",
    "docs",
    "readme",
    "lock",
    "clean",
}
MACHINES = ("/work/", "/root/", "/tmp/v/", "/opt/pypi", "/opt/wheels")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def _sources() -> Iterator[Path]:
    """Yield the text files of the repository, without what tools leave in a checkout."""
    for folder, folders, files in os.walk(ROOT):
        hidden = {name for name in folders if name.startswith(".") and name != ".ci"}
        folders[:] = [name for name in folders if name not in NOT_OURS | hidden]
        for name in files:
            path = Path(folder, name)
            if path.suffix in TEXT or name == "Makefile" or path.parent.name == ".ci":
                yield path


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_is_there_and_says_what_it_is(room: str) -> None:
    """Each room is a package whose docstring says what lives there."""
    package = importlib.import_module(f"skoopctl.{room}")
    assert len((package.__doc__ or "").split()) > 4


def test_no_room_is_unknown_to_the_contracts() -> None:
    """Every package and module below skoopctl has its place in the one-way order, or beside it."""
    layers = PROJECT["tool"]["importlinter"]["contracts"][0]["layers"]
    placed = {part.strip().removeprefix("skoopctl.") for layer in layers for part in layer.split(":")}
    there = {
        path.stem
        for path in (ROOT / "skoopctl").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    assert there - placed == {"__init__", "__main__", "recorded"}, "recorded holds data only"
    assert placed <= there


@pytest.mark.parametrize("name", FIRST)
def test_what_people_look_for_first_is_there(name: str) -> None:
    """The files that every project has are at the top."""
    assert (ROOT / name).stat().st_size > 0


def test_public_names_exist() -> None:
    """What a package lists in __all__ can be imported from it, and the list is free of repetition."""
    for path in (ROOT / "skoopctl").rglob("__init__.py"):
        module = importlib.import_module(".".join(path.parent.relative_to(ROOT).parts))
        public = getattr(module, "__all__", [])
        assert len(set(public)) == len(public)
        assert [name for name in public if not hasattr(module, name)] == [], path


def test_the_version_is_said_once() -> None:
    """The package's version is the project's, and is not repeated in pyproject.toml."""
    assert "version" in PROJECT["project"]["dynamic"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", skoopctl.__version__)


def test_no_file_has_a_vague_name() -> None:
    """No module or folder is called utils, helpers or the like."""
    vague = [path for path in _sources() if VAGUE & set(path.relative_to(ROOT).with_suffix("").parts)]
    assert vague == []


def test_every_dependency_is_used() -> None:
    """Each run-time dependency is imported somewhere, and each third-party import is declared."""
    names = {"pyyaml": "yaml", "prometheus-client": "prometheus_client", "fonttools": "fontTools"}
    declared = {
        names.get(name, name)
        for name in (re.split(r"[<>=\[; ]", line)[0] for line in PROJECT["project"]["dependencies"])
    }
    imported: set[str] = set()
    for path in (ROOT / "skoopctl").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.partition(".")[0])
    third_party = imported - set(sys.stdlib_module_names) - {"skoopctl"}
    # These come with another one, and are part of its interface: jinja2's Markup, the API client's errors, and the
    # keys and failures of Fabric's connections.
    assert third_party - {"markupsafe", "urllib3", "paramiko", "invoke"} == declared


def test_plans_page_and_schema_are_fresh() -> None:
    """docs/plans.md and the schema of plans are what the model says; otherwise: make docs."""
    done = _run(sys.executable, "-m", "docs.plans", "--check")
    assert done.returncode == 0, done.stderr


def test_push_page_and_schema_are_fresh() -> None:
    """docs/push.md and the schema of push's configuration are what the model says; otherwise: make docs."""
    done = _run(sys.executable, "-m", "docs.push", "--check")
    assert done.returncode == 0, done.stderr


def test_every_metric_of_runs_is_documented() -> None:
    """docs/cron.md has a row for each metric, with its labels."""
    rows = (ROOT / "docs" / "cron.md").read_text(encoding="utf-8").splitlines()
    for name, (_, labels) in METRICS.items():
        shown = ", ".join(f"`{label}`" for label in labels)
        assert any(row.startswith(f"| `{name}` | {shown} |".replace("|  |", "| |")) for row in rows), name


def test_files_that_use_the_lab_run_in_one_process() -> None:
    """There is one lab on a machine: whoever takes a fixture of it is in the table of tests/conftest.py."""
    words = re.compile(r"\b(lab_of|labs?: Labs?|no_lab|running_lab)\b")
    using = {path.name for path in (ROOT / "tests/lab").glob("test_*.py") if words.search(path.read_text())}
    assert using == USE_THE_LAB


def test_findings_page_is_fresh() -> None:
    """docs/findings.md is what the table of findings prints; otherwise: make docs."""
    done = _run(sys.executable, "-m", "docs.findings", "--check")
    assert done.returncode == 0, done.stderr


def test_ebpf_page_is_fresh() -> None:
    """docs/ebpf.md is what the table of eBPF probes prints; otherwise: make docs."""
    done = _run(sys.executable, "-m", "docs.ebpf", "--check")
    assert done.returncode == 0, done.stderr


def test_every_finding_is_documented() -> None:
    """Each finding has a section of its own on the page."""
    page = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (\S+)$", page, re.MULTILINE) == list(DOCS)


def test_readme_shows_the_demo_as_it_is() -> None:
    """README's demo output and picture are what the recorded demo gives now; otherwise: make readme."""
    done = _run(sys.executable, "docs/readme.py", "--check")
    assert done.returncode == 0, done.stderr


@needs_pango
@needs_poppler
def test_readme_shows_the_demos_report_as_it_is() -> None:
    """The pictures of the report's first page are those of the recorded demo; otherwise: make readme."""
    done = _run(sys.executable, "-m", "docs.report_page", "--check")
    assert done.returncode == 0, done.stderr


def test_readme_shows_the_last_fuzz_figures() -> None:
    """README's figures of ``make fuzz`` are those that were saved; otherwise: make readme."""
    done = _run(sys.executable, "docs/fuzz.py", "--check")
    assert done.returncode == 0, done.stderr


def test_readme_names_every_command() -> None:
    """README's table has a row for each command."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in COMMANDS if f"| `{name}` |" not in readme] == []


def test_every_command_and_flag_has_help() -> None:
    """No command, and no option that is shown, is without a line of help."""
    silent = []
    todo: list[tuple[str, click.Command]] = [("skoopctl", app)]
    while todo:
        name, command = todo.pop()
        if not command.help:
            silent.append(name)
        if isinstance(command, click.Group):
            context = click.Context(command)
            for each in command.list_commands(context):
                found = command.get_command(context, each)
                assert found is not None
                todo.append((f"{name} {each}", found))
        silent += [
            f"{name} {option.opts[0]}"
            for option in command.params
            if isinstance(option, click.Option) and not option.hidden and not option.help
        ]
    assert silent == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Each link of a page to a file of the repository finds it."""
    targets = [target for target in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in target]
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_pages_name_files_that_exist(page: Path) -> None:
    """Paths that a page puts between backquotes are there."""
    named = re.findall(
        r"`((?:skoopctl|tests|docs|remote|reports|requirements|\.ci)/[\w./-]*)`",
        page.read_text(encoding="utf-8"),
    )
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_published_schemas_are_the_packaged_ones() -> None:
    """Each schema that ships in the package is in docs/, byte for byte."""
    packaged = {path.name: path.read_bytes() for path in (ROOT / "skoopctl").rglob("*.schema.json")}
    assert len(packaged) >= 2
    published = {path.name: path.read_bytes() for path in (ROOT / "docs" / "schema").glob("*.json")}
    assert {name: published.get(name) for name in packaged} == packaged


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_locks_hold_exact_versions_with_hashes(lock: Path) -> None:
    """Every locked package has one exact version and a hash, and no lock names where packages come from."""
    text = lock.read_text(encoding="utf-8")
    entries = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert entries
    assert [entry.split()[0] for entry in entries if not re.match(r"[\w.-]+(\[[\w,]+\])?==\S+", entry)] == []
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []
    assert re.findall(r"https?://|file:|--(?:extra-)?index|--find-links", text) == []


def test_locks_hold_what_is_declared() -> None:
    """Each dependency of pyproject.toml is in its group's lock; otherwise: make lock."""
    groups = {**PROJECT["dependency-groups"], "run": PROJECT["project"]["dependencies"]}
    assert {lock.stem for lock in LOCKS} == set(groups)
    for lock in LOCKS:
        text = lock.read_text(encoding="utf-8")
        for line in groups[lock.stem]:
            name = re.split(r"[<>=\[; ]", line)[0]
            assert re.search(rf"^{re.escape(name)}==", text, re.MULTILINE), f"{name} is not in {lock.name}"


def test_locks_of_one_environment_agree() -> None:
    """What is installed side by side into .venv is locked to the same versions."""
    pinned: dict[tuple[str, str], set[str]] = {}
    for name in ("build", "run", "dev"):
        text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
        # A package may have one version for old Pythons and one for new ones.
        rows = re.findall(r"^([\w.-]+)(?:\[[\w,]+\])?==(\S+)(?: ; ([^\\\n]*))?", text, re.MULTILINE)
        for package, version, marker in rows:
            pinned.setdefault((package, marker), set()).add(version)
    assert {package for package, versions in pinned.items() if len(versions) > 1} == set()


def test_what_builds_the_package_is_locked() -> None:
    """The build system's requirements are the group that requirements/build.txt locks."""
    assert sorted(PROJECT["build-system"]["requires"]) == sorted(PROJECT["dependency-groups"]["build"])


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_strict(script: Path) -> None:
    """Each script can be run, ends at the first failure, and is well formed."""
    text = script.read_text(encoding="utf-8")
    assert script.stat().st_mode & stat.S_IXUSR
    assert text.startswith("#!/usr/bin/env bash\n# ")
    assert "\nset -euo pipefail\n" in text
    assert _run("bash", "-n", str(script)).returncode == 0


def test_make_lists_its_targets() -> None:
    """Make alone prints every target that people use, each with a line of words."""
    done = _run("make", "help")
    listed = set(re.findall(r"^  make (\S+) +\S", done.stdout, re.MULTILINE))
    assert listed >= TARGETS


def test_the_lab_is_refused_without_root() -> None:
    """Without root, what needs the lab says so in one line, with what to do instead, and exits with 2."""
    command = [str(ROOT / ".ci" / "with-lab"), "true"]
    if os.geteuid() == 0:
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
    if "Permission denied" in done.stderr:
        pytest.skip("this checkout is in a folder that others may not enter")
    assert done.returncode == 2
    assert re.fullmatch(r"setup: .*run it with sudo.*\n", done.stderr)


WITH_LAB = """
for target in $(awk '$2 ~ "^/run/" { print $2 }' /proc/self/mounts); do umount -l "$target" 2>/dev/null; done
mount -t tmpfs none /run
env --default-signal=INT,TERM .ci/with-lab bash -c '
  trap "echo interrupted; exit 130" INT
  mkdir /run/skoopctl-lab
  while :; do sleep 0.05; done' &
until [ -d /run/skoopctl-lab ]; do sleep 0.02; done
kill -TERM $!
wait $!
echo "status $?"
[ -e /run/skoopctl-lab ] && echo "a lab is left"
"""


def test_an_end_asked_for_leaves_no_lab(tmp_path: Path) -> None:
    """What runs with the lab gets an interrupt when make is ended, and then the lab is taken down."""
    skoopctl = tmp_path / "bin" / "skoopctl"
    skoopctl.parent.mkdir()
    skoopctl.write_text('#!/bin/sh\n[ "$*" = "lab down" ] && rmdir /run/skoopctl-lab\n', encoding="utf-8")
    skoopctl.chmod(0o755)
    apart = ["unshare", "--mount", "--pid", "--fork", "--mount-proc"]
    if os.geteuid() != 0:
        apart.append("--map-root-user")
    done = subprocess.run(
        [*apart, "bash", "-c", WITH_LAB],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "VENV": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if done.returncode and "unshare" in done.stderr:
        pytest.skip("this kernel lets only root have namespaces of its own")
    assert done.stdout == "interrupted\nstatus 130\n", done.stderr


def test_nothing_names_the_place_where_it_was_written() -> None:
    """No file holds a path, an address or a number that only means something on one machine."""
    found = [
        f"{path.relative_to(ROOT)}: {place}"
        for path in _sources()
        for place in MACHINES
        if place in path.read_text(encoding="utf-8") and path != Path(__file__)
    ]
    assert found == []
