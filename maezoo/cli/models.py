"""`maezoo list` and `info`, which read the manifest alone, and `maezoo optimize`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from maezoo.api.names import ENTRY_COLUMNS, entry_row
from maezoo.cli.options import DEFAULT_MODEL, Device, Json
from maezoo.cli.screen import errors, print_json, printable, say, show_table
from maezoo.errors import ArgumentError
from maezoo.manifest.entries import WeightsEntry, load_manifest
from maezoo.manifest.support import obstacles
from maezoo.model.variants import VARIANTS
from maezoo.vocabulary import Field

__all__ = ["list_weights", "optimize", "show_info"]

_TERMINAL = 6  # columns, so that eighty characters are enough


def list_weights(
    pattern: Annotated[str, typer.Argument(help="Shell-style pattern of names.")] = "*",
    field: Annotated[Field | None, typer.Option(help="What they were trained on.", show_default=False)] = None,
    license: Annotated[
        str | None,
        typer.Option(help="commercial, noncommercial, or a licence such as apache-2.0.", show_default=False),
    ] = None,
    as_json: Json = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")] = False,
) -> None:
    """List the weights and what each can do."""
    manifest = load_manifest()
    commercial = {"commercial": True, "noncommercial": False}.get(license or "")
    entries = manifest.select(pattern, field, commercial)
    if license is not None and commercial is None:
        entries = _licensed(entries, license)
    if as_json:
        print_json([_with_support(entry) for entry in entries])
        return
    if as_markdown:
        for line in _markdown(entries):
            say(line)
        return
    rows = []
    for entry in entries:
        name, *rest = entry_row(entry)[:_TERMINAL]
        default = manifest.defaults.get(entry.architecture) == entry.tag
        rows.append([Text(printable(name), "bold") if default else name, *rest])
    show_table(
        ENTRY_COLUMNS[:_TERMINAL],
        rows,
        below="Bold: the default of its architecture. not yet, *: see maezoo info NAME",
    )


def _licensed(entries: list[WeightsEntry], license: str) -> list[WeightsEntry]:
    """Return the entries with a licence, whatever the case of its letters."""
    known = sorted({entry.license for entry in load_manifest().entries.values()})
    if license.lower() not in map(str.lower, known):
        raise ArgumentError.for_choice("--license", license, ("commercial", "noncommercial", *known))
    return [entry for entry in entries if entry.license.lower() == license.lower()]


def _with_support(entry: WeightsEntry) -> dict[str, Any]:
    """Return an entry as plain data, with what keeps this version from loading it."""
    return {**entry.to_dict(), "obstacles": obstacles(entry)}


def _markdown(entries: list[WeightsEntry]) -> list[str]:
    """Return the table's lines as README and docs show it."""
    rules = ["---:" if column.startswith(">") else "---" for column in ENTRY_COLUMNS]
    lines = [tuple(column.removeprefix(">") for column in ENTRY_COLUMNS), tuple(rules), *map(entry_row, entries)]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def show_info(
    name: Annotated[str, typer.Argument(help="Weights, such as mae_vit_base.in1k_pixel, or an architecture.")],
    as_json: Json = False,
) -> None:
    """Show all that is known of some weights.

    Also shows the device and number format that `auto` means on this machine.
    """
    entry = load_manifest().find(name)
    variant = VARIANTS.get(entry.architecture)
    machine = _this_machine()
    if as_json:
        print_json({**_with_support(entry), "variant": variant and asdict(variant), "this_machine": machine})
        return
    found = obstacles(entry)
    status = ("loads", f"not yet: {'; '.join(found)}" if found else "yes")
    facts = [*entry.facts(), status, *((f"here: {key}", value) for key, value in machine.items())]
    show_table(("", ""), [(Text(printable(label), "bold"), value) for label, value in facts if value])


def optimize(
    model: Annotated[str, typer.Argument(help="Architecture or weights; see `maezoo list`.")] = DEFAULT_MODEL,
    engine: Annotated[str, typer.Option(help="auto, pytorch, or an engine by name.")] = "auto",
    precision: Annotated[
        str | None, typer.Option(help="float32, bfloat16, float16 or int8. [the weights' own]")
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(help="features, encode or reconstruct; may be repeated. [features]", show_default=False),
    ] = None,
    device: Device = "auto",
    cache_dir: Annotated[
        Path | None, typer.Option(help="Where the choice is kept. [HF_HOME/maezoo]", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Find the fastest engine for a model here. Times all that are installed, and remembers the choice."""
    from maezoo.cli.images import create_for_images

    mae = create_for_images(model, device)
    fast = mae.optimize(
        engine=engine,
        precision=precision,
        tasks=task or ["features"],
        cache_dir=cache_dir,
        progress=errors.is_terminal,
    )
    if as_json:
        print_json(fast.plan.to_dict())
        return
    for line in str(fast.plan).splitlines():
        say(line)


def _this_machine() -> dict[str, str]:
    """Say what "auto" stands for on this machine, and why."""
    from maezoo.hardware import choose_device, choose_dtype

    device = choose_device()
    choice = choose_dtype(device)
    return {"device": str(device), 'dtype="auto"': f"{str(choice.dtype).removeprefix('torch.')}: {choice.reason}"}
