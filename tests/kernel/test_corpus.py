"""Every disagreement that was ever found, built again: the model and the kernel agree about it now.

A file whose name stands in ``OPEN`` is one that the model still gets wrong: it must go on failing until it is
mended, and then its row must go.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.state import from_json
from tests.kernel.supervise import Crew

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces"),
]

CORPUS = sorted((Path(__file__).parent / "corpus").glob("*.json"))
OPEN: dict[str, str] = {
    "a-loop-behind-dnat": "a packet that goes round with DNAT gets another source port on every round",
    "second-syn-meets-a-confirmed-entry": "a SYN that was lost further on is not sent again",
}


@pytest.fixture(scope="module")
def crew() -> Iterator[Crew]:
    """Return a worker that builds states in namespaces of its own."""
    with Crew(1) as made:
        yield made


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_corpus(crew: Crew, path: Path, request: pytest.FixtureRequest) -> None:
    """What the model says of a state from the corpus is what the kernel does, rule for rule."""
    if path.stem in OPEN:
        request.applymarker(pytest.mark.xfail(reason=OPEN[path.stem], strict=True))
    state = from_json(path.read_text(encoding="utf-8"))
    ((_, result),) = crew.run([{"kind": "state", "state": path.read_text(encoding="utf-8"), "closer": 9}])
    assert "error" not in result, result["error"]
    assert not result["refused"], f"this kernel does not take the state: {result['refused']}"
    assert len(result["cases"]) == len(state.flows) > 0
    assert [case["words"] for case in result["cases"] if "words" in case] == []
