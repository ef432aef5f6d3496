"""What every file that people write in YAML is made of: parts with keys in kebab-case, and a few kinds of values."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,62}")
"""A label's name, as Prometheus and Loki take it."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_URL = re.compile(r"https?://[^\s@/]+(/[^\s@]*)?")


def shaped(shape: re.Pattern[str], words: str) -> AfterValidator:
    """Return what refuses a text of another shape, in words."""

    def check(text: str) -> str:
        if shape.fullmatch(text):
            return text
        raise ValueError(f"expected {words}")

    return AfterValidator(check)


def known(table: Iterable[str], what: str) -> AfterValidator:
    """Return what refuses a name that is not in a table, and names the nearest."""

    def check(name: str) -> str:
        if name in table:
            return name
        near = difflib.get_close_matches(name, table, 1)
        meant = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(table)}"
        raise ValueError(f"there is no {what} {name!r}: {meant}")

    return AfterValidator(check)


def label_beside(taken: frozenset[str]) -> AfterValidator:
    """Return what refuses a text that is no label's name, or one of those that are there already."""

    def check(name: str) -> str:
        if not _LABEL.fullmatch(name) or name.startswith("__"):
            raise ValueError(f"expected a label's name, found {name!r}")
        if name in taken:
            raise ValueError(f"the label {name!r} is there already: choose another name")
        return name

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


class ServerPart(Part):
    """A server that takes what is pushed, and how to log in there."""

    url: Url
    """Its URL, without user and password."""
    user: str = ""
    """For basic authentication."""
    password_file: str = ""
    """A file with the password in its first line."""
    ca_file: str = ""
    """A file with the certificates that the server's is checked against."""
    cert_file: str = ""
    """A client certificate, if the server wants one."""
    key_file: str = ""
    """Its key, where it is not in the same file."""
    timeout: Seconds = 10
    """Seconds for one request; it ends then, whatever the server does."""

    @model_validator(mode="after")
    def _login_is_whole(self) -> Self:
        if bool(self.user) != bool(self.password_file):
            raise ValueError("user and password-file go together")
        if self.key_file and not self.cert_file:
            raise ValueError("key-file needs cert-file")
        return self
