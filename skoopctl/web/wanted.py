"""What a page's address asks for: the question as typed, and what of its answer is looked at.

::

    /diagnose?s=pod/a/b&d=10.96.0.10&p=53&protocol=udp   the question
              &branch=1&walk=0&hop=7                     the branch, one of its packets, a station on its way
              &q=cni0                                    words that are searched for
    /diagnosis.json?…  /picture.svg?…                    the same, for programs and for reports
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from skoopctl.checks.diagnose import Question
from skoopctl.errors import UsageError

PATH = "/diagnose"
PROTOCOLS = ("tcp", "udp", "sctp", "icmp", "icmp6")
LONGEST = 300
"""Characters of a field; names of Kubernetes are shorter."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One address of the page. Numbers are None where nothing is chosen; ``port`` is as typed."""

    source: str = ""
    destination: str = ""
    port: str = ""
    protocol: str = "tcp"
    branch: int | None = None
    walk: int | None = None
    hop: int | None = None
    search: str = ""

    @property
    def asks(self) -> bool:
        """Whether there is any question in it."""
        return bool(self.source or self.destination)

    def question(self) -> Question:
        """Return the question. Raises `UsageError` in one line that names the field."""
        for name, value in (("source", self.source), ("destination", self.destination)):
            if not value:
                raise UsageError(f"{name} is missing", hint="say where traffic comes from and goes to")
            if len(value) > LONGEST:
                raise UsageError(
                    f"{name} is longer than {LONGEST} characters", hint="give one name or address"
                )
        if self.protocol not in PROTOCOLS:
            raise UsageError(
                f"protocol {self.protocol[:40]!r} is not known", hint=f"use one of {', '.join(PROTOCOLS)}"
            )
        return Question(self.source, self.destination, self.protocol, _port(self.port))

    def href(self, **changes: str | int | None) -> str:
        """Return the address of the same page with something else chosen."""
        query = replace(self, **changes).query  # type: ignore[arg-type]
        return f"{PATH}?{query}" if query else PATH

    @property
    def query(self) -> str:
        """The query of its address; what is not chosen is left out."""
        fields = {
            "s": self.source,
            "d": self.destination,
            "p": self.port,
            "protocol": self.protocol if self.protocol != "tcp" else "",
            "branch": self.branch,
            "walk": self.walk,
            "hop": self.hop,
            "q": self.search,
        }
        return urlencode({name: value for name, value in fields.items() if value not in ("", None)})


def wanted_of(parameters: Mapping[str, str]) -> Wanted:
    """Read an address. A choice that is no number is no choice; what is wrong with a question is said when asked."""
    return Wanted(
        source=parameters.get("s", "").strip(),
        destination=parameters.get("d", "").strip(),
        port=parameters.get("p", "").strip(),
        protocol=parameters.get("protocol", "").strip() or "tcp",
        branch=_number(parameters.get("branch", "")),
        walk=_number(parameters.get("walk", "")),
        hop=_number(parameters.get("hop", "")),
        search=parameters.get("q", "").strip()[:LONGEST],
    )


def asked(question: Question) -> Wanted:
    """Return the page of a question that was asked elsewhere."""
    return Wanted(
        question.source,
        question.destination,
        str(question.port) if question.port else "",
        question.protocol,
    )


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 7 else None


def _port(text: str) -> int:
    if not text:
        return 0
    number = _number(text)
    if number is None or not 0 < number < 65536:
        raise UsageError(f"port {text[:40]!r} is not a number from 1 to 65535", hint="80, for example")
    return number
