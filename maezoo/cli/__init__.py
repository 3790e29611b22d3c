"""`maezoo …`: the command line. Each command imports what it needs when it runs, so that `--help` comes at once."""

from maezoo.cli.app import app, main

__all__ = ["app", "main"]
