"""How long skoopctl takes to say anything at all."""

from __future__ import annotations

from collections.abc import Iterator

from tests.bench.figure import Figure, at_most
from tests.bench.peer import ansible_version, find_ansible
from tests.bench.setting import Setting, python, skoopctl
from tests.bench.stopwatch import alternate, cpu, run, spread, wall

HELP_S = 0.150


def start_up(setting: Setting) -> Iterator[Figure]:
    """Measure ``skoopctl --help`` beside Python alone, and beside ``ansible --version``."""
    helped, bare = alternate(
        setting.rounds(11), lambda: run(skoopctl("--help")), lambda: run(python("-c", "pass"))
    )
    detail = {"skoopctl": spread(helped), "python": spread(bare)}
    yield Figure(
        "help", "skoopctl --help", wall(helped), "s", wall(bare), "python -c pass", at_most(HELP_S), detail
    )
    yield Figure("help.cpu", "its CPU", cpu(helped), "s", cpu(bare), "python -c pass")
    ansible = find_ansible()
    helped, peer = alternate(
        setting.rounds(5), lambda: run(skoopctl("--help")), lambda: ansible_version(setting, ansible)
    )
    detail = {"skoopctl": spread(helped), "ansible": spread(peer)}
    yield Figure(
        "help.peer", "skoopctl --help", wall(helped), "s", wall(peer), "ansible --version", detail=detail
    )
