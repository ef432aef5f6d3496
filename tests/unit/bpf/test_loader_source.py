"""The loader as it is sent: what it is written in, how large it is, what it must not do."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

import skoopctl
from skoopctl.bpf.catalogue import PROBES
from skoopctl.bpf.program import (
    BACKENDS,
    LOADER_FILES,
    SOURCE_FILES,
    SOURCES_STAND_ON,
    BpfRequest,
    bpf_job,
    bpf_source,
)
from skoopctl.bpf.program import PROGRAM_FILES as STANDS_ON
from skoopctl.errors import UsageError
from skoopctl.evidence.payload import DOCTOR_FILES, PROGRAM_FILES, without_words

REMOTE = Path(skoopctl.__file__).parents[1] / "remote"
BELOW = tuple(file for backend in BACKENDS.values() for file in backend.files)
OURS = (
    *LOADER_FILES,
    *BELOW,
    SOURCES_STAND_ON[-1],
    *(file for files in SOURCE_FILES.values() for file in files),
)
STANDARD_LIBRARY = {
    "_ctypes", "_json", "_sha2", "_sha256", "_signal", "_socket", "_thread", "array", "binascii", "bisect", "ctypes",
    "errno", "fcntl", "hashlib", "json", "mmap", "posix", "resource", "select", "struct", "sys", "time", "zlib",
}  # fmt: skip
NEWER_THAN_3_6 = {
    "time_ns",
    "monotonic_ns",
    "removeprefix",
    "removesuffix",
    "cache",
    "pairwise",
    "batched",
    "bit_count",
}


@pytest.fixture(scope="module")
def tree() -> ast.Module:
    """Return the program with all probes, parsed with Python 3.6's grammar."""
    return ast.parse(bpf_source(BpfRequest(tuple(PROBES), 1.0), "x86_64"), feature_version=(3, 6))


def test_grammar_and_imports_are_python_3_6s(tree: ast.Module) -> None:
    """The program parses with Python 3.6's grammar and imports what CPython 3.6 ships, or tries with a fallback."""
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported <= STANDARD_LIBRARY
    assert not {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)} & NEWER_THAN_3_6


def test_it_writes_no_file_and_pins_nothing(tree: ast.Module) -> None:
    """Nothing is evaluated; no command of bpf(2) pins an object (6); and one function opens files for writing.

    That is `put` of remote/ev_tracefs.py, for settings of an instance of tracing that is the program's own.
    """
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = {node.func.id for node in calls if isinstance(node.func, ast.Name)}
    assert not names & {"eval", "exec", "compile", "__import__"}
    flags = {
        node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr.startswith("O_")
    }
    assert flags <= {"O_RDONLY", "O_CLOEXEC", "O_NONBLOCK", "O_WRONLY"}
    writing = {
        function.name
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        if any(isinstance(node, ast.Attribute) and node.attr == "O_WRONLY" for node in ast.walk(function))
    }
    assert writing == {"put"}
    modes = {
        node.args[1].value
        for node in calls
        if isinstance(node.func, ast.Name) and node.func.id == "open" and len(node.args) > 1
        if isinstance(node.args[1], ast.Constant)
    }
    assert modes == {"rb"}
    commands = {
        node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        if any(isinstance(target, ast.Name) and target.id.endswith("_") for target in node.targets)
    }
    assert commands <= {5, 15, 17}
    assert {5, 17} <= commands


def _names_of(file: str) -> set[str]:
    """Return what a file of the node program defines."""
    names = set()
    for node in ast.parse((REMOTE / file).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            parts = [part for target in node.targets for part in ast.walk(target)]
            names |= {part.id for part in parts if isinstance(part, ast.Name)}
    return names


def test_no_name_is_given_twice() -> None:
    """The files share one namespace: nothing of the loader has a name of another file that can be sent with it."""
    files = {*STANDS_ON, *OURS, *SOURCES_STAND_ON, *PROGRAM_FILES, *DOCTOR_FILES}
    defined = Counter(name for file in files for name in _names_of(file))
    ours = {name for file in OURS for name in _names_of(file)}
    assert len(ours) > 100
    assert {name for name in ours if defined[name] > 1} == set()


@pytest.mark.parametrize(("backend", "limit"), [("core", 68_000), ("auto", 104_000)])
def test_size_on_the_wire(backend: str, limit: int) -> None:
    """Command and standard input of one probe are small, program and bytecode and eBPF together."""
    asked = bpf_job(BpfRequest(("packetloss",), 1.0, backend=backend), "x86_64")
    assert 10_000 < len(asked.command) + len(asked.stdin) <= limit


@pytest.mark.parametrize("name", OURS)
def test_the_source_that_is_sent_lacks_words_only(name: str) -> None:
    """Without docstrings and comments each file of the loader still parses, and has none left."""
    sent = ast.parse(without_words((REMOTE / name).read_text(encoding="utf-8")))
    docstrings = [
        node for node in ast.walk(sent) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    ]
    assert docstrings == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"probes": ("nobody",)},
        {"buffers": "pipe"},
        {"backend": "magic"},
        {"duration_s": 0.0},
        {"start_s": 0.0},
        {"total_bytes": 0},
        {"thresholds_us": {"softirq.nothing": 1}},
        {"thresholds_us": {"softirq.slow": -1}},
        {"thresholds_us": {"softirq.slow": 1 << 32}},
    ],
)
def test_requests_that_cannot_be_are_refused(wrong: dict[str, object]) -> None:
    """Unknown probes, buffers and thresholds, and limits that are none, are errors of the caller."""
    right: dict[str, object] = {"probes": ("packetloss",), "duration_s": 1.0}
    with pytest.raises(UsageError):
        BpfRequest(**{**right, **wrong})  # type: ignore[arg-type]


def test_a_node_has_time_to_start_and_to_compile() -> None:
    """Without a lease the deadline leaves what a request gives for the start, and what BCC may take for each probe."""
    core, bcc = (
        BpfRequest(("softirq", "dns"), 9.0, start_s=90.0, bcc_timeout_s=500.0, backend=backend).plain(
            "x86_64"
        )
        for backend in ("core", "bcc")
    )
    assert (core["deadline_s"], bcc["deadline_s"]) == (99.0, 599.0)


def test_thresholds_of_a_request_stand_in_for_the_catalogues() -> None:
    """A threshold that is asked for is what the node's programs get; the others are those of the catalogue."""
    plain = BpfRequest(("softirq",), 1.0, thresholds_us={"softirq.slow": 7}).plain("x86_64")
    assert plain["probes"][0]["settings"] == {"slow_us": 7, "very_slow_us": 100_000}
