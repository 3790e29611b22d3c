"""`maezoo export` and `maezoo run`: models as files for other runtimes. `run` needs torch for `.pt2` files alone."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from maezoo.cli.options import Images, Json, Pooling, output_option
from maezoo.cli.outputs import check_no_input
from maezoo.cli.screen import complain, errors, print_json, say
from maezoo.errors import ImageError, MissingExtraError
from maezoo.paths import user_path
from maezoo.vocabulary import ExportFormat, ExportInput, ExportPrecision, ExportTask

if TYPE_CHECKING:
    from maezoo.exporting import ExportedModel

__all__ = ["export", "run"]

_SHOWN = 4  # values of a vector on a terminal


def export(
    model: Annotated[str, typer.Argument(metavar="NAME", help="Architecture or weights; see `maezoo list`.")],
    output: Annotated[
        Path, typer.Argument(metavar="OUT", parser=user_path, help="The file: .onnx, .pt2 or .xml (OpenVINO).")
    ],
    format: Annotated[
        ExportFormat | None,
        typer.Option("--format", help="aotinductor is compiled for this machine. [by the suffix]", show_default=False),
    ] = None,
    task: Annotated[
        ExportTask, typer.Option(help="What is computed; the last two also take visible patches.")
    ] = "features",
    pool: Pooling = None,
    layer: Annotated[
        list[int] | None,
        typer.Option(help="Block whose maps are written; may be repeated. [-1, the last]", show_default=False),
    ] = None,
    precision: Annotated[
        ExportPrecision, typer.Option(help="int8 is for ONNX alone, bfloat16 for the others.")
    ] = "float32",
    batch: Annotated[str, typer.Option(metavar="N|dynamic", help="Images in a batch.")] = "dynamic",
    img_size: Annotated[
        str, typer.Option(metavar="HxW|dynamic", help="Height and width, multiples of the patch side.")
    ] = "dynamic",
    input: Annotated[ExportInput, typer.Option(help="What is fed: uint8 pixels, or normalised float32.")] = "pixels",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
    as_json: Json = False,
) -> None:
    """Write a model as ONNX, torch.export or OpenVINO.

    The file is checked on photographs against eager PyTorch. `maezoo run` runs it; preprocess.json next to it says how
    images are prepared.
    """
    count, size = _batch(batch), _size(img_size)
    from maezoo.cli.images import create_for_images
    from maezoo.exporting import export as write

    mae = create_for_images(model, "cpu", decoder=task == "reconstruct")
    report = write(
        mae,
        output,
        format=format,
        task=task,
        pool=pool,
        layers=tuple(layer or (-1,)),
        precision=precision,
        batch=count,
        img_size=size,
        input=input,
        overwrite=overwrite,
        progress=errors.is_terminal,
    )
    if as_json:
        print_json(report.to_dict())
        return
    for line in str(report).splitlines():
        say(line)


def run(
    file: Annotated[Path, typer.Argument(metavar="OUT", parser=user_path, help="What `maezoo export` wrote.")],
    images: Images,
    output: Annotated[
        Path | None, output_option("Write to this file: .npz, or for features also .npy, .safetensors or .csv. [print]")
    ] = None,
    mask_ratio: Annotated[
        float, typer.Option(min=0, max=1, help="Share of patches to hide, where the task is encode or reconstruct.")
    ] = 0.75,
    seed: Annotated[int, typer.Option(help="Seed of the mask.")] = 0,
    trust: Annotated[bool, typer.Option("--trust", help="Open a .pt2 file: it runs code that it holds.")] = False,
    as_json: Json = False,
) -> None:
    """Run an exported file on images.

    torch is not needed for ONNX and OpenVINO, but to draw the masks of encode and reconstruct.
    """
    import numpy as np

    from maezoo.cli.feature_files import check_suffix, feature_file
    from maezoo.exporting.runtimes import open_exported

    opened = open_exported(file, trust=trust)
    facts = opened.facts
    if output is not None:
        check_no_input(output, [file, *images])
        check_suffix(output)
        if facts.task != "features" and output.suffix.lower() != ".npz":
            raise typer.BadParameter(f"what {facts.task} gives is written as .npz, not {output}.", param_hint="-o")
    names: list[str] = []
    found: list[dict[str, Any]] = []
    for path in images:
        try:
            found.append(_outputs(opened, path, mask_ratio, seed))
        except ImageError as error:
            complain(error)
            continue
        names.append(str(path))
    if not found:
        raise ImageError(f"none of the {len(images)} images could be read.")
    joined = {key: np.concatenate([each[key] for each in found]) for key in found[0]}
    if output is None:
        _show(names, joined, as_json)
    elif facts.task == "features":
        about = {"model": facts.model, "pool": str(facts.pool), "window": str(facts.preprocess.window)}
        with feature_file(output, joined["features"].shape[1], about) as add:
            add(names, joined["features"])
    else:
        _write_arrays(output, names, joined)
    if output is not None:
        summary = {
            "output": str(output),
            "images": len(names),
            "failed": len(images) - len(names),
            "model": facts.model,
        }
        print_json(summary) if as_json else say(f"{output}  {len(names)} images, {facts.task} of {facts.model}")
    if len(names) < len(images):
        complain(f"{len(images) - len(names)} of {len(images)} images failed.")
        raise typer.Exit(1)


def _outputs(opened: "ExportedModel", path: Path, mask_ratio: float, seed: int) -> dict[str, Any]:
    """Run one image."""
    pixels = opened.prepare(path)
    if len(opened.facts.inputs) == 1:
        return opened(pixels)
    try:
        from maezoo.masks.draw import random_mask
        from maezoo.masks.visible import visible_indices
    except ImportError as error:
        command = "pip install torch"
        raise MissingExtraError(f"{opened.facts.task} draws its mask with torch: {command}", command=command) from error
    P = opened.facts.patch_size
    mask = random_mask(1, (pixels.shape[2] // P, pixels.shape[3] // P), mask_ratio, seed=seed)
    return opened(pixels, visible_indices(mask).numpy())


def _show(names: list[str], outputs: dict[str, Any], as_json: bool) -> None:
    """Print what was computed: all of it as JSON, else shapes and the first values."""
    if as_json:
        rows = zip(names, *(each.tolist() for each in outputs.values()), strict=True)
        print_json([dict(zip(("image", *outputs), row, strict=True)) for row in rows])
        return
    for number, name in enumerate(names):
        for key, values in outputs.items():
            shape = " x ".join(map(str, values[number].shape))
            first = " ".join(f"{value:.4f}" for value in values[number].reshape(-1)[:_SHOWN])
            say(f"{name}  {key} {shape}: {first} …")


def _write_arrays(path: Path, names: list[str], outputs: dict[str, Any]) -> None:
    """Write all outputs to one file."""
    import numpy as np

    from maezoo.files import written_whole

    with written_whole(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **outputs, images=np.array(names, dtype=np.str_))


def _batch(text: str) -> int | str:
    """Read `--batch`."""
    if text == "dynamic" or not text.isdecimal():
        return text
    return int(text)


def _size(text: str) -> tuple[int, int] | str:
    """Read `--img-size`."""
    match = re.fullmatch(r"(\d{1,6})(?:[xX,](\d{1,6}))?", text)
    if match is None:
        return text
    return int(match[1]), int(match[2] or match[1])
