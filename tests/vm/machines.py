"""The machines that QEMU emulates for the tests."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Machine:
    """One of them, by the kernel's name for it (uname -m)."""

    name: str
    package: str
    """Debian's name for it."""
    qemu: tuple[str, ...]
    """The program that emulates it, and what that must be told."""
    console: str


X86_64 = Machine("x86_64", "amd64", ("qemu-system-x86_64", "-cpu", "max"), "ttyS0")
AARCH64 = Machine(
    "aarch64",
    "arm64",
    # Pointers are signed by QEMU's own cipher: the architecture's takes half of the emulation's time.
    ("qemu-system-aarch64", "-M", "virt", "-cpu", "max,pauth-impdef=on"),
    "ttyAMA0",
)
