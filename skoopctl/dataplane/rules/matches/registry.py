"""The table of match modules, and how a match becomes predicates."""

from __future__ import annotations

from collections.abc import Callable

from skoopctl.dataplane.rules.scene import Scene
from skoopctl.dataplane.truth import Truth, Unknown, negate
from skoopctl.kernel.iptables import Match, Option

Predicate = Callable[[Scene], Truth]
OptionCompiler = Callable[[Option, Match], Predicate | None]
WholeCompiler = Callable[[Match], Predicate]

_OPTIONS: dict[tuple[str, str], OptionCompiler] = {}
_WHOLE: dict[str, tuple[WholeCompiler, frozenset[str]]] = {}
_MODULES: set[str] = set()
_UNDECIDED: dict[str, Unknown] = {}


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


def whole(module: str, *names: str) -> Callable[[WholeCompiler], WholeCompiler]:
    """Register a compiler for a module whose options cannot be decided one by one.

    It applies ``!`` itself: some matches are false, inverted or not, where what they look at is missing.
    ``names`` are the options that it understands; another one makes the match unknown.
    """

    def register(compiler: WholeCompiler) -> WholeCompiler:
        _MODULES.add(module)
        _WHOLE[module] = (compiler, frozenset(names))
        return compiler

    return register


def always_true(module: str) -> None:
    """Register a module that matches everything and only counts or comments."""
    _MODULES.add(module)


def undecided(module: str, reason: str) -> None:
    """Register a module that a walk cannot decide by its nature, with the reason."""
    _UNDECIDED[module] = Unknown(f"-m {module}: {reason}")


def known_modules() -> frozenset[str]:
    """Return the modules that the walk decides."""
    return frozenset(_MODULES)


def undecided_modules() -> frozenset[str]:
    """Return the modules that are known to depend on what no dump shows."""
    return frozenset(_UNDECIDED)


def compile_match(match: Match) -> list[Predicate]:
    """Turn one match into predicates that must all hold."""
    if match.module in _UNDECIDED:
        truth = _UNDECIDED[match.module]
        return [lambda _scene: truth]
    if match.module not in _MODULES:
        return [_unknown(f"match -m {match.module} is not modelled")]
    if match.module in _WHOLE:
        return [_compile_whole(match)]
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
            predicates.append(_unreadable(match, opt))
            continue
        if predicate is not None:
            predicates.append(_inverted(predicate) if opt.inverted else predicate)
    return predicates


def _compile_whole(match: Match) -> Predicate:
    compiler, names = _WHOLE[match.module]
    for opt in match.options:
        if opt.name not in names:
            return _unknown(f"option --{opt.name} of -m {match.module} is not modelled")
    try:
        return compiler(match)
    except (NotUnderstoodError, ValueError, IndexError, KeyError):
        return _unreadable(match, *match.options)


def _unreadable(match: Match, *options: Option) -> Predicate:
    text = " ".join(f"--{opt.name} {' '.join(opt.values)}".rstrip() for opt in options)
    return _unknown(f"-m {match.module} {text} cannot be read")


def inverts(predicate: Predicate, inverted: bool) -> Predicate:
    """Apply ``!`` to a predicate where ``inverted``."""
    return _inverted(predicate) if inverted else predicate


def _inverted(predicate: Predicate) -> Predicate:
    return lambda scene: negate(predicate(scene), inverted=True)


def _unknown(reason: str) -> Predicate:
    truth = Unknown(reason)
    return lambda _scene: truth
