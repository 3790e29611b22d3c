"""`maezoo optimize`: which engine runs a model fastest here."""

from typing import Annotated

import typer

from maezoo.cli.images import DEFAULT_MODEL, Device, Json, create_for_images
from maezoo.cli.screen import errors, print_json, say

__all__ = ["add_commands"]


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(optimize)


def optimize(
    model: Annotated[str, typer.Argument(help="Architecture or weights; see `maezoo list`.")] = DEFAULT_MODEL,
    engine: Annotated[str, typer.Option(help="auto, pytorch, or an engine by name.")] = "auto",
    precision: Annotated[str | None, typer.Option(help="float32, bfloat16, float16 or int8.")] = None,
    task: Annotated[list[str] | None, typer.Option(help="features, encode or reconstruct; again for more.")] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Time the engines on this machine, remember the fastest, and say what was found."""
    mae = create_for_images(model, device)
    fast = mae.optimize(engine=engine, precision=precision, tasks=task or ["features"], progress=errors.is_terminal)
    if as_json:
        print_json(fast.plan.to_dict())
    else:
        for line in str(fast.plan).splitlines():
            say(line)
