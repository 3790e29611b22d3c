"""`maezoo …`: the command line. Each command imports what it needs when it runs, so that `--help` comes at once."""

import sys
from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from maezoo.cli.commands import app

__all__ = ["app", "main"]


def main() -> None:
    """Run the command line and leave with its exit code; see `maezoo.cli.exits`."""
    try:
        from maezoo.cli.exits import run_and_exit
    except KeyboardInterrupt:  # before the code that reports it is imported
        print("stopped", file=sys.stderr)
        sys.exit(130)
    run_and_exit(_run)


def _run() -> int:
    """Run the command that was asked for, and return its exit code."""
    from maezoo.cli.commands import app

    try:
        app(prog_name="maezoo")
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    return 0


__getattr__, __dir__, _ = lazy_loader.attach(__name__, submod_attrs={"commands": ["app"]})
