"""Addresses of the kernel as functions, by a table in the form of /proc/kallsyms."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.bpf_loader import loader

NODE = loader()
TABLE = """\
ffffffff81000000 T _stext
ffffffff81000100 t nf_hook_slow.isra.0
ffffffff81000200 D some_data
ffffffff81000300 T ip_forward
ffffffffc0001000 t br_forward\t[bridge]
ffffffffc0000000 t nf_nat_ipv4_fn\t[nf_nat]
"""
HIDDEN = "0000000000000000 T _stext\n0000000000000000 t nf_hook_slow\n"


def symbols(monkeypatch: pytest.MonkeyPatch, path: Path) -> object:
    """Return the symbols of a table."""
    monkeypatch.setitem(NODE.Symbols.read.__globals__, "KALLSYMS", str(path))
    return NODE.Symbols()


@pytest.mark.parametrize(
    ("address", "name"),
    [
        (0xFFFFFFFF81000100, "nf_hook_slow.isra.0+0x0"),
        (0xFFFFFFFF81000210, "nf_hook_slow.isra.0+0x110"),
        (0xFFFFFFFFC0000010, "nf_nat_ipv4_fn+0x10"),
        (0xFFFFFFFFC0001000, "br_forward+0x0"),
        (0xFFFFFFFF80000000, ""),
        (0xFFFFFFFFF0000000, ""),
    ],
)
def test_an_address_is_in_the_function_before_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: int, name: str
) -> None:
    """Functions of modules too, which are not in order; data is none, and what is far from all has no name."""
    path = tmp_path / "kallsyms"
    path.write_text(TABLE, encoding="ascii")
    assert symbols(monkeypatch, path).name(address) == name  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("content", "trouble"), [(HIDDEN, "hides addresses"), (None, "cannot be read"), ("x\n", "cannot be read")]
)
def test_without_addresses_there_are_no_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None, trouble: str
) -> None:
    """A table that hides addresses, is not there or is none gives no name, and says why."""
    path = tmp_path / "kallsyms"
    if content is not None:
        path.write_text(content, encoding="ascii")
    found = symbols(monkeypatch, path)
    assert found.name(0xFFFFFFFF81000100) == ""  # type: ignore[attr-defined]
    assert trouble in found.trouble  # type: ignore[attr-defined]
