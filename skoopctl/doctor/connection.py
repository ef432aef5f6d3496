"""The way to a node, step by step: the first step that fails has the transport's own error, later ones are open."""

from __future__ import annotations

from enum import IntEnum

from skoopctl.doctor.check import Check, Judge, Judgement, Level, Subject, degraded, missing, ok, unknown
from skoopctl.doctor.facts import Gap
from skoopctl.errors import (
    AuthenticationError,
    DeadlineError,
    DeniedError,
    HostKeyError,
    SkoopError,
    UnreachableError,
    UnsupportedError,
)

SLOW_ANSWER_S = 10.0
NO_PYTHON = "no Python"
REFUSED = "refused the login"
"""In the transport's message when a server has said no; other failed logins may not have got so far."""


class Step(IntEnum):
    """The steps, in order."""

    REACH = 0
    HOST_KEY = 1
    LOGIN = 2
    ROOT = 3
    PYTHON = 4
    ANSWER = 5


_STEPS: tuple[tuple[type[SkoopError], Step], ...] = (
    (HostKeyError, Step.HOST_KEY),
    (AuthenticationError, Step.LOGIN),
    (DeniedError, Step.ROOT),
    (UnreachableError, Step.REACH),
)


def failed_step(subject: Subject) -> Step | None:
    """Return the step at which asking the node failed, or ``None``."""
    error = subject.error
    if error is None:
        return None
    if subject.facts is not None:
        return Step.ANSWER
    if isinstance(error, DeadlineError):
        return Step.ANSWER if subject.timing.asked_wall_ns else Step.REACH
    if isinstance(error, UnsupportedError) and NO_PYTHON in error.message:
        return Step.PYTHON
    return next((step for kind, step in _STEPS if isinstance(error, kind)), Step.ANSWER)


def proven_step(subject: Subject) -> Step:
    """Return the first step that is not proven to have been passed: a failure here proves nothing of the network."""
    if subject.timing.asked_wall_ns or subject.facts is not None:
        return Step.ROOT
    if isinstance(subject.error, AuthenticationError) and REFUSED in subject.error.message:
        return Step.LOGIN
    return Step.HOST_KEY if isinstance(subject.error, HostKeyError) else Step.REACH


def _failure(subject: Subject, at: Step) -> Judgement | None:
    """Return the judgement of a step that failed or was not reached; ``None`` when it was passed."""
    failed, error = failed_step(subject), subject.error
    if failed is None or error is None:
        return None
    if failed > at:
        return unknown("not tried") if at < Step.ROOT and at >= proven_step(subject) else None
    if failed < at:
        return unknown("not reached")
    said = error.message.removeprefix(f"{subject.host.name}: ")
    if isinstance(error, DeadlineError) and error.stage == "run" and failed is Step.REACH:
        return Judgement(Level.UNKNOWN, said, error.hint)
    return missing(said, error.hint)


def _passed(at: Step, said: Judge) -> Judge:
    """Return a judge that gives the failure of a step, or what ``said`` makes of its success."""

    def judge(subject: Subject) -> Judgement:
        return _failure(subject, at) or said(subject)

    return judge


def _reach(subject: Subject) -> Judgement:
    host = subject.host
    if host.connection == "local":
        return ok("this machine")
    return ok(f"{host.address} port {host.port}" if host.port_given else host.address)


def _host_key(subject: Subject) -> Judgement:
    return ok("not needed: this machine" if subject.host.connection == "local" else "known and unchanged")


def _login(subject: Subject) -> Judgement:
    if subject.host.connection == "local":
        return ok("not needed: this machine")
    who = f"as {subject.host.user}, " if subject.host.user else ""
    return ok(f"{who}in {subject.timing.login_s:.2f} s")


def _root(subject: Subject) -> Judgement:
    if subject.facts is None or isinstance(subject.facts.identity, Gap):
        return unknown("the node did not say who we are there")
    if subject.facts.identity.uid == 0:
        method = f"with {subject.host.become_method}" if subject.host.become else "by the login itself"
        return ok(method)
    tools = subject.facts.tools
    there = [name for name in ("sudo", "doas") if not isinstance(tools, Gap) and name in tools]
    with_what = f"{' and '.join(there)} there" if there else "neither sudo nor doas is there"
    if subject.host.become:
        return missing(f"{subject.host.become_method} became user {subject.facts.identity.uid}, not root")
    return missing(f"the login is user {subject.facts.identity.uid}; {with_what}")


def _python(subject: Subject) -> Judgement:
    if subject.facts is None or isinstance(subject.facts.identity, Gap):
        return unknown("the node did not say its version")
    return ok(subject.facts.identity.python)


def _answer(subject: Subject) -> Judgement:
    if subject.facts is None:
        return unknown("the node gave no answer")
    took = f"in {subject.timing.answer_s:.2f} s"
    if subject.facts.problem:
        return missing(f"not whole: {subject.facts.problem}")
    if subject.timing.answer_s > SLOW_ANSWER_S:
        return degraded(f"whole, but only {took}")
    return ok(f"whole, {took}")


CHECKS = (
    Check(
        "reach",
        "the SSH server answers",
        "a TCP connection from here to the node's SSH server",
        "missing when the name cannot be resolved, there is no route, nothing listens or nothing answers in time",
        "look at ansible_host and ansible_port, at firewalls, and whether the node is up",
        _passed(Step.REACH, _reach),
    ),
    Check(
        "host-key",
        "its host key is the known one",
        "the key in known_hosts, put there by somebody who compared it",
        "missing when the key is unknown or another one: then no login is tried",
        "compare the fingerprint on the node's console, then add the key to known_hosts",
        _passed(Step.HOST_KEY, _host_key),
    ),
    Check(
        "login",
        "the login is accepted",
        "a key that the node accepts for this user",
        "missing when there is no usable key or the node refuses it",
        "look at ansible_user and ansible_ssh_private_key_file, and at authorized_keys on the node",
        _passed(Step.LOGIN, _login),
    ),
    Check(
        "root",
        "the login is or becomes root",
        "a login as root, or sudo or doas that ask nothing",
        "missing when the node program ran as another user, or sudo or doas refused",
        "set ansible_become: true and allow it in sudoers with NOPASSWD, or log in as root",
        _passed(Step.ROOT, _root),
    ),
    Check(
        "python",
        "there is a Python",
        "Python 3.6 or newer (platform-python too); nothing is installed into it",
        "missing when no interpreter was found; its version otherwise",
        "install python3 on the node, or name an interpreter with ansible_python_interpreter",
        _passed(Step.PYTHON, _python),
    ),
    Check(
        "answer",
        "the answer comes whole, and soon",
        "one exec whose output arrives with its end frame",
        f"missing when it is cut or does not come; degraded when it takes more than {SLOW_ANSWER_S:g} s",
        "try `ssh NODE true` by hand; look at the login shell's start-up files and at the node's load",
        _passed(Step.ANSWER, _answer),
    ),
)
