"""`maezoo …`: the command line. Each command imports what it needs when it runs, so that `--help` comes at once."""

from typing import TYPE_CHECKING

from maezoo._lazy import lazy_names
from maezoo.cli.exits import run_and_exit as main

if TYPE_CHECKING:
    from maezoo.cli.commands import app

__all__ = ["app", "main"]

__getattr__, __dir__ = lazy_names(__name__, {"app": "maezoo.cli.commands"})
