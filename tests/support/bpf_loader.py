"""The node's loader as a module of this process, and objects of eBPF that are built for a test."""

from __future__ import annotations

import os
import shutil
from functools import cache
from itertools import chain
from pathlib import Path
from types import SimpleNamespace

import pytest

from bpf.build import CLANGS, compile_object
from skoopctl.bpf.artefact import Artefact
from skoopctl.bpf.lowering import lower
from skoopctl.bpf.program import BACKENDS, LOADER_FILES, PROGRAM_FILES, SOURCE_FILES, SOURCES_STAND_ON
from skoopctl.evidence.payload import joined

ARCHITECTURE = os.uname().machine
KERNEL_TYPES = Path("/sys/kernel/btf/vmlinux")

needs_clang = pytest.mark.skipif(
    not any(map(shutil.which, CLANGS)) or not Path("/usr/include/bpf/bpf_helpers.h").exists(),
    reason="clang and libbpf-dev are not here (.ci/packages --tests)",
)
needs_kernel_types = pytest.mark.skipif(not KERNEL_TYPES.exists(), reason="this kernel shows no types")


@cache
def loader() -> SimpleNamespace:
    """Return the functions and classes of the loader, and of the probes that need none."""
    names: dict[str, object] = {}
    below = dict.fromkeys(chain.from_iterable(backend.files for backend in BACKENDS.values()))
    sources = chain.from_iterable(SOURCE_FILES.values())
    files = (*PROGRAM_FILES, *LOADER_FILES, *below, *SOURCES_STAND_ON, *sources)
    exec(compile(joined(files), "loader", "exec", dont_inherit=True), names)  # noqa: S102
    return SimpleNamespace(**names)


def built_for_test(source: Path, folder: Path) -> tuple[Path, Artefact]:
    """Return the object of a source and what a node would get of it."""
    name = source.name.removesuffix(".bpf.c")
    target = folder / f"{name}.o"
    compile_object(source, ARCHITECTURE, target)
    return target, lower(target.read_bytes(), name, ARCHITECTURE)
