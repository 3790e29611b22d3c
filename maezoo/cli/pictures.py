"""`maezoo sweep` and `maezoo demo`."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from maezoo.cli.options import DEFAULT_MODEL, Device, Images, Json, Windowing, output_option
from maezoo.cli.outputs import check_figure_name, check_no_input
from maezoo.cli.screen import errors, note, print_json, say, warned_once
from maezoo.files import written_whole
from maezoo.paths import user_path

if TYPE_CHECKING:
    from maezoo.figures.sweep import MaskRatioSweep

__all__ = ["demo", "sweep"]

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@warned_once()
def sweep(
    images: Images,
    output: Annotated[Path, output_option("The figure: .png, .pdf, .svg, …")] = Path("sweep.png"),
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            help=f"Architecture or weights; may be repeated, to compare models. [{DEFAULT_MODEL}]",
            show_default=False,
        ),
    ] = None,
    strategy: Annotated[
        list[str] | None,
        typer.Option(help="random, block, grid or cells; may be repeated. [the first three]", show_default=False),
    ] = None,
    ratio: Annotated[
        list[float] | None,
        typer.Option(min=0.01, max=1, help="Share of patches to hide; may be repeated. [0.1 … 0.95]"),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Masks drawn for each image and ratio.")] = 3,
    seed: Annotated[int, typer.Option(help="Seed of the first mask; the others follow.")] = 0,
    table: Annotated[
        Path | None,
        typer.Option(
            "--csv",
            metavar="PATH",
            parser=user_path,
            help="Write the error of each image under each mask to this file, too.",
            show_default=False,
        ),
    ] = None,
    width: Annotated[
        float | None,
        typer.Option(min=0.5, max=100, help="Width of the figure in inches. [by its contents]", show_default=False),
    ] = None,
    pictures: Annotated[
        bool | None, typer.Option(help="Show the first image at each ratio. [for one model]", show_default=False)
    ] = None,
    window: Windowing = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Plot the reconstruction error over mask ratios.

    Lines are means over images and masks, bands one standard deviation. Below the curves of one model the figure shows
    the first image at each ratio.
    """
    check_figure_name(output, "-o")
    check_no_input(output, images)
    if table is not None:
        check_no_input(table, [*images, output])
    from maezoo.cli.images import create_for_images
    from maezoo.figures.canvas import encode_figure
    from maezoo.figures.curves import plot_sweep
    from maezoo.figures.sweep import PAPERS, RATIOS, measure_sweep, write_rows

    models = [create_for_images(name, device, window=window) for name in dict.fromkeys(model or [DEFAULT_MODEL])]
    with written_whole(output) as temporary:  # opened first: a place that cannot be written is known at once
        measured = [
            measure_sweep(
                mae,
                images,
                ratios=sorted(set(ratio)) if ratio else RATIOS,
                strategies=strategy or PAPERS,  # type: ignore[arg-type]  # unknown words are refused there
                seeds=seeds,
                seed=seed,
                progress=errors.is_terminal,
            )
            for mae in models
        ]
        if table is not None:
            write_rows(measured, table)
        temporary.write_bytes(encode_figure(plot_sweep(measured, width=width, pictures=pictures), output.suffix))
    if as_json:
        print_json([_as_data(each, output, table) for each in measured])
        return
    for each in measured:
        for name, row in zip(each.strategies, each.error.tolist(), strict=True):
            numbers = "  ".join(f"{share:.0%} {error:.3f}" for share, error in zip(each.ratios, row, strict=True))
            say(f"{each.model + '  ' if len(measured) > 1 else ''}{name:<7} {numbers}")
    for path in filter(None, (table, output)):
        say(str(path))


def demo(
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port of the page. [first free from 7860]")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 is open to the network.")] = "127.0.0.1",
    model: Annotated[str, typer.Option("--model", "-m", help="Weights to start with.")] = DEFAULT_MODEL,
    window: Windowing = None,
    device: Device = "auto",
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
) -> None:
    """Try models on photos, on a page in the browser.

    Hide patches of a photo and see the reconstruction at once. Ctrl-C ends it.
    """
    import time
    import webbrowser

    from maezoo.api.factory import info
    from maezoo.demo import served

    with served(host=host, port=port, model=info(model).name, window=window or "full", device=device) as address:
        say(f"maezoo demo at {address}  (Ctrl-C ends it)")
        if host not in _LOOPBACK:
            note("Anyone who can reach this machine can use the page.", "yellow")
        if browser and _has_screen():
            webbrowser.open(address)
        while True:
            time.sleep(1)  # unlike an endless wait, this ends on Ctrl-C on Windows, too


def _has_screen() -> bool:
    """Say whether a browser would open a window instead of taking over the terminal."""
    unix = sys.platform not in ("win32", "darwin")
    return not unix or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _as_data(sweep: "MaskRatioSweep", output: Path, table: Path | None) -> dict[str, Any]:
    """Return what was measured as plain data."""
    return {
        "output": str(output),
        "csv": None if table is None else str(table),
        "model": sweep.model,
        "images": sweep.images,
        "ratios": list(sweep.ratios),
        "seeds": list(sweep.seeds),
        "unit": sweep.unit,
        "error": dict(zip(sweep.strategies, sweep.error.tolist(), strict=True)),
        "deviation": dict(zip(sweep.strategies, sweep.deviation.tolist(), strict=True)),
    }
