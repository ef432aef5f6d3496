"""Read the output of ``iptables-save -c``, of both backends and both families.

The syntax is that of iptables-save(8): words are quoted with double quotes where they hold anything but
letters, digits, ``_`` and ``-``, and inside quotes a backslash stands before ``"``, ``'`` and itself
(libxtables/xtables.c: xtables_save_string).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from skoopctl.kernel.iptables import Backend, Chain, Match, Option, Rule, Table, Target
from skoopctl.kernel.iptables_options import (
    BUILTIN,
    BUILTIN_WITHOUT_ARGUMENT,
    IMPLIED_BY_PROTOCOL,
    MATCHES,
    TARGETS,
)

_COUNTERS = re.compile(r"\[(\d{1,20}):(\d{1,20})\] ?")
_CHAIN = re.compile(r":(\S+) (\S+)(?: \[\d+:\d+\])?\s*")
_INCOMPATIBLE = re.compile(r"# Table [`'\"](.+?)['\"`] is incompatible")
_FOREIGN = re.compile(r"# Table [`'\"](.+?)['\"`] contains incompatible base-chains")
_WORD = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"(?=\s|$)|(?!")(\S+))', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
# libxt_comment holds 256 bytes; a comment with line feeds is written with them, over several lines.
_LONGEST_QUOTED_LINES = 300
_JUMPS = frozenset({"-j", "--jump", "-g", "--goto"})
_SECTIONS = frozenset({"-m", "--match", *_JUMPS})


class _Quoted(str):
    """A word that stood in quotes: never an option, whatever it looks like."""

    __slots__ = ()


class _Unreadable(Exception):  # noqa: N818
    """The rule cannot be read further; the message says why."""


@dataclass(frozen=True, slots=True)
class IptablesDump:
    """Tables in the order of the dump, and what in it could not be read as belonging to one rule."""

    tables: tuple[Table, ...]
    problems: tuple[str, ...] = ()


def decode_iptables_save(text: str, *, family: int, backend: Backend) -> IptablesDump:
    """Decode a dump of one family (4 or 6).

    A rule that cannot be read to its end keeps what was read and gets a ``problem``; a line that cannot be
    told to belong to a rule sets the table's ``problem`` and is listed in the dump's. Never raises.
    """
    return _Reader(family, backend, text.split("\n")).read()


def split_words(line: str) -> list[str] | None:
    """Split a rule into words; None when a quoted word has no end."""
    if '"' not in line:
        return line.split()
    if "\\" not in line:
        words = _split_plain_quotes(line)
        if words is not None:
            return words
    words = []
    position = 0
    end = len(line.rstrip())
    while position < end:
        found = _WORD.match(line, position)
        if found is None:
            return None
        quoted, plain = found.groups()
        words.append(plain if quoted is None else _Quoted(_ESCAPE.sub(r"\1", quoted)))
        position = found.end()
    return words


def _split_plain_quotes(line: str) -> list[str] | None:
    """Split at quotes when each stands beside a space, which is nearly always so; None when not."""
    pieces = line.split('"')
    if not len(pieces) % 2:
        return None
    words: list[str] = pieces[0].split()
    for at in range(1, len(pieces), 2):
        before, after = pieces[at - 1], pieces[at + 1]
        if before[-1:] != " " or (after[:1] != " " and (after or at + 2 < len(pieces))):
            return None
        words.append(_Quoted(pieces[at]))
        words += after.split()
    return words


@dataclass(slots=True)
class _OpenTable:
    name: str
    policies: dict[str, str | None] = field(default_factory=dict)
    rules: dict[str, list[Rule]] = field(default_factory=dict)
    problem: str = ""

    def close(self, family: int, backend: Backend) -> Table:
        names = dict.fromkeys((*self.policies, *self.rules))
        chains = {n: Chain(n, self.policies.get(n), tuple(self.rules.get(n, ()))) for n in names}
        return Table(family, backend, self.name, chains, problem=self.problem)


class _Reader:
    """One pass over the lines. Equal options and matches are made once: kube-proxy repeats itself."""

    def __init__(self, family: int, backend: Backend, lines: Sequence[str]) -> None:
        self.family = family
        self.backend = backend
        self.lines = lines
        self.at = 0
        self.tables: list[Table] = []
        self.foreign: set[str] = set()
        self.problems: list[str] = []
        self.open: _OpenTable | None = None
        self.words = _WordReader()

    def read(self) -> IptablesDump:
        """Read all lines."""
        while self.at < len(self.lines):
            line = self.lines[self.at]
            self.at += 1
            first = line[:1]
            if first == "[" or line.startswith("-A "):
                self._rule(line)
            elif first == ":":
                self._chain(line)
            elif first == "*":
                self._end_table(f"{self._where()} a new table begins before COMMIT")
                self.open = _OpenTable(line[1:].strip())
            elif line.rstrip() == "COMMIT":
                self._commit()
            elif first == "#":
                self._comment(line)
            elif line.strip():
                self._stray(line)
        self._end_table("the dump ends before COMMIT: it was cut")
        tables = (replace(t, foreign_chains=True) if t.name in self.foreign else t for t in self.tables)
        return IptablesDump(tuple(tables), tuple(self.problems))

    def _where(self) -> str:
        return f"line {self.at}:"

    def _end_table(self, problem: str) -> None:
        if self.open is not None:
            self._note(problem)
            self._commit()

    def _commit(self) -> None:
        if self.open is None:
            self.problems.append(f"{self._where()} COMMIT outside a table")
            return
        self.tables.append(self.open.close(self.family, self.backend))
        self.open = None

    def _note(self, problem: str) -> None:
        if self.open is not None:
            problem = f"table {self.open.name}: {problem}"
            self.open.problem = self.open.problem or problem
        self.problems.append(problem)

    def _stray(self, line: str) -> None:
        self._note(f"{self._where()} not understood: {line[:120]!r}")

    def _comment(self, line: str) -> None:
        found = _INCOMPATIBLE.match(line)
        if found:
            self.tables.append(Table(self.family, self.backend, found[1], {}, incompatible=True))
        foreign = _FOREIGN.match(line)
        if foreign:
            self.foreign.add(foreign[1])

    def _chain(self, line: str) -> None:
        found = _CHAIN.fullmatch(line)
        if found is None or self.open is None:
            self._stray(line)
            return
        self.open.policies[found[1]] = None if found[2] == "-" else found[2]

    def _rule(self, line: str) -> None:
        counters = _COUNTERS.match(line)
        text = line[counters.end() :] if counters else line
        if not text.startswith("-A ") or self.open is None:
            self._stray(line)
            return
        words = split_words(text)
        if words is None:
            text, words = self._over_lines(text)
        packets, octets = (int(counters[1]), int(counters[2])) if counters else (None, None)
        chain = text[3:].split(None, 1)[0] if text[3:].strip() else ""
        if not chain:
            self._stray(line)
            return
        rules = self.open.rules.setdefault(chain, [])
        matches, target, problem = self.words.rule(words)
        if self.at == len(self.lines):
            problem = problem or "the dump ends in this line: it may be cut"
        rules.append(
            Rule(self.open.name, chain, len(rules) + 1, text, matches, target, packets, octets, problem)
        )

    def _over_lines(self, text: str) -> tuple[str, list[str]]:
        """Join a rule whose quoted word holds line feeds, when the next lines end it."""
        joined = text
        for line in self.lines[self.at : self.at + _LONGEST_QUOTED_LINES]:
            joined += "\n" + line
            if '"' not in line:
                continue
            words = split_words(joined)
            if words is None:
                break
            self.at += joined.count("\n") - text.count("\n")
            return joined, words
        return text, [*text.partition('"')[0].split(), _UNENDED]


_UNENDED = _Quoted("\0unended")


class _WordReader:
    """Turns the words of rules into matches and a target."""

    def __init__(self) -> None:
        self.options: dict[tuple[str, tuple[str, ...], bool], Option] = {}
        # Keyed by the identities of the options, which the first dictionary keeps alive: hashes are slow.
        self.matches: dict[tuple[object, ...], Match] = {}
        self.targets: dict[tuple[object, ...], Target] = {}

    def rule(self, words: list[str]) -> tuple[tuple[Match, ...], Target | None, str]:
        """Read ``-A CHAIN …``: matches, target, and why reading stopped early (empty: it did not)."""
        parts = _Parts()
        problem = ""
        try:
            self._read(words, parts)
        except _Unreadable as error:
            problem = str(error)
        matches = [self._match("", parts.builtin)] if parts.builtin else []
        target = None
        for kind, name, options in parts.sections:
            if kind == "-m":
                matches.append(self._match(name, options))
            else:
                target = self._target(name, options, kind == "-g")
        return tuple(matches), target, problem

    def _match(self, module: str, options: list[Option]) -> Match:
        key = (module, *map(id, options))
        made = self.matches.get(key)
        if made is None:
            made = self.matches[key] = Match(module, tuple(options))
        return made

    def _target(self, name: str, options: list[Option], goto: bool) -> Target:
        key = (name, goto, *map(id, options))
        made = self.targets.get(key)
        if made is None:
            made = self.targets[key] = Target(name, tuple(options), goto)
        return made

    def _option(self, name: str, values: tuple[str, ...], inverted: bool) -> Option:
        key = (name, values, inverted)
        made = self.options.get(key)
        if made is None:
            made = self.options[key] = Option(name, tuple(str(v) for v in values), inverted)
        return made

    def _read(self, words: list[str], parts: _Parts) -> None:
        at, end, inverted = 2, len(words), False
        while at < end:
            word = words[at]
            if type(word) is not str:
                raise _Unreadable("a quoted word has no end" if word is _UNENDED else f"stray word {word!r}")
            if word == "!":
                inverted = True
                at += 1
                continue
            if word in _SECTIONS:
                if at + 1 >= end or words[at + 1].startswith("-"):
                    raise _Unreadable(f"{word} without a name")
                parts.begin(word, str(words[at + 1]))
                at += 2
            elif word[0] != "-":
                raise _Unreadable(f"stray word {word!r}")
            else:
                at = self._read_option(words, at, inverted, parts)
            inverted = False
        if inverted:
            raise _Unreadable("'!' at the end")

    def _read_option(self, words: list[str], at: int, inverted: bool, parts: _Parts) -> int:
        word = words[at]
        known = parts.arities
        name = word[2:]
        if known is not None and word.startswith("--") and name in known:
            arity, into = known[name], parts.into
        elif word in BUILTIN:
            name = BUILTIN[word]
            arity, into = 0 if name in BUILTIN_WITHOUT_ARGUMENT else 1, parts.builtin
        elif word == "-c":
            return _after(words, at, 2)
        elif not word.startswith("--"):
            raise _Unreadable(f"unknown option {word}")
        else:
            into = parts.option_target(word)
            arity = (parts.arities or {}).get(name, -1)
            if arity < 0:
                arity = _count_values(words, at + 1)
        stop = _after(words, at, arity)
        into.append(self._option(name, tuple(words[at + 1 : stop]), inverted))
        return stop


class _Parts:
    """The sections of one rule while it is read: options go to the last ``-m`` or to the target."""

    __slots__ = ("arities", "builtin", "into", "sections")

    def __init__(self) -> None:
        self.builtin: list[Option] = []
        self.sections: list[tuple[str, str, list[Option]]] = []
        self.into: list[Option] = self.builtin
        self.arities: Mapping[str, int] | None = None

    def begin(self, word: str, name: str) -> None:
        """Open a match or the target."""
        jump = word in _JUMPS
        kind = ("-g" if word in {"-g", "--goto"} else "-j") if jump else "-m"
        if jump and any(k != "-m" for k, _, _ in self.sections):
            raise _Unreadable("two targets")
        self.into = []
        self.sections.append((kind, name, self.into))
        self.arities = (TARGETS if jump else MATCHES).get(name)

    def option_target(self, word: str) -> list[Option]:
        """Tell where an option goes that no open section knows; the protocol implies a module."""
        if self.sections:
            return self.into
        protocol = next((o for o in self.builtin if o.name == "protocol" and not o.inverted), None)
        module = IMPLIED_BY_PROTOCOL.get(protocol.values[0]) if protocol else None
        if module is None:
            raise _Unreadable(f"{word} belongs to no match")
        self.begin("-m", module)
        return self.into


def _after(words: list[str], at: int, arity: int) -> int:
    stop = at + 1 + arity
    if stop > len(words) or words[stop - 1] is _UNENDED:
        raise _Unreadable(f"{words[at]} lacks its argument")
    return stop


def _count_values(words: list[str], start: int) -> int:
    """Count the words up to the next option (iptables has no other way to tell where arguments end)."""
    at = start
    while at < len(words):
        word = words[at]
        if type(word) is str and (word.startswith("--") or word in _SECTIONS):
            break
        if word == "!" and at + 1 < len(words) and words[at + 1].startswith("-"):
            break
        at += 1
    return at - start
