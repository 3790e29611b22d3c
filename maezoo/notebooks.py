"""What notebooks show: small tables, bars that leave nothing, and tracebacks of the user's own lines."""

import copy
import functools
import importlib
import os
import sys
import sysconfig
import warnings
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path
from types import TracebackType

__all__ = ["html_table", "import_tqdm_quietly", "in_notebook", "short_traceback"]

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
    cells = [["" if cell is None else escape(str(cell)) for cell in row] for row in rows]
    if columns:
        used = [number for number in range(len(columns)) if any(row[number] for row in cells)]  # no empty column
        sides = [_RIGHT if columns[number].startswith(">") else _LEFT for number in used]
        names = [escape(columns[number].removeprefix(">")) for number in used]
        head = f"<thead><tr>{_line('th', names, sides)}</tr></thead>"
        lines = [_line("td", [row[number] for number in used], sides) for row in cells]
    else:
        head = ""
        lines = [_line("th", row[:1], [_LEFT]) + _line("td", row[1:], [_LEFT] * (len(row) - 1)) for row in cells]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    table = f"<table>{head}<tbody>{body}</tbody></table>" if cells else ""
    over = f"<div><b>{escape(title)}</b></div>" if title else ""
    under = f"<div>{escape(below)}</div>" if below else ""
    return f"<div>{over}{table}{under}</div>"


def _line(tag: str, cells: Sequence[str], sides: Sequence[str]) -> str:
    """Write cells of a row."""
    return "".join(f"<{tag}{side}>{cell}</{tag}>" for cell, side in zip(cells, sides, strict=True))


def in_notebook() -> bool:
    """Whether the code runs in the kernel of a notebook. IPython is not imported for it."""
    get_shell = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = None if get_shell is None else get_shell()
    return shell is not None and "IPKernelApp" in shell.config


def import_tqdm_quietly() -> None:
    """Import `tqdm.auto` in a notebook, without its warning that widgets are missing.

    timm and huggingface_hub import it anyway. Without widgets its bars are text, and maezoo's bars need none.
    """
    if in_notebook():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module("tqdm.auto")


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
