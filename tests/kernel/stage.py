"""Builds a state in network namespaces, tool by tool, and says which lines the kernel refused."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import groupby

from tests.kernel import plan
from tests.kernel.namespaces import run, set_neighbours, write_sysctls
from tests.kernel.state import Line, State, Tool

Done = subprocess.CompletedProcess[str]
_IPTABLES = (Tool.IPTABLES_NFT, Tool.IPTABLES_LEGACY, Tool.IP6TABLES_NFT, Tool.IP6TABLES_LEGACY)
_BUILTIN = {
    "raw": ("PREROUTING", "OUTPUT"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "security": ("INPUT", "FORWARD", "OUTPUT"),
}
_BUILTIN_NAMES = {name for names in _BUILTIN.values() for name in names}
_TARGET = re.compile(r"(?:^| )-(?:j|g) (\S+)")
# A chain of our own has a name in small letters; targets are in capitals.
_OWN_CHAIN = re.compile(r"[a-z][\w:.~/-]*")
_BATCH_FAILED = re.compile(r"^Command failed -:(\d+)$", re.MULTILINE)


class BuildError(Exception):
    """The skeleton itself could not be built: the machine lacks something."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A line that the kernel or its tool did not take, and what it said."""

    line: Line
    said: str


def build(state: State) -> tuple[State, list[Refusal]]:
    """Build a state from nothing; return it without the lines that were refused, and those."""
    clear()
    for name in plan.NAMES:
        _must(["ip", "netns", "add", f"{plan.PREFIX}{name}"])
        settings = plan.BASE_SYSCTLS + (plan.NODE_SYSCTLS if name in {"a", "b"} else ())
        if refused := write_sysctls(name, list(settings)):
            raise BuildError(f"sysctls refused: {refused}")
    _must(["ip", "-batch", "-"], "\n".join(plan.wiring(state.shape)))
    skeleton = [
        *plan.skeleton(state.shape),
        *plan.skeleton_sysctls(state.shape),
        *plan.fdb_lines(state.shape),
    ]
    if broken := _apply(skeleton):
        raise BuildError(f"the skeleton was refused: {broken[0]}")
    for name in plan.NAMES:
        set_neighbours(name, plan.NEIGHBOUR_SYSCTLS)
    refusals = _apply(state.lines)
    lost = {refusal.line for refusal in refusals}
    return replace(state, lines=tuple(line for line in state.lines if line not in lost)), refusals


def add(lines: Iterable[Line]) -> list[Refusal]:
    """Carry out lines in the state that is built; return those that were refused."""
    return _apply(lines)


def clear() -> None:
    """Take every namespace away."""
    names = [f"netns del {plan.PREFIX}{name}" for name in plan.NAMES]
    subprocess.run(
        ["ip", "-force", "-batch", "-"], input="\n".join(names), text=True, capture_output=True, check=False
    )


def forget_neighbours() -> None:
    """Have every place forget the neighbours that it has met; those that were set by hand stay.

    A flow that asks for a neighbour is known to it from then on (net/core/neighbour.c: neigh_event_ns): another
    flow then finds an address for which it would get no answer of its own.
    """
    for name in plan.NAMES:
        run(name, ["ip", "neigh", "flush", "all"])


def _must(argv: list[str], stdin: str = "") -> None:
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError(f"{' '.join(argv)}: {done.stderr.strip()}")


def _apply(lines: Iterable[Line]) -> list[Refusal]:
    """Carry lines out; devices first, so that the others may name them."""
    groups: dict[tuple[int, str, Tool], list[Line]] = {}
    for line in lines:
        first = line.tool is Tool.IP and line.text.startswith(("link add", "link set lo"))
        rank = -1 if first else list(Tool).index(line.tool)
        groups.setdefault((rank, line.place, line.tool), []).append(line)
    refusals: list[Refusal] = []
    for (_, place, tool), group in sorted(groups.items(), key=lambda pair: pair[0][:2]):
        refusals += _CARRIERS[tool](place, tool, group)
    return refusals


def _sysctl(place: str, _tool: Tool, group: list[Line]) -> list[Refusal]:
    refused = set(write_sysctls(place, [line.text for line in group]))
    return [Refusal(line, "refused") for line in group if line.text in refused]


