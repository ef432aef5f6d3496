"""The tests' cluster: at most one lab at a time, built when a test first asks for it, gone at the end."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from skoopctl.lab import Lab, LabOptions
from skoopctl.lab import down as take_down
from skoopctl.lab import up as build
from skoopctl.lab.teardown import lab_remains


class Labs:
    """Builds labs, one at a time; the next test with the same options gets the lab that is there."""

    def __init__(self) -> None:
        self.current: Lab | None = None

    def get(self, options: LabOptions) -> Lab:
        """Return a healthy lab with these options."""
        if self.current is not None and self.current.options == options:
            for name in reversed(self.current.applied_faults()):
                self.current.undo_fault(name)
            return self.current
        # Not replace=True: a lab that somebody else put there is theirs.
        self.drop()
        self.current = build(options)
        return self.current

    def fresh(self, options: LabOptions) -> Lab:
        """Return a lab in which nothing has happened: what tests have left half open is sent again for a minute."""
        self.drop()
        return self.get(options)

    def drop(self) -> None:
        """Take the lab down, so that a test may build its own."""
        if self.current is not None:
            self.current = None
            take_down()


@pytest.fixture(scope="session")
def labs() -> Iterator[Labs]:
    """Hold the session's lab, and take it down at the end."""
    if os.geteuid() != 0:
        pytest.skip("the lab takes root")
    held = Labs()
    try:
        yield held
    finally:
        held.drop()


@pytest.fixture
def lab_of(labs: Labs) -> Callable[[LabOptions], Lab]:
    """Return a function that gives a healthy lab with the options asked for."""
    return labs.get


@pytest.fixture
def lab(labs: Labs) -> Lab:
    """Return a healthy lab with the usual options."""
    return labs.get(LabOptions())


@pytest.fixture
def no_lab(labs: Labs) -> Iterator[None]:
    """Make sure that there is no lab, before and after the test."""
    labs.drop()
    if lab_remains():
        pytest.fail("a lab that is not the tests' own is running; end it with: skoopctl lab down")
    yield
    take_down()
