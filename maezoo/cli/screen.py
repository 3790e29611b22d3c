"""What commands print with: results on standard output, all else on standard error.

Text from outside (names of files, models and labels) is printed as it is: markup and emoji codes in it are not read,
control characters are escaped, and no line is wrapped unless a terminal does it.
"""

import json
import logging
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from maezoo.files import errors_named

__all__ = [
    "command_line",
    "complain",
    "counted",
    "errors",
    "note",
    "note_to_repeat",
    "print_json",
    "printable",
    "say",
    "show_table",
    "warned_once",
]

Cell = str | Text

results = Console()
errors = Console(stderr=True)
_STDOUT = Path("standard output")  # as errors call it
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def say(line: str) -> None:
    """Print a line of results."""
    with errors_named(_STDOUT):
        results.print(Text(printable(line)), soft_wrap=True)


def note(line: str, style: str = "") -> None:
    """Print a line on standard error."""
    errors.print(Text(printable(line), style), soft_wrap=True)


def note_to_repeat(why: str) -> None:
    """Say why the command should be run again, and spell it, on standard error."""
    note(why, "yellow")
    note(command_line())


def command_line() -> str:
    """Return the command that is running, as it is typed."""
    return shlex.join(["maezoo", *sys.argv[1:]])


def complain(problem: object) -> None:
    """Print an error as one line on standard error."""
    note(f"maezoo: {problem}", "red")


@contextmanager
def warned_once() -> Iterator[None]:
    """Let a command that looks at images one by one warn of the first that uses little of its range, not of each."""
    log, seen = logging.getLogger("maezoo.images.window"), list[logging.LogRecord]()

    def first(record: logging.LogRecord) -> bool:
        seen.append(record)
        return len(seen) == 1

    log.addFilter(first)
    try:
        yield
    finally:
        log.removeFilter(first)


def print_json(data: Any) -> None:
    """Print data as JSON, for programs."""
    with errors_named(_STDOUT):
        print(json.dumps(data, indent=2, default=str))


def show_table(columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, title: str = "", below: str = "") -> None:
    """Print a table: in columns on a terminal; elsewhere each row as one line, its cells separated by tabs.

    Args:
        columns: their names; one that starts with ">" is aligned right. All empty: no line of names.
        rows: cells, one for each column.
        title: over the table, on a terminal.
        below: under it, on a terminal.
    """
    if not results.file.isatty():
        with errors_named(_STDOUT):
            for row in rows:
                print("\t".join(printable(str(cell)) for cell in row), file=results.file)
        return
    table = Table(title=title or None, title_justify="left", header_style="bold", box=None, pad_edge=False)
    table.show_header = any(columns)
    for column in columns:
        table.add_column(column.removeprefix(">"), justify="right" if column[:1] == ">" else "left", overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(printable(cell)) for cell in row))
    results.print(table)
    if below:
        results.print(Text(below, "dim"))


def printable(text: str) -> str:
    r"""Escape what would break a line or cannot be encoded: control characters, line separators, lone surrogates.

    Example:
        >>> print(printable("two\nlines\udcff, naïve [red]"))
        two\nlines\udcff, naïve [red]
    """
    return _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def counted(number: int, what: str) -> str:
    """Write a number of things.

    Example:
        >>> counted(1, "error"), counted(1200, "error")
        ('1 error', '1,200 errors')
    """
    return f"{number:,} {what}{'' if number == 1 else 's'}"
