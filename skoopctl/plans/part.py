"""What every file that people write in YAML is made of: parts with keys in kebab-case, and a few kinds of values."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_URL = re.compile(r"https?://[^\s@/]+(/[^\s@]*)?")


def shaped(shape: re.Pattern[str], words: str) -> AfterValidator:
    """Return what refuses a text of another shape, in words."""

    def check(text: str) -> str:
        if shape.fullmatch(text):
            return text
        raise ValueError(f"expected {words}")

    return AfterValidator(check)


Name = Annotated[str, shaped(_NAME, "a name of letters, digits, '.', '_' and '-', of at most 63")]
Url = Annotated[str, shaped(_URL, "http://HOST:PORT, without user and password")]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


def _kebab(name: str) -> str:
    return name.removesuffix("_").replace("_", "-")


class Part(BaseModel):
    """A part of a plan: a key that nobody knows is an error."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=_kebab,
        populate_by_name=True,
        use_attribute_docstrings=True,
    )
