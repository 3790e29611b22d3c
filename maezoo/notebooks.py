"""What notebooks show: small tables, bars that leave nothing, and tracebacks of the user's own lines."""

import copy
import functools
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path
from types import TracebackType

__all__ = ["html_table", "in_notebook", "short_traceback"]

_LEFT, _RIGHT = ' style="text-align:left;vertical-align:top"', ' style="text-align:right;vertical-align:top"'


def html_table(
    rows: Iterable[Sequence[object]], *, columns: Sequence[str] = (), title: str = "", below: str = ""
) -> str:
    """Write a table as HTML, in the colours of the page that shows it.

    Args:
        rows: cells, which are escaped.
        columns: their names; one that starts with ">" is aligned right. None: the first cell of each row is its name.
        title: over the table.
        below: under it.

    Example:
        >>> html_table([("loss", "<0.1>")]).count("&lt;0.1&gt;")
        1
    """
    sides = [_RIGHT if column.startswith(">") else _LEFT for column in columns]
    names = "".join(
        f"<th{side}>{escape(name.removeprefix('>'))}</th>" for name, side in zip(columns, sides, strict=True)
    )
    head = f"<thead><tr>{names}</tr></thead>" if columns else ""
    body = "".join(f"<tr>{_cells(row, sides)}</tr>" for row in rows)
    over = f"<div><b>{escape(title)}</b></div>" if title else ""
    under = f"<div>{escape(below)}</div>" if below else ""
    return f"<div>{over}<table>{head}<tbody>{body}</tbody></table>{under}</div>"


def _cells(row: Sequence[object], sides: Sequence[str]) -> str:
    """Write the cells of a row."""
    texts = [escape("" if cell is None else str(cell)) for cell in row]
    if sides:
        return "".join(f"<td{side}>{text}</td>" for text, side in zip(texts, sides, strict=True))
    return f"<th{_LEFT}>{texts[0]}</th>" + "".join(f"<td{_LEFT}>{text}</td>" for text in texts[1:])


def in_notebook() -> bool:
    """Whether the code runs in the kernel of a notebook. IPython is not imported for it."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return shell is not None and "IPKernelApp" in shell.config


def short_traceback(error: BaseException) -> list[str]:
    """Write an error as IPython does, with the user's own lines alone.

    Frames of installed packages are left out, and so is the error that led to this one: the message has its reason.
    `MAEZOO_TRACEBACK=1` keeps all of them.
    """
    formatted = sys.modules["IPython"].get_ipython().InteractiveTB.structured_traceback
    frames = list(_walk(error.__traceback__))
    own = [frame for frame in frames if not _is_library(frame)]
    if not own or os.environ.get("MAEZOO_TRACEBACK"):
        everything: list[str] = formatted(type(error), error, error.__traceback__, tb_offset=1)
        return everything
    shown: TracebackType | None = None
    for frame in reversed(own):
        shown = TracebackType(shown, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)
    *lines, message = formatted(type(error), copy.copy(error), shown, tb_offset=0)  # a copy has no cause
    return [*lines, "(frames of installed packages are left out; MAEZOO_TRACEBACK=1 shows them)", message]


def _walk(traceback: TracebackType | None) -> Iterator[TracebackType]:
    """Yield the frames of a traceback, outermost first."""
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next


def _is_library(frame: TracebackType) -> bool:
    """Whether a frame is of maezoo, of another installed package, or of Python itself."""
    name = frame.tb_frame.f_code.co_filename
    return name.startswith("<frozen") or os.path.normcase(os.path.realpath(name)).startswith(_library_folders())


@functools.cache
def _library_folders() -> tuple[str, ...]:
    """Return the folders of maezoo, of installed packages and of Python itself."""
    paths = sysconfig.get_paths()
    folders = (str(Path(__file__).parent), *(paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")))
    return tuple(os.path.normcase(os.path.realpath(folder)) + os.sep for folder in folders)
