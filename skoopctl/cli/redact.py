"""``skoopctl redact``: a bundle for others to read, with other names and addresses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from skoopctl.errors import EvidenceError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from skoopctl.evidence.bundle import Bundle
    from skoopctl.evidence.redaction import Redaction, RedactionMap

_SHOWN = 8


@click.command(epilog="Example: skoopctl redact cluster.skoop -o public.skoop")
@click.argument("bundle", metavar="A")
@click.option("-o", "--output", required=True, metavar="B", help="The redacted bundle.")
@click.option(
    "--map", "known", metavar="FILE", help="Replace as an earlier redaction did, whose map this is."
)
@click.option("--no-map", is_flag=True, help="Write no map: nobody can tell then what stands for what.")
@click.option("--keep-names", is_flag=True, help="Replace addresses, ids and keys only.")
@click.option(
    "--seed",
    metavar="TEXT",
    help="Make the key from this, for the same result again; whoever guesses it can undo it.",
)
def redact(
    *, bundle: str, output: str, known: str | None, no_map: bool, keep_names: bool, seed: str | None
) -> int:
    """Write a bundle with other names and addresses, in which a diagnosis comes to the same end.

    The map, B.map.json, is as secret as the original. What is in B was looked through for every original before it
    was written. Exit status: 0 written, 2 usage, or something was left that should have been replaced.
    """
    from skoopctl.evidence import read_bundle, write_bundle
    from skoopctl.evidence.redaction import redact as redact_bundle
    from skoopctl.evidence.redaction import write_map

    target, map_file = _checked(bundle, output, no_map)
    chosen = _map(known, keep_names, seed)
    done = redact_bundle(read_bundle(bundle), chosen)
    _refuse_leaks(done.bundle, done.map.replacements)
    if map_file is not None:
        write_map(map_file, done.map)
    try:
        write_bundle(target, done.bundle)
    except EvidenceError:
        if map_file is not None:
            map_file.unlink(missing_ok=True)
        raise
    _say(done, map_file)
    click.echo(str(target))
    return 0


def _checked(bundle: str, output: str, no_map: bool) -> tuple[Path, Path | None]:
    """Refuse, before anything is read, files that cannot or should not be written."""
    target = Path(output)
    if target.exists() and Path(bundle).exists() and target.samefile(bundle):
        raise UsageError(
            f"-o {output}: is the original", hint="name another file; the original stays as it is"
        )
    if target.is_dir() or not target.absolute().parent.is_dir():
        raise UsageError(
            f"-o {output}: is no file that can be written", hint="name a file in a folder that exists"
        )
    map_file = None if no_map else target.with_name(f"{target.name}.map.json")
    if map_file is not None and map_file.exists():
        raise UsageError(f"{map_file}: a map is there already", hint="move it away, or use it: --map FILE")
    return target, map_file


def _map(known: str | None, keep_names: bool, seed: str | None) -> RedactionMap:
    from skoopctl.evidence.redaction import new_map, read_map

    if known is None:
        return new_map(seed=seed, keep_names=keep_names)
    if seed is not None or keep_names:
        raise UsageError(
            "--map has a key and knows whether names stay", hint="leave --seed and --keep-names out"
        )
    return read_map(known)


def _refuse_leaks(bundle: Bundle, replacements: Mapping[str, Mapping[str, str]]) -> None:
    from skoopctl.evidence.redaction import find_leaks

    leaks = find_leaks(bundle, replacements)
    if leaks:
        shown = ", ".join(f"{leak.original!r} in {leak.member}" for leak in leaks[:_SHOWN])
        more = f" and {len(leaks) - _SHOWN} more" if len(leaks) > _SHOWN else ""
        raise EvidenceError(
            f"nothing was written: the redacted bundle would still hold {shown}{more}",
            hint="please report this, without the names",
        )


def _say(done: Redaction, map_file: Path | None) -> None:
    """Tell people what is not in the bundle, and what the map is."""
    for host, item, why in done.left_out:
        click.echo(f"skoopctl: left out: {' '.join(filter(None, (host, item)))}: {why}", err=True)
    counts = {section: len(pairs) for section, pairs in done.map.replacements.items()}
    replaced = ", ".join(f"{number:,} {section}" for section, number in counts.items() if number)
    click.echo(f"skoopctl: replaced {replaced or 'nothing'}", err=True)
    if map_file is not None:
        click.echo(f"skoopctl: {map_file} undoes this: keep it as you keep the original", err=True)