def _batch(place: str, tool: Tool, group: list[Line]) -> list[Refusal]:
    """Run ``ip`` or ``bridge`` once for all lines of a family, which is an option of the whole batch."""
    refusals: list[Refusal] = []
    for six, lines in groupby(group, lambda line: line.text.startswith("-6 ")):
        refusals += _batch_of(place, [tool.value, *(["-6"] if six else [])], list(lines))
    return refusals


def _batch_of(place: str, tool: list[str], group: list[Line]) -> list[Refusal]:
    """Run one batch; it goes on after an error and names its line."""
    text = "\n".join(line.text.removeprefix("-6 ") for line in group)
    argv = [*tool, "-force", "-batch", "-"]
    done = run(place, argv, text)
    numbers = [int(n) for n in _BATCH_FAILED.findall(done.stderr)]
    said = [line for line in done.stderr.splitlines() if not _BATCH_FAILED.match(line)]
    return [Refusal(group[n - 1], said[k] if k < len(said) else done.stderr) for k, n in enumerate(numbers)]


def _ipset(place: str, _tool: Tool, group: list[Line]) -> list[Refusal]:
    text = "\n".join(line.text for line in group) + "\n"
    if not run(place, ["ipset", "restore"], text).returncode:
        return []
    run(place, ["ipset", "destroy"])
    return _one_by_one(group, lambda line: run(place, ["ipset", "restore"], line.text + "\n"))


def _nft(place: str, _tool: Tool, group: list[Line]) -> list[Refusal]:
    text = "\n".join(line.text for line in group) + "\n"
    if not run(place, ["nft", "-f", "-"], text).returncode:
        return []
    return _one_by_one(group, lambda line: run(place, ["nft", "-f", "-"], line.text + "\n"))


def _iptables(place: str, tool: Tool, group: list[Line]) -> list[Refusal]:
    """Restore each table as a whole; if it is refused, add its rules one by one to find those at fault."""
    refusals: list[Refusal] = []
    tables: dict[str, list[Line]] = {}
    for line in group:
        tables.setdefault(line.text.partition(" ")[0], []).append(line)
    restore = [f"{tool.value}-restore", "-w"]
    for table, lines in tables.items():
        if not run(place, restore, _restore_text(table, lines)).returncode:
            continue
        run(place, restore, _restore_text(table, []))
        chains = "\n".join([f"*{table}", *_chains(lines), "COMMIT", ""])
        run(place, [*restore, "-n"], chains)
        refusals += _one_by_one(
            lines,
            lambda line, table=table: run(place, [tool.value, "-w", "-t", table, *_words(line)]),
        )
    return refusals


def _words(line: Line) -> list[str]:
    return shlex.split(line.text.partition(" ")[2])


def _chains(lines: list[Line]) -> list[str]:
    """Return the declarations of the user chains that the rules name."""
    names: dict[str, None] = {}
    for line in lines:
        words = line.text.split()
        for name in (words[2], *_TARGET.findall(line.text)):
            if name not in _BUILTIN_NAMES and _OWN_CHAIN.fullmatch(name):
                names[name] = None
    return [f":{name} - [0:0]" for name in names]


def _restore_text(table: str, lines: list[Line]) -> str:
    policies = {w[2]: w[3] for line in lines if (w := line.text.split())[1] == "-P"}
    builtin = [f":{name} {policies.get(name, 'ACCEPT')} [0:0]" for name in _BUILTIN[table]]
    rules = [line.text.partition(" ")[2] for line in lines if " -P " not in line.text[: len(table) + 4]]
    return "\n".join([f"*{table}", *builtin, *_chains(lines), *rules, "COMMIT", ""])


def _one_by_one(group: list[Line], carry: Callable[[Line], Done]) -> list[Refusal]:
    refusals = []
    for line in group:
        done = carry(line)
        if done.returncode:
            refusals.append(Refusal(line, done.stderr.strip().partition("\n")[0]))
    return refusals


_CARRIERS = {
    Tool.SYSCTL: _sysctl,
    Tool.IP: _batch,
    Tool.BRIDGE: _batch,
    Tool.IPSET: _ipset,
    Tool.NFT: _nft,
    **dict.fromkeys(_IPTABLES, _iptables),
}
