"""The golden pictures: byte by byte what was looked at."""

from __future__ import annotations

import pytest

from tests.unit.report.pictures import FOLDER, PICTURES, RENEW


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_the_one_that_was_looked_at(name: str) -> None:
    """Every byte of it is as it is kept; else the first line that differs is named, and how to renew the file."""
    kept = (FOLDER / f"{name}.svg").read_text(encoding="utf-8").splitlines()
    fresh = PICTURES[name]().splitlines()
    lines = range(max(len(kept), len(fresh)))
    first = next((at for at in lines if kept[at : at + 1] != fresh[at : at + 1]), None)
    if first is not None:
        changed = f"kept:  {kept[first : first + 1]}\ndrawn: {fresh[first : first + 1]}"
        pytest.fail(f"{name}.svg:{first + 1}: the picture has changed: {RENEW}\n{changed}", pytrace=False)


def test_no_picture_is_kept_that_nobody_compares() -> None:
    """Each file of the folder is a row of the table, and each row has its file."""
    assert {file.name for file in FOLDER.iterdir()} == {f"{name}.svg" for name in PICTURES}
