"""The application: its commands by subject, its own options, and its help, which fits one screen."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from maezoo.cli import (
    eval_classify,
    evaluate,
    exporting,
    extract,
    finetuning,
    images,
    models,
    pictures,
    retrieval,
    runs,
    training,
    weights,
)
from maezoo.cli.exits import StoppedError
from maezoo.version import __version__

__all__ = ["app"]

evaluate.commands.command("classify")(eval_classify.classify)

_COMMANDS: dict[str, dict[str, Any]] = {
    "Models": {"list": models.list_weights, "info": models.show_info, "optimize": models.optimize},
    "Images": {
        "reconstruct": images.reconstruct,
        "features": images.features,
        "sweep": pictures.sweep,
        "demo": pictures.demo,
    },
    "Extraction": {
        "extract": extract.extract,
        "search": retrieval.search,
        "dedup": retrieval.dedup,
        "eval": evaluate.commands,
    },
    "Export": {"export": exporting.export, "run": exporting.run},
    "Training": {
        "pretrain": training.pretrain,
        "finetune": finetuning.finetune,
        "classify": finetuning.classify,
        "runs": runs.commands,
    },
    "Weights": {
        "download": weights.download,
        "verify": weights.verify,
        "cache": weights.cache,
        "convert": weights.convert,
        "manifest": weights.manifest_commands,
    },
}


class _Commands(TyperGroup):
    """Commands that say so when Ctrl-C ended them, and a help text that fits one screen."""

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """Read the command line."""
        with _plain_errors():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was named."""
        with _plain_errors():
            return super().invoke(ctx)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write each command as a line, by subject, and the options together: all of it fits 80 x 30 characters."""
        rows = []
        for subject, commands in _COMMANDS.items():
            for number, name in enumerate(commands):
                help = self.commands[name].get_short_help_str(limit=50)
                rows.append((f"{'' if number else subject:<10}  {name}", help))
        shown = (option for option in self.get_params(ctx) if "completion" not in option.name)
        options = ("/".join(sorted(option.opts, key=len)) for option in shown)
        width = max(len(first) for first, _ in rows)
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_dl(rows)
            formatter.write_dl([("Options".ljust(width), ", ".join(options))])


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Let Ctrl-C through typer, and take from typer's messages what is not meant for users."""
    try:
        yield
    except KeyboardInterrupt:
        raise StoppedError from None
    except typer.BadParameter as error:
        error.message = error.message.removeprefix("Value error, ")  # pydantic's, which checks words for typer
        raise


app = typer.Typer(
    name="maezoo",
    cls=_Commands,
    help="Masked autoencoders for images. `maezoo COMMAND -h` explains a command.",
    no_args_is_help=True,
    rich_markup_mode=None,  # else what stands in [brackets] is lost, and errors come in a box of 80 columns
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _commands in _COMMANDS.values():
    for _name, _command in _commands.items():
        if isinstance(_command, typer.Typer):
            app.add_typer(_command, name=_name)
        else:
            app.command(_name)(_command)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"maezoo {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what is being done.")] = False,
) -> None:
    """Set up logging for the command that follows."""
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(name)s: %(message)s")
