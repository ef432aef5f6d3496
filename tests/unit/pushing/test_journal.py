"""The service's log: one line an event, few of a node that comes and goes, and JSON for programs."""

from __future__ import annotations

import io
import json

from skoopctl.pushing.journal import Journal


class Clock:
    """A clock that tests move."""

    now = 0.0

    def __call__(self) -> float:
        """Return the seconds."""
        return self.now


def test_a_node_that_flaps_has_one_line_a_minute_with_how_many_were_held_back() -> None:
    """The same event of the same node is written once a minute; the next line counts the others."""
    out, clock = io.StringIO(), Clock()
    journal = Journal(out, clock=clock)
    for second in range(0, 90, 10):
        clock.now = second
        journal.say("broken", "n1: gone", node="n1")
    journal.say("broken", "n2: gone", node="n2")
    assert out.getvalue().splitlines() == [
        "skoopctl: push: n1: gone",
        "skoopctl: push: n1: gone (5 more such lines were held back)",
        "skoopctl: push: n2: gone",
    ]


def test_what_is_always_said_is_always_said() -> None:
    """Starts, reloads and ends are never held back."""
    out = io.StringIO()
    journal = Journal(out)
    for _ in range(3):
        journal.say("reloaded", "read", always=True)
    assert len(out.getvalue().splitlines()) == 3


def test_text_of_nodes_stays_on_its_line() -> None:
    """A message with a newline or an escape in it is one line, and cannot paint the terminal."""
    out = io.StringIO()
    Journal(out).say("broken", "n1: \x1b[2Jevil\nskoopctl: push: n2: fine")
    assert out.getvalue().count("\n") == 1
    assert "\x1b" not in out.getvalue()


def test_json_lines_have_the_event_and_the_node() -> None:
    """With JSON, each line is an object."""
    out = io.StringIO()
    Journal(out, as_json=True).say("up", "n1: rounds come", node="n1")
    row = json.loads(out.getvalue())
    assert (row["event"], row["node"], row["message"]) == ("up", "n1", "n1: rounds come")
    assert row["time"].startswith("20")


def test_a_node_that_left_leaves_nothing() -> None:
    """What is kept to hold lines back goes with the node."""
    journal = Journal(io.StringIO())
    journal.say("broken", "gone", node="n1")
    journal.forget("n1")
    assert journal._seen == {}


def test_a_reader_that_is_gone_stops_nothing() -> None:
    """A log that cannot be written is no failure of the service."""

    class Broken(io.StringIO):
        tried = 0

        def write(self, text: str) -> int:
            self.tried += 1
            raise BrokenPipeError(text)

    out = Broken()
    Journal(out).say("up", "n1")
    assert out.tried == 1
