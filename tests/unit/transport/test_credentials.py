"""Secrets that show themselves to nobody, and passwords that are not sent too often."""

from __future__ import annotations

import asyncio
import copy
import pickle

import pytest

from skoopctl.transport.credentials import Credentials, Secret, Trials
from skoopctl.transport.fake import MovedClockLoop

TEXT = "hunter2"


@pytest.mark.parametrize("shown", [repr, str, "{}".format, "{!r:>20}".format, lambda secret: f"{secret}"])
def test_a_secret_is_not_shown(shown: object) -> None:
    """However it is printed, by itself or in what holds it."""
    assert callable(shown)
    for held in (Secret(TEXT), Credentials(Secret(TEXT), Secret(TEXT), Secret(TEXT)), Trials(Secret(TEXT))):
        assert TEXT not in shown(held) if not isinstance(held, Secret) else shown(held).strip() == "<secret>"


def test_a_secret_is_not_written_down() -> None:
    """Neither pickled nor copied by way of pickle."""
    for write in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="not written down"):
            write(Secret(TEXT))


async def _host(trials: Trials, takes: bool, log: list[str], answers_after_s: float = 1.0) -> None:
    """Be a host that is sent a password, and takes it or not after a while."""
    trial = await trials.begin()
    if trial is None:
        log.append("held back")
        return
    log.append("sent")
    await asyncio.sleep(answers_after_s)
    log.append("taken" if takes else "refused")
    trial.end(accepted=takes)


def _hosts(*takes: bool) -> list[str]:
    async def scenario() -> list[str]:
        trials, log = Trials(Secret(TEXT)), []
        await asyncio.gather(*(_host(trials, each, log) for each in takes))
        return log

    with asyncio.Runner(loop_factory=MovedClockLoop) as runner:
        return runner.run(scenario())


def test_a_password_goes_to_one_host_at_a_time_until_one_takes_it() -> None:
    """Afterwards it goes to all at once."""
    log = _hosts(False, True, True, True)
    assert log[:5] == ["sent", "refused", "sent", "taken", "sent"]
    assert log[5:] == ["sent", "taken", "taken"]


def test_a_password_that_three_refuse_is_sent_to_nobody_else() -> None:
    """The fourth host and all after it are spared."""
    assert _hosts(*[False] * 6) == ["sent", "refused"] * 3 + ["held back"] * 3


def test_refusals_after_a_success_stop_nothing() -> None:
    """Then the password is right, and those accounts are odd."""
    assert _hosts(True, *[False] * 5, True).count("sent") == 7


def test_a_host_that_is_lost_before_it_answers_lets_the_next_one_try() -> None:
    """Its outcome is unknown, and it does not keep the gate."""

    async def scenario() -> int:
        trials = Trials(Secret(TEXT))
        for _ in range(5):
            trial = await trials.begin()
            assert trial is not None
            trial.end(accepted=None)
            trial.end(accepted=False)  # too late: the first word counts
        return trials.refusals

    assert asyncio.run(scenario()) == 0
