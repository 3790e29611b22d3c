"""Arguments and options that several commands share, each written once."""

from pathlib import Path
from typing import Annotated, Any

import typer

from maezoo.paths import user_path
from maezoo.vocabulary import Pool, Strategy

__all__ = [
    "DEFAULT_MODEL",
    "BatchSize",
    "CacheDir",
    "Device",
    "Images",
    "Json",
    "Masking",
    "Model",
    "Pooling",
    "Windowing",
    "output_option",
]

DEFAULT_MODEL = "mae_vit_tiny"
_PATH: dict[str, Any] = {"parser": user_path, "metavar": "PATH"}  # "~" is the home folder, also after "--output="

Images = Annotated[list[Path], typer.Argument(help="Image files.", show_default=False, parser=user_path)]
Model = Annotated[str, typer.Option("--model", "-m", help="Architecture or weights; see `maezoo list`.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, mps, …")]
Pooling = Annotated[
    Pool | None, typer.Option("--pool", help="How tokens become one vector. [the weights' own]", show_default=False)
]
Masking = Annotated[Strategy, typer.Option("--strategy", help="How the hidden patches are chosen.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Images at a time.")]
Windowing = Annotated[
    Any,
    typer.Option(
        "--window",
        parser=lambda text: _window(text),
        metavar="full|auto|percentiles|LOW,HIGH",
        help="Values shown black and white, of pictures of more than 8 bits. [full]",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
CacheDir = Annotated[Path | None, typer.Option(help="Where downloads are kept. [HF_HUB_CACHE]", show_default=False)]


def output_option(help: str) -> Any:
    """Return the option `-o` of a command; `help` says what is written."""
    return typer.Option("-o", "--output", help=help, **_PATH)


def _window(text: str) -> Any:
    """Read a window."""
    from maezoo.images.preprocessing import parse_window

    try:
        return parse_window(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
