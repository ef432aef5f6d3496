"""What really happened in the guest, on disk, and whether the walk says the same.

``tests/fixtures/vm/NAME/`` holds ``evidence.skoop``, collected after a scenario was built and before anything
was sent, and ``truth.json``: every flow with what became of it. So the model is compared with a kernel that has
all the modules, on machines that have none and need no guest.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from skoopctl.checks.load import snapshot_of
from skoopctl.checks.snapshot import Snapshot
from skoopctl.dataplane.path import walk
from skoopctl.dataplane.trace import Branch, Flow, Outcome, PathResult, Verdict
from skoopctl.evidence import read_bundle, write_bundle
from skoopctl.evidence.bundle import Bundle
from tests.vm.scenario import Try

FIXTURES = Path(__file__).parents[1] / "fixtures" / "vm"
HOST = "vm"
_LATE = {"timeout", "unreachable"}


@dataclass(frozen=True, slots=True)
class Heard:
    """What one try came to: ``who`` answered and the source address that it saw; or an errno in ``seen``."""

    outcome: str
    who: str = ""
    seen: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A flow and what its tries came to."""

    tried: Try
    heard: tuple[Heard, ...]


class Agreement(StrEnum):
    """How a prediction stands to what happened."""

    AGREES = "agrees"
    UNKNOWN = "unknown"
    WRONG = "wrong"
    NOT_ASKED = "not asked"


@dataclass(frozen=True, slots=True)
class Compared:
    """A row with its prediction (None where the walk has no way to ask for it)."""

    row: Row
    predicted: PathResult | None
    agreement: Agreement

    def __str__(self) -> str:
        real = ", ".join(
            dict.fromkeys(" ".join(h for h in (x.outcome, x.who, x.seen) if h) for x in self.row.heard)
        )
        if self.predicted is None:
            return f"{self.row.tried.label}: really {real}"
        branches = "; ".join(
            f"{b.outcome.value} {b.responder} {b.seen_source} ({b.fatal_walk.last.decision})"
            for b in self.predicted.branches[:4]
        )
        unknowns = f" unknown: {'; '.join(self.predicted.unknowns)}" if self.predicted.unknowns else ""
        said = f"predicted {self.predicted.verdict.value}: {branches}{unknowns}"
        return f"{self.row.tried.label}: really {real}; {said}"


def save(name: str, bundle: Bundle, about: str, rows: Iterable[Row]) -> None:
    """Write a scenario's fixture."""
    folder = FIXTURES / name
    folder.mkdir(parents=True, exist_ok=True)
    write_bundle(folder / "evidence.skoop", bundle)
    (folder / "evidence.skoop").chmod(0o644)
    lines = ",\n  ".join(json.dumps(_row_out(row)) for row in rows)
    (folder / "truth.json").write_text(f'{{"about": {json.dumps(about)},\n "flows": [\n  {lines}\n]}}\n')


def load(name: str) -> tuple[Bundle, tuple[Row, ...]]:
    """Read a scenario's fixture."""
    folder = FIXTURES / name
    told = json.loads((folder / "truth.json").read_text())
    return read_bundle(str(folder / "evidence.skoop")), tuple(_row_in(row) for row in told["flows"])


def recorded() -> list[str]:
    """Return the names of all recorded scenarios."""
    return sorted(path.parent.name for path in FIXTURES.glob("*/truth.json"))


def compare(bundle: Bundle, rows: Iterable[Row]) -> list[Compared]:
    """Walk every flow through the evidence, and compare."""
    snapshot = snapshot_of(bundle)
    return [_compared(snapshot, row) for row in rows]


def _compared(snapshot: Snapshot, row: Row) -> Compared:
    if row.tried.extra:
        return Compared(row, None, Agreement.NOT_ASKED)
    result = predict(snapshot, row.tried)
    if result.verdict is Verdict.UNKNOWN or (
        result.unknowns and len(result.outcomes()) > 1 and _seen(row, result)
    ):
        return Compared(row, result, Agreement.UNKNOWN)
    return Compared(row, result, Agreement.AGREES if _agrees(row, result) else Agreement.WRONG)


def predict(snapshot: Snapshot, tried: Try) -> PathResult:
    """Walk one flow from the namespace of that name."""
    hosts = snapshot.hosts
    (client,) = [
        (name, netns.inode)
        for name, host in hosts.items()
        for netns in host.namespaces.values()
        if tried.source in netns.names
    ]
    source = "::1" if ":" in tried.address else "127.0.0.1"
    return walk(snapshot.network, Flow(source, tried.address, tried.protocol, tried.port), client)


def _agrees(row: Row, result: PathResult) -> bool:
    """Tell whether everything that was seen was predicted, and, of a scheduler that takes turns, the reverse."""
    if not _seen(row, result):
        return False
    decided = len(result.outcomes()) == 1 or result.verdict is Verdict.MIXED
    seen_all = all(
        any(_fits(heard, branch, either=row.tried.either) for heard in row.heard)
        for branch in result.branches
    )
    return decided and (seen_all or not row.tried.spread)


def _seen(row: Row, result: PathResult) -> bool:
    """Tell whether everything that was seen is among the predicted branches."""
    either = row.tried.either
    return all(any(_fits(heard, branch, either=either) for branch in result.branches) for heard in row.heard)


def _fits(heard: Heard, branch: Branch, *, either: bool) -> bool:
    if either and {branch.outcome.value, heard.outcome} <= _LATE:
        return True
    if branch.outcome.value != heard.outcome:
        return False
    if branch.outcome is not Outcome.CONNECTED or not heard.who:
        return True
    return branch.responder == heard.who and branch.seen_source == heard.seen


def _row_out(row: Row) -> dict[str, Any]:
    tried = row.tried
    out: dict[str, Any] = {"flow": [tried.source, tried.protocol, tried.address, tried.port]}
    if tried.spread:
        out["spread"] = True
    if tried.either:
        out["either"] = True
    if tried.extra:
        out["extra"] = dict(tried.extra)
    return out | {"heard": [[h.outcome, h.who, h.seen] for h in row.heard]}


def _row_in(told: dict[str, Any]) -> Row:
    source, protocol, address, port = told["flow"]
    heard = tuple(Heard(*each) for each in told["heard"])
    extra = tuple(told.get("extra", {}).items())
    return Row(
        Try(
            source,
            protocol,
            address,
            port,
            len(heard),
            told.get("spread", False),
            either=told.get("either", False),
            extra=extra,
        ),
        heard,
    )
