"""``skoopctl explain ID``: the documentation of a finding."""

from __future__ import annotations

import difflib
import json

import click

from skoopctl.checks.catalogue import DOCS, Doc
from skoopctl.errors import UsageError


def _complete(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Offer the ids that begin like what was typed."""
    return [name for name in DOCS if name.startswith(incomplete)]


@click.command(epilog="Example: skoopctl explain netfilter-drop")
@click.argument("finding", required=False, metavar="[ID]", shell_complete=_complete)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def explain(finding: str | None, as_json: bool) -> None:
    """Explain a finding by its id; without one, list them all."""
    if finding is None:
        docs = list(DOCS.values())
    elif finding in DOCS:
        docs = [DOCS[finding]]
    else:
        near = difflib.get_close_matches(finding, DOCS, 1)
        hint = f"did you mean {near[0]}?" if near else "'skoopctl explain' lists them all"
        raise UsageError(f"no finding has the id {finding!r}", hint=hint)
    if as_json:
        click.echo(json.dumps([_plain(doc) for doc in docs], indent=2))
    elif finding is None:
        for doc in docs:
            click.echo(f"{doc.id:24} {doc.title}")
    else:
        click.echo(_text(docs[0]))


def _plain(doc: Doc) -> dict[str, object]:
    return {
        "id": doc.id,
        "title": doc.title,
        "severity": doc.severity.word,
        "why": doc.why,
        "fix": doc.fix,
        "look": list(doc.look),
    }


def _text(doc: Doc) -> str:
    lines = [
        f"{doc.id} ({doc.severity.word})",
        f"  {doc.title}.",
        "",
        "Why",
        f"  {doc.why}",
        "",
        "Fix",
        f"  {doc.fix}",
    ]
    if doc.look:
        lines += ["", "Look (reads only)", *(f"  {command}" for command in doc.look)]
    return "\n".join(lines)
