"""Build the eBPF programs: clang for each source and architecture, then what a node needs of it.

``make bpf`` writes ``bpf/built/``; ``--out FOLDER`` another folder, ``--objects FOLDER`` keeps the objects too. The
same sources and the same clang give the same bytes.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from skoopctl.bpf.artefact import ARCHITECTURES
from skoopctl.bpf.lowering import lower
from skoopctl.errors import BpfObjectError

HERE = Path(__file__).resolve().parent
CLANGS = ("clang-14", "clang")
FLAGS = (
    "-g",
    "-O2",
    "-target",
    "bpf",
    "-mcpu=v1",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wno-unused-function",
    "-Wno-unused-parameter",
)


def sources() -> list[Path]:
    """Return the sources, one for each probe."""
    return sorted(HERE.glob("*.bpf.c"))


def compile_object(source: Path, architecture: str, target: Path) -> None:
    """Compile one source. Raises `BpfObjectError` with what clang said."""
    clang = next(filter(None, map(shutil.which, CLANGS)), None)
    if clang is None:
        raise BpfObjectError("there is no clang here", hint=".ci/packages --tests installs it")
    words = [
        clang,
        *FLAGS,
        f"-D__TARGET_ARCH_{ARCHITECTURES[architecture]}",
        "-c",
        source.name,
        "-o",
        str(target),
    ]
    # In the folder of the sources, because the object holds the paths that clang was given.
    done = subprocess.run(words, cwd=source.parent, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BpfObjectError(f"{source.name}: clang refuses it:\n{done.stderr.strip()}")


def build(source: Path, architecture: str, objects: Path) -> str:
    """Return the text of the artefact of one source; its object is left in a folder."""
    name = source.name.removesuffix(".bpf.c")
    target = objects / f"{name}.{architecture}.o"
    compile_object(source, architecture, target)
    return lower(target.read_bytes(), name, architecture).to_json()


def main() -> None:
    """Build everything and tell the sizes."""
    parser = argparse.ArgumentParser(description="Build the eBPF programs.")
    parser.add_argument("--out", type=Path, default=HERE / "built", help="where the artefacts go")
    parser.add_argument("--objects", type=Path, help="where the objects go (they are not kept)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        objects = asked.objects or Path(scratch)
        for architecture in ARCHITECTURES:
            folder = asked.out / architecture
            folder.mkdir(parents=True, exist_ok=True)
            for source in sources():
                text = build(source, architecture, objects)
                path = folder / f"{source.name.removesuffix('.bpf.c')}.json"
                path.write_text(text, encoding="utf-8")
                print(f"{path.parent.name}/{path.name}: {len(text)} bytes")


if __name__ == "__main__":
    try:
        main()
    except BpfObjectError as error:
        sys.exit(f"bpf/build.py: {error}")
