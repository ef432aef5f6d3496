"""The talk with sudo, in pieces of every size."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skoopctl.errors import DeniedError
from skoopctl.inventory import InventoryHost
from skoopctl.transport.base import Answer
from skoopctl.transport.become import SudoTalk
from skoopctl.transport.credentials import Secret, Trials

HOST = InventoryHost("node1", "node1", user="ops", become=True)
NOISE = st.binary(max_size=40) | st.sampled_from([b"We trust you\n", b"skoopctl-", b"Sorry, try again.\n"])


def converse(parts: list[bytes], sizes: list[int]) -> tuple[list[bytes], Answer]:
    """Say ``parts`` in pieces of these sizes; ``{prompt}`` and ``{ready}`` stand for the two words."""

    async def scenario() -> tuple[list[bytes], Answer]:
        written: list[bytes] = []
        answer = Answer(1000)
        talk = SudoTalk(HOST, Trials(Secret("secret")), answer)
        holding = asyncio.ensure_future(talk.hold(written.append, b"payload"))
        for part in parts:
            said = part.replace(b"{prompt}", talk.prompt.encode())
            said = said.replace(b"{ready}", talk.ready.encode() + b"\n")
            for size in itertools.cycle(sizes):
                piece, said = said[:size], said[size:]
                talk.hear(piece)
                if not said:
                    break
            # What sudo says next, it says after it has been answered.
            for _ in range(5):
                await asyncio.sleep(0)
        talk.end()
        await holding
        return written, answer

    return asyncio.run(scenario())


@given(NOISE, NOISE, NOISE, st.lists(st.integers(1, 60), min_size=1, max_size=5))
def test_a_password_goes_out_when_asked_for_and_the_input_when_the_program_begins(
    before: bytes, between: bytes, after: bytes, sizes: list[int]
) -> None:
    """Whatever else is said, and however it is cut; everything else arrives in stderr."""
    written, answer = converse([before, b"{prompt}", between, b"{ready}", after], sizes)
    assert written == [b"secret\n", b"payload"]
    assert answer.stderr == (before + between + after).decode("utf-8", "replace")


@given(NOISE, NOISE, st.lists(st.integers(1, 60), min_size=1, max_size=5))
def test_without_a_prompt_only_the_input_goes_out(before: bytes, after: bytes, sizes: list[int]) -> None:
    """NOPASSWD: no line of the input is taken for a password."""
    written, answer = converse([before, b"{ready}", after], sizes)
    assert written == [b"payload"]
    assert answer.stderr == (before + after).decode("utf-8", "replace")


@given(NOISE, st.lists(st.integers(1, 60), min_size=1, max_size=5))
def test_an_end_without_either_word_writes_nothing(said: bytes, sizes: list[int]) -> None:
    """Sudo refuses at once, or is not there."""
    written, answer = converse([said], sizes)
    assert written == []
    assert answer.stderr == said.decode("utf-8", "replace")


def test_a_second_prompt_is_a_refusal_and_is_not_answered() -> None:
    """The account is not locked by us."""
    with pytest.raises(DeniedError, match="refused the password of ops"):
        converse([b"{prompt}", b"Sorry, try again.\n", b"{prompt}"], [7])


def test_each_talk_has_words_of_its_own() -> None:
    """A host cannot know them before it is asked, and another host's are of no use."""

    async def words() -> set[str]:
        talks = [SudoTalk(HOST, Trials(Secret("s")), Answer(10)) for _ in range(50)]
        return {talk.prompt for talk in talks} | {talk.ready for talk in talks}

    assert len(asyncio.run(words())) == 100
