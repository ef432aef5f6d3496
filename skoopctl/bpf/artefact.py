"""What is left of an object for a node: code, maps, settings, and what to ask the kernel's types for.

The built ones are in ``bpf/built/ARCHITECTURE/PROBE.json``. The node gets an artefact as a literal of Python and
needs no parser, neither of ELF nor of BTF.ext.
"""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import skoopctl
from skoopctl.errors import BpfObjectError

SCHEMA = "skoopctl.bpf/1"
ARCHITECTURES = {"x86_64": "x86", "aarch64": "arm64"}
"""What ``uname -m`` says, and libbpf's word for it."""

GPL_COMPATIBLE = frozenset(
    ("GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL")
)
"""include/linux/license.h: license_is_gpl_compatible. Without one of them the helpers that read memory are refused."""

INSTRUCTION_BYTES = 8


@dataclass(frozen=True, slots=True)
class Map:
    """A map to make. ``entries`` 0: one for each CPU."""

    name: str
    type: int
    key: int
    value: int
    entries: int
    flags: int


@dataclass(frozen=True, slots=True)
class Field:
    """What one instruction wants of the kernel's types.

    ``kind`` is libbpf's ``enum bpf_core_relo_kind``. ``path`` are the members from ``type`` on, as ``name:class`` and
    ``[index]``, or the enumerator. ``size`` is what the instruction takes the field for, in bytes; 0 where that does
    not matter.
    """

    instruction: int
    kind: int
    type: str
    path: str
    size: int


@dataclass(frozen=True, slots=True)
class Program:
    """One program, and where it belongs. Instructions are counted, and one with 64 bits of immediate is two."""

    name: str
    hook: str
    """``raw_tp tp_btf fentry fexit tracepoint kprobe kretprobe``"""
    target: str
    code: bytes
    maps: tuple[tuple[int, int], ...]
    """(instruction, index of the map) pairs."""
    settings: tuple[tuple[int, str], ...]
    """(instruction, setting) pairs."""
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Artefact:
    """One built object for one architecture."""

    name: str
    architecture: str
    license: str
    maps: tuple[Map, ...]
    programs: tuple[Program, ...]

    def plain(self) -> dict[str, Any]:
        """Return it as JSON has it, and as a node gets it."""
        plain = asdict(self)
        for program in plain["programs"]:
            program["code"] = base64.b64encode(program["code"]).decode("ascii")
            program["fields"] = [list(field.values()) for field in program["fields"]]
        return {"schema": SCHEMA, **plain}

    def to_json(self) -> str:
        """Return the text of its file: a line for each list of numbers, so that a difference can be read."""
        plain = self.plain()
        maps, programs = plain.pop("maps"), plain.pop("programs")
        lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in plain.items()]
        lines.append('"maps": [\n' + ",\n".join(json.dumps(each) for each in maps) + "\n]")
        lines.append('"programs": [\n' + ",\n".join(_program_text(each) for each in programs) + "\n]")
        return "{\n" + ",\n".join(lines) + "\n}\n"


def _program_text(plain: dict[str, Any]) -> str:
    lines = []
    for key, value in plain.items():
        text = json.dumps(value)
        if key == "fields":
            text = "[\n" + ",\n".join(json.dumps(each) for each in value) + "\n]"
        lines.append(f"{json.dumps(key)}: {text}")
    return "{" + ",\n".join(lines) + "}"


def from_json(text: str) -> Artefact:
    """Read an artefact. Raises `BpfObjectError` when the text is not one."""
    try:
        return _artefact(json.loads(text))
    except (KeyError, TypeError, ValueError) as error:
        raise BpfObjectError(f"a built eBPF program cannot be read: {error}", hint="make bpf") from None


def _artefact(plain: dict[str, Any]) -> Artefact:
    if plain["schema"] != SCHEMA:
        raise ValueError(f"its schema is not {SCHEMA}")
    return Artefact(
        name=plain["name"],
        architecture=plain["architecture"],
        license=plain["license"],
        maps=tuple(Map(**each) for each in plain["maps"]),
        programs=tuple(_program(each) for each in plain["programs"]),
    )


def _program(plain: dict[str, Any]) -> Program:
    return Program(
        name=plain["name"],
        hook=plain["hook"],
        target=plain["target"],
        code=base64.b64decode(plain["code"], validate=True),
        maps=tuple((where, index) for where, index in plain["maps"]),
        settings=tuple((where, name) for where, name in plain["settings"]),
        fields=tuple(Field(*row) for row in plain["fields"]),
    )


def built(name: str, architecture: str) -> Artefact:
    """Return a built artefact. Raises `BpfObjectError` when this installation has none for the architecture."""
    path = bpf_folder() / "built" / architecture / f"{name}.json"
    if path.is_file():
        return from_json(path.read_text(encoding="utf-8"))
    known = ", ".join(ARCHITECTURES)
    raise BpfObjectError(
        f"there is no built eBPF program {name} for {architecture}", hint=f"there are some for {known}"
    )


def bpf_folder() -> Path:
    """Return where sources and built programs are: package data in a wheel, beside the package in a checkout."""
    package = Path(skoopctl.__file__).parent
    packed = package / "_data" / "bpf"
    return packed if packed.is_dir() else package.parent / "bpf"
