"""The flags that say how a report looks, the same for every command that writes one."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from skoopctl.cli.options import with_options
from skoopctl.errors import UsageError

if TYPE_CHECKING:
    from skoopctl.report.incident import About
    from skoopctl.report.messages import Messages
    from skoopctl.report.rendering import Look

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class ReportFlags:
    """How a report is to look, and what people say about it."""

    file: str | None = None
    """What ``--report`` names, of commands that do something else besides."""
    lang: str = "en"
    template: str | None = None
    title: str = ""
    asked_by: str = ""

    @property
    def words(self) -> Messages:
        """The tables of the language."""
        from skoopctl.report.messages import messages

        return messages(self.lang)

    @property
    def about(self) -> About:
        """What is said about the report."""
        from skoopctl.report.incident import About

        return About(self.title, self.asked_by)

    @property
    def look(self) -> Look:
        """The look, checked."""
        from skoopctl.report.rendering import Look

        look = Look(Path(self.template).absolute() if self.template is not None else None)
        look.check()
        return look

    def target(self) -> Target | None:
        """Return where ``--report`` goes, if anywhere. Raises `UsageError` when that cannot be."""
        if self.file is None:
            return None
        from skoopctl.report.form import form_of

        target = Target(Path(self.file), form_of("--report", self.file), self.look)
        if not target.file.absolute().parent.is_dir():
            raise UsageError(
                f"--report {self.file}: there is no folder {target.file.parent}", hint="make it first"
            )
        if target.form == "pdf":
            from skoopctl.report.pdf import check_pdf

            check_pdf()
        if target.file.is_dir():
            raise UsageError(f"--report {self.file}: is a folder", hint="name a file")
        return target


@dataclass(frozen=True, slots=True)
class Target:
    """A report that will be written: it was found to be possible before anything is collected."""

    file: Path
    form: str
    look: Look

    def write(self, context: Mapping[str, Any]) -> None:
        """Write the report: the file is the old one or the whole new one."""
        from skoopctl.report.form import render

        write_whole(self.file, render(context, self.form, self.look))
        click.echo(f"report: {self.file}", err=True)


def write_whole(file: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        temporary.replace(file)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UsageError(f"{file}: the report cannot be written: {error.strerror}") from None


_FILE = click.option(
    "--report",
    metavar="FILE",
    help="Also write a report, in the form of the name's ending: html, pdf, md, json.",
)


def lang_option(of_what: str) -> Callable[[F], F]:
    """Return ``--lang``, the same for every command that writes or shows something in a language."""
    return click.option(
        "--lang",
        type=click.Choice(["en", "zh"]),
        default="en",
        show_default=True,
        help=f"{of_what} language.",
    )


_LOOK = (
    click.option("--template", metavar="DIR", help="A folder with templates in place of the report's own."),
    click.option("--title", default="", metavar="TEXT", help="The report's title."),
    click.option("--asked-by", default="", metavar="TEXT", help="Who asked, for the report."),
)


def report_options(*, to_file: bool = False, of_what: str = "The report's") -> Callable[[F], F]:
    """Give a command the flags, with ``to_file`` ``--report`` too; it gets them as ``look``, a `ReportFlags`.

    ``of_what`` says in the help whose language ``--lang`` is.
    """
    look = (lang_option(of_what), *_LOOK)
    options = (_FILE, *look) if to_file else look

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def with_look(
            *,
            lang: str,
            template: str | None,
            title: str,
            asked_by: str,
            report: str | None = None,
            **words: Any,
        ) -> Any:
            return function(look=ReportFlags(report, lang, template, title, asked_by), **words)

        return with_options(with_look, options)  # type: ignore[no-any-return]

    return decorate
