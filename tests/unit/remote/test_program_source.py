"""The node program as it is sent: what it is written in, how large it is, how it is quoted."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
import zlib
from importlib.util import MAGIC_NUMBER

import pytest

from skoopctl.evidence.payload import (
    DOCTOR_FILES,
    PROGRAM_FILES,
    SAMPLE_FILES,
    bootstrap_command,
    bytecode,
    job,
    program_source,
    sample_source,
    without_words,
)
from skoopctl.evidence.request import DOCTOR_ITEMS, SAMPLE_ITEMS, Request, SampleRequest

STANDARD_LIBRARY = {
    "_ctypes", "_json", "_sha2", "_sha256", "_signal", "_socket", "_thread", "ctypes", "errno", "hashlib", "json",
    "posix", "resource", "select", "socket", "struct", "sys", "time", "zlib",
}  # fmt: skip
NEWER_THAN_3_6 = {
    "time_ns", "monotonic_ns", "perf_counter_ns", "process_time_ns", "removeprefix", "removesuffix",
    "capture_output", "nullcontext", "get_running_loop", "fromisoformat", "isascii", "pidfd_open", "prod",
    "dirs_exist_ok", "waitstatus_to_exitcode", "cached_property", "cache", "aclosing", "batched",
}  # fmt: skip
GUARDED = {"posix_spawn", "POSIX_SPAWN_DUP2", "setns"}


SOURCES = {
    "answers": program_source(Request(items=DOCTOR_ITEMS)),
    "rounds": sample_source(SampleRequest(items=SAMPLE_ITEMS)),
}


@pytest.fixture(scope="module", params=SOURCES.values(), ids=SOURCES)
def tree(request: pytest.FixtureRequest) -> ast.Module:
    """Return a program with all that can be sent, parsed with Python 3.6's grammar."""
    return ast.parse(request.param, feature_version=(3, 6))


def test_grammar_is_python_3_6(tree: ast.Module) -> None:
    """The joined program parses with the grammar of Python 3.6 and holds its entry point."""
    called = tree.body[-1].value.func.id  # type: ignore[attr-defined]
    assert any(isinstance(node, ast.FunctionDef) and node.name == called for node in tree.body)


def test_grammar_check_refuses_newer_syntax() -> None:
    """The check itself can fail: an assignment expression is refused."""
    with pytest.raises(SyntaxError):
        ast.parse("if (a := 1): pass", feature_version=(3, 6))


def test_imports_are_standard_library(tree: ast.Module) -> None:
    """Only modules that CPython 3.6 ships, or that are tried with a fallback, are imported."""
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(str(node.module))
    assert imported <= STANDARD_LIBRARY


def test_no_names_newer_than_python_3_6(tree: ast.Module) -> None:
    """No attribute or keyword that came after Python 3.6 is used, except behind hasattr()."""
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    used |= {str(node.arg) for node in ast.walk(tree) if isinstance(node, ast.keyword)}
    tested = {
        node.args[1].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "hasattr"
        if isinstance(node.args[1], ast.Constant)
    }
    assert not used & NEWER_THAN_3_6
    assert used & GUARDED <= tested | {"POSIX_SPAWN_DUP2"}


def test_never_evaluates_or_writes(tree: ast.Module) -> None:
    """The program opens nothing for writing and evaluates nothing."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = {node.func.id for node in calls if isinstance(node.func, ast.Name)}
    assert not names & {"eval", "exec", "compile", "__import__"}
    flags = {
        node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr.startswith("O_")
    }
    assert flags == {"O_RDONLY", "O_CLOEXEC"}
    modes = [
        node.args[1].value
        for node in calls
        if isinstance(node.func, ast.Name) and node.func.id == "open" and len(node.args) > 1
        if isinstance(node.args[1], ast.Constant)
    ]
    assert set(modes) <= {"r", "rb"}


def test_size_on_the_wire() -> None:
    """Command and standard input together are at most 46 KB: the program once as source and once as bytecode."""
    asked = job(Request())
    assert 10_000 < len(asked.command) + len(asked.stdin) <= 46_000


@pytest.mark.parametrize("name", sorted({*PROGRAM_FILES, *DOCTOR_FILES, *SAMPLE_FILES}))
def test_the_source_that_is_sent_lacks_words_only(name: str) -> None:
    """Without docstrings and comments a file is the same program, with every statement on its own line."""
    from skoopctl.evidence import payload

    source = (payload.Path(payload.skoopctl.__file__).parent.parent / "remote" / name).read_text()
    sent = without_words(source)
    assert _code(sent) == _code(source)
    assert not any(node for node in ast.walk(ast.parse(sent)) if _is_docstring(node))
    assert not re.search(r"^ *#", sent, re.MULTILINE)


def test_only_words_are_taken_out() -> None:
    """A string that is not a docstring, a comment behind code and a function of words alone are told apart."""
    source = '"""One\n\ntwo."""\nA = """x"""  # y\n# z\ndef f():\n    """Three."""\n    return A\n'
    assert without_words(source) == '\n\n\nA = """x"""  # y\n\ndef f():\n\n    return A\n'
    with pytest.raises(SyntaxError):
        _code(without_words('def f():\n    """Nothing."""\n'))


def _code(source: str) -> str:
    """Return a program without its docstrings, with the place of everything that is left."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [each for each in body if not _is_docstring(each)]  # type: ignore[attr-defined]
    return ast.dump(tree, include_attributes=True)


