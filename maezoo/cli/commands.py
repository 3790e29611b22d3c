"""The application: its commands, its options, and its version."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from maezoo.cli import engines, evaluate, extract, images, models, pictures, training, weights
from maezoo.cli.exits import StoppedError
from maezoo.version import __version__

__all__ = ["app"]


class _Commands(TyperGroup):
    """Commands that say so when Ctrl-C ended them."""

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """Read the command line."""
        with _stopping():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was named."""
        with _stopping():
            return super().invoke(ctx)


@contextmanager
def _stopping() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        raise StoppedError from None


app = typer.Typer(
    name="maezoo",
    cls=_Commands,
    help="Masked Autoencoder ViTs: verified weights, features and reconstructions.",
    no_args_is_help=True,
    rich_markup_mode=None,  # else what stands in [brackets] is lost, and errors come in a box of 80 columns
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
