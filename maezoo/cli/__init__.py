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
    except KeyboardInterrupt:  # so early that nothing else is there to say it
        print("stopped", file=sys.stderr)
        sys.exit(130)
    run_and_exit()


__getattr__, __dir__, _ = lazy_loader.attach(__name__, submod_attrs={"commands": ["app"]})
