"""Stations of a packet's way in any language: hooks and devices are called the same in all of them."""

from __future__ import annotations

from skoopctl.dataplane.trace import Step
from skoopctl.report.messages import Messages
from skoopctl.report.stations import Station
from skoopctl.report.words import ended


def station_in(station: Station, words: Messages) -> str:
    """Return a station's name: a hook or a device is called the same everywhere."""
    step = station.steps[0]
    if station.name in {step.hook, step.device}:
        return station.name
    return words.word("station", station.name)


def unknown_in(station: Station, words: Messages) -> str:
    """Return why something here could not be decided, or nothing: `Station.unknown` in any language."""
    return "; ".join(map(words.sentence, station.unknown.split("; ")))


def ended_in(step: Step, words: Messages) -> str:
    """Return how a way ended and why, as `words.ended` does in English."""
    if words.lang == "en":
        return ended(step)
    end = step.ends.value if step.ends else ""
    why = words.sentence(step.decision)
    if step.decision.upper().startswith(end):
        return why
    word = words.word("disposition", end)
    return words.text("picture.ended", end=word, why=why) if why else word


def namespace_in(namespace: str, words: Messages) -> str:
    """Return what to write above a namespace's box."""
    if namespace == "host":
        return words.text("picture.host")
    return words.text("picture.pod", name=namespace)
