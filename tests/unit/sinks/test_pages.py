"""The page of many nodes: metrics together, made in pieces, each node's text once a round."""

from __future__ import annotations

from skoopctl.sinks.pages import PIECE, Kept, indexed, joined


def text(node: str, *metrics: str, samples: int = 1) -> bytes:
    """Return a node's page."""
    rows = []
    for name in metrics:
        rows.append(f"# HELP {name} What {name} is.\n# TYPE {name} untyped\n")
        rows += [f'{name}{{k8s_node="{node}",n="{n}"}} 1\n' for n in range(samples)]
    return "".join(rows).encode()


def test_the_samples_of_one_metric_stand_together() -> None:
    """Each metric has its comment lines once, and then the samples of all nodes."""
    one, two = indexed(text("n1", "a", "b")), indexed(text("n2", "a", "c"))
    page = b"".join(joined([lambda: one, lambda: two])).decode()
    names = [line.partition("{")[0] for line in page.splitlines() if not line.startswith("#")]
    assert names == ["a", "a", "b", "c"]
    assert page.count("# HELP a ") == page.count("# TYPE a ") == 1


def test_one_node_s_page_is_its_own_text() -> None:
    """Nothing is lost or changed."""
    data = text("n1", "a", "b", samples=3)
    assert b"".join(joined([lambda: indexed(data)])) == data


def test_series_are_counted_without_comments() -> None:
    """The limit of series is about samples."""
    assert indexed(text("n1", "a", "b", samples=5)).series == 10
    assert indexed(b"").series == 0


def test_a_large_page_is_made_in_pieces() -> None:
    """Others may work between two pieces, and after each node's text."""
    large = indexed(text("n1", "a", samples=20_000))
    pieces = list(joined([lambda: large, lambda: large, lambda: large]))
    assert sum(map(len, pieces)) > 2 * PIECE
    assert len([piece for piece in pieces if piece]) >= 3
    assert pieces[:3] == [b"", b"", b""]
    assert max(map(len, pieces)) < PIECE + len(large.data)


def test_a_text_is_made_once_a_round_and_format() -> None:
    """Asked twice, it is made once; after a round, anew."""
    made: list[bool] = []

    def render(openmetrics: bool) -> bytes:
        made.append(openmetrics)
        return text("n1", "a")

    kept = Kept(render)
    for _ in range(2):
        kept.text()
        kept.text(openmetrics=True)
    kept.renew()
    kept.text()
    assert made == [False, True, False]
