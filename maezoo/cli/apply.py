"""`maezoo eval apply`: a saved probe on new features or images."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from maezoo.cli.options import BatchSize, Device, Json
from maezoo.cli.outputs import check_no_input
from maezoo.cli.screen import complain, note, print_json, show_table
from maezoo.paths import user_path

if TYPE_CHECKING:
    from maezoo.api.image_methods import ImageMethods
    from maezoo.evaluation import Predictions, Probe

__all__ = ["apply"]

_PATH: dict[str, Any] = {"parser": user_path, "metavar": "PATH"}


def apply(
    probe: Annotated[Path, typer.Argument(help="What `maezoo eval linear --save` wrote.", parser=user_path)],
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="SRC...",
            help="Images (or what else the model reads) or folders of them; or one folder or file of features.",
            parser=user_path,
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write id, label, predicted, probability as CSV.", **_PATH)
    ] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Weights for images. [those of the probe]")] = None,
    device: Device = "auto",
    batch_size: BatchSize = 32,
    as_json: Json = False,
) -> None:
    """Predict labels with a saved linear probe.

    Images are embedded with the model and the pooling that the probe was fitted on.
    """
    from maezoo.cli.images import create_for_images
    from maezoo.evaluation import Probe
    from maezoo.evaluation.predictions import check_table_name
    from maezoo.extraction.sources import file_endings

    if output is not None:
        check_table_name(output)
        check_no_input(output, [probe, *sources])
    loaded = Probe.load(probe)
    failed = 0
    if len(sources) == 1 and _holds_features(sources[0]):
        predictions = loaded.predict(sources[0])
    else:
        mae = loaded.open_model(device) if model is None else create_for_images(model, device, decoder=False)
        images = list(_images(sources, file_endings(mae.preprocess)))
        predictions = _predict_images(loaded, images, mae, batch_size)
        failed = len(images) - len(predictions)
    _show(predictions, output, as_json)
    if failed:
        complain(f"{failed} of {failed + len(predictions)} images failed.")
        raise typer.Exit(1)


def _holds_features(path: Path) -> bool:
    """Whether a path is a file or folder of features, and no image or folder of images."""
    from maezoo.listing import files_in

    if path.is_dir():
        return any(file.match("part-*") for file in files_in(path, ".parquet"))
    return path.suffix.lower() in (".npz", ".parquet")


def _images(sources: Iterable[Path], endings: frozenset[str] | None) -> Iterable[Path]:
    """Yield the images that are named, and those in the folders that are.

    Args:
        sources: files and folders.
        endings: of the files that the model reads; those of images when `None`.
    """
    from maezoo.errors import DataError
    from maezoo.listing import image_files

    for source in sources:
        if not source.is_dir():
            yield source
            continue
        found = list(image_files(source, endings))
        if not found:
            what = "images" if endings is None else f"files that the model reads ({', '.join(sorted(endings))})"
            raise DataError.about(source, f"holds neither features (part-*.parquet) nor {what}.")
        yield from found


def _predict_images(probe: "Probe", images: list[Path], mae: "ImageMethods", batch_size: int) -> "Predictions":
    """Embed images as those of the training were, and predict their labels."""
    import numpy as np

    from maezoo.api.optimized import optimize_for
    from maezoo.cli.images import add_features
    from maezoo.cli.screen import errors
    from maezoo.errors import ImageError
    from maezoo.evaluation.probe_model import as_recorded

    probe.check_model(mae)
    fast = optimize_for(mae, "features", len(images), batch_size=batch_size, progress=errors.is_terminal)
    names: list[str] = []
    parts = []

    def add(more: list[str], vectors: Any) -> None:
        names.extend(more)
        parts.append(vectors)

    if not add_features(fast, images, probe.about["pool"], batch_size, add):
        raise ImageError(f"none of the {len(images)} images could be read.")
    return probe.predict(as_recorded(probe.about, np.concatenate(parts)), ids=names)


def _show(predictions: "Predictions", output: Path | None, as_json: bool) -> None:
    """Print the predictions, or write them and say so."""
    if output is not None:
        predictions.save(output)
        note(f"{output}  {len(predictions):,} predictions")
    if as_json:
        print_json(predictions.rows())
    elif output is None:
        rows = [(str(row["id"]), str(row["predicted"]), f"{row['probability']:.3f}") for row in predictions.rows()]
        show_table(("image", "predicted", ">probability"), rows)