def _is_docstring(node: ast.AST) -> bool:
    """Tell whether a statement is a string that nobody uses."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def test_stdin_is_head_bytecode_and_source() -> None:
    """Standard input is our magic number, two lengths, and exactly that many bytes of zlib each."""
    stdin = job(Request()).stdin
    code_bytes, source_bytes = int(stdin[8:16], 16), int(stdin[16:24], 16)
    assert bytes.fromhex(stdin[:8].decode()) == MAGIC_NUMBER
    assert len(stdin) == 24 + code_bytes + source_bytes
    assert zlib.decompress(stdin[24 : 24 + code_bytes]) == bytecode(program_source(Request()))
    assert zlib.decompress(stdin[24 + code_bytes :]).decode() == program_source(Request())


@pytest.mark.parametrize(("magic", "ran"), [(MAGIC_NUMBER, "bytecode"), (b"\x33\x0d\r\n", "source")])
def test_a_python_of_another_version_runs_the_source(magic: bytes, ran: str) -> None:
    """The stub runs the bytecode where the magic number is its Python's own, and the source everywhere else."""
    code = zlib.compress(bytecode("print('bytecode')"))
    source = zlib.compress(b"print('source')")
    head = f"{magic.hex()}{len(code):08x}{len(source):08x}".encode()
    script = shlex.split(bootstrap_command())[2]
    done = subprocess.run(
        ["sh", "-c", script],
        env={"PATH": "/usr/bin:/bin", "SKOOPCTL_PYTHON": sys.executable},
        input=head + code + source,
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode().strip() == ran


def test_command_means_the_same_in_every_login_shell() -> None:
    """The command is one word in single quotes without anything that csh or fish treat specially there."""
    command = bootstrap_command()
    assert re.fullmatch(r"sh -c '[^'\n\\!]*'", command)
    assert [*shlex.split(command)][:2] == ["sh", "-c"]


def test_program_files_are_all_there_is() -> None:
    """Every Python file of the node program is sent; only the stub travels in the command."""
    from skoopctl.bpf.program import BACKENDS, BCC_COMPILER, LOADER_FILES, SOURCE_FILES, SOURCES_STAND_ON
    from skoopctl.evidence import payload

    folder = payload.Path(payload.skoopctl.__file__).parent.parent / "remote"
    assert {file.name for file in folder.glob("*.py")} == {
        *PROGRAM_FILES,
        *DOCTOR_FILES,
        *SAMPLE_FILES,
        *LOADER_FILES,
        *SOURCES_STAND_ON,
        *(file for files in SOURCE_FILES.values() for file in files),
        *(file for backend in BACKENDS.values() for file in backend.files),
        BCC_COMPILER,
        "stub.py",
    }


@pytest.mark.parametrize("shell", [["sh"], ["bash"], ["bash", "--posix"]])
def test_no_python_is_recognisable(shell: list[str]) -> None:
    """Without a Python the command ends with 97 and one line that the transport knows."""
    script = shlex.split(bootstrap_command())[2]
    done = subprocess.run(
        [*shell, "-c", script],
        env={"PATH": "/usr/bin:/bin", "SKOOPCTL_PYTHON": "/nowhere/python3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 97
    assert done.stderr.startswith("skoopctl: no python")
    assert "/nowhere/python3" in done.stderr
    assert not done.stdout


def test_chosen_python_is_used(tmp_path: object) -> None:
    """The interpreter that the inventory names is the one that runs the stub."""
    fake = tmp_path / "python9"  # type: ignore[operator]
    fake.write_text('#!/bin/sh\necho "$0 $1 $2 $3 $4"\n')
    fake.chmod(0o755)
    done = subprocess.run(
        shlex.split(bootstrap_command()),
        env={"PATH": "/usr/bin:/bin", "SKOOPCTL_PYTHON": str(fake)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == f"{fake} -I -S -B -c\n"


def test_old_python_is_passed_over(tmp_path: object) -> None:
    """An interpreter that is a link to Python 3.4 or 3.5 is not started."""
    old = tmp_path / "python3.5"  # type: ignore[operator]
    old.write_text("#!/bin/sh\necho started\n")
    old.chmod(0o755)
    (tmp_path / "python3").symlink_to(old)  # type: ignore[operator]
    done = subprocess.run(
        shlex.split(bootstrap_command()),
        env={"PATH": "/usr/bin:/bin", "SKOOPCTL_PYTHON": str(tmp_path / "python3")},  # type: ignore[operator]
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 97
    assert not done.stdout


def test_stdin_cut_in_the_program_ends_it() -> None:
    """When standard input ends before the whole program has come, nothing runs and nothing stays."""
    asked = job(Request())
    done = subprocess.run(
        shlex.split(asked.command),
        input=asked.stdin[:-100],
        env={"PATH": "/usr/bin:/bin", "SKOOPCTL_PYTHON": sys.executable},
        capture_output=True,
        timeout=20,
        check=False,
    )
    assert done.returncode != 0
    assert not done.stdout
