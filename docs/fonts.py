"""Make ``reports/fonts`` from Debian's fonts-dejavu-core and fonts-wqy-microhei: ``python docs/fonts.py``.

The fonts are cut down to the characters that reports are likely to hold: DejaVu to what is neither an emoji nor a rare
script, WenQuanYi Micro Hei to GB2312. They are the same bytes each time they are made from the same fonts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont

FONTS = Path("/usr/share/fonts/truetype")
TARGET = Path(__file__).resolve().parents[1] / "reports" / "fonts"
DEJAVU = {
    "DejaVuSans.ttf": "sans.ttf",
    "DejaVuSans-Bold.ttf": "sans-bold.ttf",
    "DejaVuSansMono.ttf": "mono.ttf",
    "DejaVuSansMono-Bold.ttf": "mono-bold.ttf",
}
WIDE = {"wqy/wqy-microhei.ttc": "cjk.ttf"}
RANGES = (
    (0x20, 0x7E),
    (0xA0, 0x24F),  # Latin
    (0x2B0, 0x52F),  # Greek, Cyrillic
    (0x5D0, 0x5F4),  # Hebrew
    (0x600, 0x6FF),  # Arabic
    (0x1E00, 0x1EFF),
    (0x2000, 0x206F),
    (0x20A0, 0x20BF),
    (0x2100, 0x22FF),  # letterlike, arrows, mathematics
    (0x2300, 0x23FF),
    (0x2500, 0x27BF),  # boxes, shapes, signs
)


def main() -> None:
    """Write every font."""
    os.environ["SOURCE_DATE_EPOCH"] = "0"
    latin = [code for first, last in RANGES for code in range(first, last + 1)]
    for source, target in DEJAVU.items():
        _cut(FONTS / "dejavu" / source, TARGET / target, latin)
    for source, target in WIDE.items():
        _cut(FONTS / source, TARGET / target, list(_gb2312()))


def _gb2312() -> Iterator[int]:
    """Yield every character that GB2312 can write, and ASCII."""
    yield from range(0x20, 0x7F)
    for high in range(0xA1, 0xF8):
        for low in range(0xA1, 0xFF):
            try:
                yield ord(bytes((high, low)).decode("gb2312"))
            except UnicodeDecodeError:
                continue


def _cut(source: Path, target: Path, codes: list[int]) -> None:
    options = subset.Options(
        hinting=False, layout_features=["*"], name_IDs=["*"], notdef_outline=True, drop_tables=["FFTM"]
    )
    font = TTFont(source, fontNumber=0, recalcTimestamp=False)
    cut = subset.Subsetter(options)
    cut.populate(unicodes=codes)
    cut.subset(font)
    font.save(target)
    print(f"{target.name}: {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
