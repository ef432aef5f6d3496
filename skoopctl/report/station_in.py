"""Stations of a packet's way in any language: hooks and devices are called the same in all of them."""

from __future__ import annotations

from skoopctl.report.messages import Messages
from skoopctl.report.stations import Station


def station_in(station: Station, words: Messages) -> str:
    """Return a station's name: a hook or a device is called the same everywhere."""
    step = station.steps[0]
    if station.name in {step.hook, step.device}:
        return station.name
    return words.word("station", station.name)


def unknown_in(station: Station, words: Messages) -> str:
    """Return why something here could not be decided, or nothing: `Station.unknown` in any language."""
    return "; ".join(map(words.sentence, station.unknown.split("; ")))


def namespace_in(namespace: str, words: Messages) -> str:
    """Return what to write above a namespace's box."""
    if namespace == "host":
        return words.text("picture.host")
    return words.text("picture.pod", name=namespace)
