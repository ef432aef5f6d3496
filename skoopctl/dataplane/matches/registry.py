"""The table of match modules, and how a match becomes predicates."""

from __future__ import annotations

from collections.abc import Callable

from skoopctl.dataplane.scene import Scene
from skoopctl.dataplane.truth import Truth, Unknown, negate
from skoopctl.kernel.iptables import Match, Option

Predicate = Callable[[Scene], Truth]
OptionCompiler = Callable[[Option, Match], Predicate | None]

_OPTIONS: dict[tuple[str, str], OptionCompiler] = {}
_WHOLE: dict[str, Callable[[Match], Predicate]] = {}
_MODULES: set[str] = set()


class NotUnderstoodError(Exception):
    """A compiler met an argument that it cannot read; the match becomes unknown."""


def option(module: str, *names: str) -> Callable[[OptionCompiler], OptionCompiler]:
    """Register a compiler for options of a module (long names without dashes).

    The compiler returns a predicate without regard to ``!``, which is applied here, or None when the
    option only modifies another one.
    """

    def register(compiler: OptionCompiler) -> OptionCompiler:
        _MODULES.add(module)
        for name in names:
            _OPTIONS[module, name] = compiler
        return compiler

    return register


def whole(module: str) -> Callable[[Callable[[Match], Predicate]], Callable[[Match], Predicate]]:
    """Register a compiler for a module whose match decides something even without any option."""

    def register(compiler: Callable[[Match], Predicate]) -> Callable[[Match], Predicate]:
        _MODULES.add(module)
        _WHOLE[module] = compiler
        return compiler

    return register


def always_true(module: str) -> None:
    """Register a module that matches everything and only counts or comments."""
    _MODULES.add(module)


def known_modules() -> frozenset[str]:
    """Return the modules that the walk decides."""
    return frozenset(_MODULES)


def compile_match(match: Match) -> list[Predicate]:
    """Turn one match into predicates that must all hold."""
    if match.module not in _MODULES:
        return [_unknown(f"match -m {match.module} is not modelled")]
    if match.module in _WHOLE:
        return [_WHOLE[match.module](match)]
    predicates: list[Predicate] = []
    for opt in match.options:
        compiler = _OPTIONS.get((match.module, opt.name))
        if compiler is None:
            if any(module == match.module for module, _ in _OPTIONS):
                predicates.append(_unknown(f"option --{opt.name} of -m {match.module} is not modelled"))
            continue
        try:
            predicate = compiler(opt, match)
        except (NotUnderstoodError, ValueError, IndexError, KeyError):
            text = " ".join(opt.values)
            predicates.append(_unknown(f"-m {match.module} --{opt.name} {text} cannot be read"))
            continue
        if predicate is not None:
            predicates.append(_inverted(predicate) if opt.inverted else predicate)
    return predicates


def _inverted(predicate: Predicate) -> Predicate:
    return lambda scene: negate(predicate(scene), inverted=True)


def _unknown(reason: str) -> Predicate:
    truth = Unknown(reason)
    return lambda _scene: truth
