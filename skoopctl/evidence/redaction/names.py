"""Which words stand for which names: of nodes, pods, namespaces, services, labels, chains, sets, devices.

A letter stands for a letter and a digit for a digit, chosen by a keyed function of what stands before it. So a
name keeps its length and stays a valid name, two names that begin alike go on beginning alike (``web-7f9c-x2`` and
``web-7f9c-k4``; ``acme+`` still matches ``acme0``), and distinct names stay distinct, without a table.
What software gives the same name everywhere stays: it tells nothing about anybody.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from skoopctl.evidence.redaction.vocabulary import BEGINNINGS, DEVICES, VOCABULARY, WELL_KNOWN

_ALPHABETS = ("abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789")
_PLACE = {char: (alphabet, at) for alphabet in _ALPHABETS for at, char in enumerate(alphabet)}
_UNITS = {26: (1, 3, 5, 7, 9, 11, 15, 17, 19, 21, 23, 25), 10: (1, 3, 7, 9)}
"""The factors by which a place of an alphabet may be multiplied and stay unique."""
_NUMBER = re.compile(r"[0-9]*(?:[,:/%-][0-9]+)*(?:\.[0-9]+)?|0x[0-9a-fA-F]+(?:/0x[0-9a-fA-F]+)?")
_DEVICE = re.compile(DEVICES)
_BEGINNING = re.compile("|".join(re.escape(each) for each in BEGINNINGS))
_HEX_ID = re.compile(r"[0-9a-f]{12}|[0-9a-f]{32}|[0-9a-f]{64}")
_WALK = 64
"""How often a replacement that is taken, or that would mean something, is replaced in its turn."""
_UUID = re.compile(r"[0-9a-f]{8}([-_])[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{12}")


def beginning(text: str) -> str:
    """Return the known beginning of a word, the longest, or ''."""
    found = _BEGINNING.match(text)
    return found[0] if found else ""


@dataclass(slots=True)
class NameMap:
    """The words of one key. ``seen`` is what was replaced by what; with ``keep``, nothing is."""

    key: bytes
    keep: bool = False
    seen: dict[str, str] = field(default_factory=dict)
    _taken: dict[str, str] = field(default_factory=dict)
    _steps: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)

    def name(self, text: str) -> str:
        """Return what stands for an object's or a host's name."""
        if self.keep or not text or text in WELL_KNOWN:
            return text
        known = self.seen.get(text)
        if known is None:
            known = self._replaced(text)
            if known != text:
                self.seen[text] = known
        return known

    def learn(self, known: Mapping[str, str]) -> None:
        """Take over what an earlier map replaced by what."""
        self.seen.update(known)
        self._taken.update({new: old for old, new in known.items()})

    def word(self, text: str) -> str:
        """Return what stands for a word that may be a name, or one of the words that everybody uses."""
        if text in VOCABULARY or _NUMBER.fullmatch(text) or _DEVICE.fullmatch(text):
            return text
        return self.name(text)

    def identifier(self, text: str) -> str:
        """Return what stands for a UID or a container's id: of the same form, and whatever ``keep`` says."""
        known = self.seen.get(text)
        if known is None:
            digest = hashlib.blake2b(text.replace("_", "-").encode(), key=self.key).hexdigest()
            known = self.seen[text] = self._formed(text, digest)
        return known

    @staticmethod
    def _formed(text: str, digest: str) -> str:
        """Write digits of a digest in the form of ``text``: dashes stay where they are."""
        digits = iter(digest)
        return "".join(char if char in "-_" else next(digits) for char in text)

    def _replaced(self, text: str) -> str:
        if _UUID.fullmatch(text) or _HEX_ID.fullmatch(text):
            return self.identifier(text)
        begin = beginning(text)
        rest = text[len(begin) :]
        if begin and rest:
            # What follows may be a name of its own: the node of a static pod, the device of a chain.
            return begin + self.name(rest)
        if begin:
            return text
        # A replacement that happens to be a word with a meaning is replaced again: walking on along the cycle of a
        # permutation keeps distinct names distinct. Where a short word's cycle is used up, it gets longer.
        found = self._permuted(text)
        for step in range(2 * _WALK):
            if not self._meaningful(found) and self._taken.get(found, text) == text:
                break
            found = self._permuted(found) if step < _WALK else f"{self._permuted(text)}{step}"
        self._taken[found] = text
        return found

    @staticmethod
    def _meaningful(text: str) -> bool:
        known = text in VOCABULARY or text in WELL_KNOWN or bool(_DEVICE.fullmatch(text))
        return known or bool(_BEGINNING.match(text))

    def _permuted(self, text: str) -> str:
        return "".join(self._letter(text[:at], char) for at, char in enumerate(text))

    def _letter(self, before: str, char: str) -> str:
        place = _PLACE.get(char)
        if place is None:
            # Beyond ASCII, any letter may stand for any: distinct ones stay distinct often enough for a comment.
            return char if char.isascii() or not char.isalnum() else "x"
        alphabet, at = place
        size = len(alphabet)
        factor, offset = self._step(before, size if alphabet != _ALPHABETS[1] else -size)
        return alphabet[(at * factor + offset) % size]

    def _step(self, before: str, alphabet: int) -> tuple[int, int]:
        node = before, alphabet
        known = self._steps.get(node)
        if known is None:
            data = f"{alphabet} {before}".encode("utf-8", "surrogatepass")
            digest = hashlib.blake2b(data, key=self.key, digest_size=8).digest()
            size = abs(alphabet)
            units = _UNITS[size]
            offset = int.from_bytes(digest[:4], "big") % size
            known = self._steps[node] = units[digest[4] % len(units)], offset
        return known
