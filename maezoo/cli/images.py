"""`maezoo reconstruct` and `maezoo features`: from images to pictures and numbers."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from maezoo.cli.options import (
    DEFAULT_MODEL,
    BatchSize,
    Device,
    Images,
    Json,
    Masking,
    Model,
    Pooling,
    Windowing,
    output_option,
)
from maezoo.cli.outputs import check_no_input, picture_targets
from maezoo.cli.screen import complain, errors, note, print_json, say, warned_once
from maezoo.errors import DiskFullError, ImageError
from maezoo.files import is_stream
from maezoo.vocabulary import Pool, Window

if TYPE_CHECKING:
    from torch import Tensor

    from maezoo.api.image_methods import ImageMethods
    from maezoo.api.mae import MAE
    from maezoo.cli.feature_files import Add
    from maezoo.engines import Task

__all__ = ["add_features", "create_for_images", "features", "reconstruct"]


@warned_once()
def reconstruct(
    images: Images,
    output: Annotated[Path | None, output_option("A file; for several images, a folder. [next to each image]")] = None,
    model: Model = DEFAULT_MODEL,
    mask_ratio: Annotated[float, typer.Option(min=0, max=1, help="Share of patches to hide.")] = 0.75,
    strategy: Masking = "random",
    seed: Annotated[int, typer.Option(help="Seed of the mask.")] = 0,
    scale: Annotated[int, typer.Option(min=1, max=64, help="How often each pixel is repeated in both directions.")] = 1,
    labels: Annotated[bool, typer.Option("--labels", help="Write titles, share hidden and error.")] = False,
    bands: Annotated[
        str | None,
        typer.Option(help="Bands to show, such as B04,B03,B02. [natural colours]", show_default=False),
    ] = None,
    window: Windowing = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Hide patches of images and reconstruct them. Each image becomes a picture: original | masked | reconstruction."""
    from maezoo.api.view import view_of

    targets = picture_targets(images, output)
    created = create_for_images(model, device, window=window)
    created.require_decoder()
    chosen = None if bands is None else [name.strip() for name in bands.split(",")]
    view_of(created.preprocess, chosen)  # before any image is read
    mae = _optimised(created, "reconstruct", len(images), 1)
    done: list[dict[str, Any]] = []
    for path, target in zip(images, targets, strict=True):
        try:
            result = mae.reconstruct(path, mask_ratio=mask_ratio, strategy=strategy, seed=seed, bands=chosen)
            result.save(target, scale=scale, labels=labels)
        except DiskFullError:
            raise
        except (ImageError, OSError) as error:
            complain(error)
            continue
        done.append({"image": str(path), "output": str(target), "loss": result.loss.item(), "model": mae.name})
        if not as_json:
            tell = note if is_stream(target) else say
            tell(f"{target}  error of hidden patches {result.loss.item():.3g} ({result.unit})")
    if as_json:
        print_json(done)
    _exit_if_any_failed(len(images) - len(done), len(images))


@warned_once()
def features(
    images: Images,
    output: Annotated[Path, output_option("A file: .npz, .npy, .safetensors or .csv.")],
    model: Model = DEFAULT_MODEL,
    pool: Pooling = None,
    batch_size: BatchSize = 32,
    window: Windowing = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Write one feature vector for each image to a file."""
    from maezoo.cli.feature_files import check_suffix, feature_file
    from maezoo.model import pooled_width

    check_suffix(output)
    check_no_input(output, images)
    created = create_for_images(model, device, decoder=False, window=window)
    mae = _optimised(created, "features", len(images), batch_size)
    tokens = mae.pooling if pool is None else pool
    width = pooled_width(mae.embed_dim, tokens)
    about = {"model": mae.name, "pool": tokens, "window": str(mae.preprocess.window)}
    with feature_file(output, width, about) as add:
        good = add_features(mae, images, tokens, batch_size, add)
        if not good:
            raise ImageError(f"none of the {len(images)} images could be read; {output} was not written.")
    failed = len(images) - good
    if as_json:
        summary = {"output": str(output), "images": good, "failed": failed, "width": width, "model": mae.name}
        print_json(summary)
    else:
        tell = note if is_stream(output) else say
        tell(f"{output}  {good} x {width} from {mae.name}, {tokens} pooling")
    _exit_if_any_failed(failed, len(images))


def create_for_images(name: str, device: str, *, decoder: bool = True, window: Window | None = None) -> "MAE":
    """Create the pretrained model."""
    from maezoo.api.factory import create

    return create(name, pretrained=True, device=device, decoder=decoder, window=window)


def _optimised(mae: "MAE", task: "Task", images: int, batch_size: int) -> "ImageMethods":
    """Return the model on the engine that pays for so many images."""
    from maezoo.api.optimized import optimize_for

    return optimize_for(mae, task, images, batch_size=batch_size, progress=errors.is_terminal)


def add_features(mae: "ImageMethods", images: list[Path], pool: Pool, batch_size: int, add: "Add") -> int:
    """Add the features of the images that can be read, a batch at a time; return how many there were."""
    import torch

    from maezoo.cli.bar import Bar

    good = 0
    with Bar("images", len(images), shown=len(images) > batch_size) as bar:
        for start in range(0, len(images), batch_size):
            chunk = images[start : start + batch_size]
            readable = list(_readable(mae, chunk))
            if readable:
                runs = groupby((image for _, image in readable), lambda image: image.shape)  # texts differ in width
                batches = [torch.cat(list(run)) for _, run in runs]  # (B, C, H, W) each
                vectors = torch.cat([mae.features(batch, pool=pool, batch_size=batch_size) for batch in batches])
                add([str(path) for path, _ in readable], vectors.float().cpu().numpy())
            good += len(readable)
            bar.show(start + len(chunk))
    return good


def _readable(mae: "ImageMethods", paths: list[Path]) -> "Iterator[tuple[Path, Tensor]]":
    """Decode images, some at once; yield those that can be read as (1, C, H, W), and complain of the others."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        for path, decoded in [(path, pool.submit(mae.prepare, path)) for path in paths]:
            try:
                yield path, decoded.result()
            except ImageError as error:
                complain(error)


def _exit_if_any_failed(failed: int, total: int) -> None:
    """Leave with code 1, and the number, when images were left out."""
    if failed:
        complain(f"{failed} of {total} images failed.")
        raise typer.Exit(1)
