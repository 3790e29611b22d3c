"""Commands that several processes run together: one of them reports errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from maezoo.cli.exits import ERRORS, code_of

if TYPE_CHECKING:
    from maezoo.training.processes.processes import Processes

__all__ = ["one_speaks"]


@contextmanager
def one_speaks(processes: "Processes") -> Iterator[None]:
    """Let the first process that fails report the error; the others, which fail as well, end in silence."""
    try:
        yield
    except (KeyboardInterrupt, typer.Exit):
        processes.claim()
        raise
    except ERRORS as error:
        if not processes.claim():
            raise typer.Exit(code_of(error)) from error
        raise
