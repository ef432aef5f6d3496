"""``make record-vm``: play scenarios in the guest and keep their evidence and truth in tests/fixtures/vm.

``python -m tests.vm.record [NAME...]``: a name is a scenario's, or how several begin.
"""

from __future__ import annotations

import sys
import time

from tests.vm.guest import Guest, GuestError, running_guest
from tests.vm.image import image
from tests.vm.play import play, prepare
from tests.vm.scenario import SCENARIOS
from tests.vm.scenarios import load_all
from tests.vm.truth import Agreement, compare, save


def record(guest: Guest, names: list[str]) -> int:
    """Record these scenarios; return how many could not be played."""
    prepare(guest)
    broken = 0
    for name in names:
        started = time.monotonic()
        try:
            bundle, rows = play(guest, SCENARIOS[name])
        except GuestError as error:
            broken += 1
            sys.stderr.write(f"{name}: {error}\n")
            continue
        save(name, bundle, SCENARIOS[name].about, rows)
        sys.stdout.write(f"{name}: {time.monotonic() - started:.1f} s\n")
        for each in compare(bundle, rows):
            mark = "  " if each.agreement is Agreement.AGREES else "! "
            sys.stdout.write(f"  {mark}{each.agreement.value}: {each}\n")
    return broken


def main() -> None:
    """Record what the arguments name, or everything."""
    load_all()
    wanted = tuple(sys.argv[1:]) or ("",)
    names = [name for name in SCENARIOS if name.startswith(wanted)]
    with running_guest(image()) as guest:
        sys.exit(bool(record(guest, names)))


if __name__ == "__main__":
    main()
