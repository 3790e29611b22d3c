"""The application: its commands, its version, and how errors leave it."""

import logging
import os
import sys
from typing import Annotated

import typer

from maezoo.cli import engines, evaluate, extract, images, models, pictures, training, weights
from maezoo.cli.screen import errors
from maezoo.errors import MaezooError
from maezoo.version import __version__

__all__ = ["app", "main"]

app = typer.Typer(
    name="maezoo",
    help="Masked Autoencoder ViTs: verified weights, features and reconstructions.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for part in (models, images, pictures, extract, evaluate, engines, training, weights):
    part.add_commands(app)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"maezoo {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", callback=_print_version, is_eager=True)
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say what is being done.")] = False,
) -> None:
    """Masked Autoencoder ViTs: verified weights, features and reconstructions."""
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(name)s: %(message)s")


def main() -> None:
    """Run the command line: exit code 0 when all went well, 1 on an error, 2 on wrong usage, 130 on Ctrl-C."""
    try:
        app()
    except MaezooError as error:
        _leave(str(error))
    except (OSError, ValueError, FloatingPointError) as error:
        if os.environ.get("MAEZOO_TRACEBACK"):
            raise
        _leave(f"{error} (set MAEZOO_TRACEBACK=1 to see where)")
    except KeyboardInterrupt:
        errors.print("stopped", style="yellow")
        sys.exit(130)


def _leave(message: str) -> None:
    """Print an error as one line and end with code 1."""
    errors.print(f"maezoo: {message}", style="red", markup=False, highlight=False, soft_wrap=True)
    sys.exit(1)
