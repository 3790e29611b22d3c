"""`maezoo reconstruct` and `maezoo features`: from images to pictures and numbers."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from maezoo.cli.outputs import check_no_input, picture_targets
from maezoo.cli.screen import complain, errors, note, print_json, say
from maezoo.errors import DiskFullError, ImageError
from maezoo.files import is_stream
from maezoo.paths import user_path
from maezoo.vocabulary import Pool, Strategy

if TYPE_CHECKING:
    from maezoo.api.image_methods import ImageMethods
    from maezoo.api.mae import MAE
    from maezoo.cli.feature_files import Add
    from maezoo.engines import Task

__all__ = ["DEFAULT_MODEL", "Device", "Json", "add_commands", "create_for_images"]

DEFAULT_MODEL = "mae_vit_tiny"
_PATHS = typer.Argument(help="Image files.", show_default=False)
Model = Annotated[str, typer.Option("--model", "-m", help="Architecture or weights; see `maezoo list`.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, mps, …")]
Json = Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")]


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(reconstruct)
    app.command()(features)


def reconstruct(
    images: Annotated[list[Path], _PATHS],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Picture, or folder for several.")] = None,
    model: Model = DEFAULT_MODEL,
    mask_ratio: Annotated[float, typer.Option(min=0, max=1, help="Share of patches to hide.")] = 0.75,
    strategy: Annotated[Strategy, typer.Option(help="How to choose them.")] = "random",
    seed: Annotated[int, typer.Option(help="Of the choice.")] = 0,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Hide patches, reconstruct them, and write original | masked | reconstruction as a picture."""
    images = [user_path(path) for path in images]
    targets = picture_targets(images, output and user_path(output))
    created = create_for_images(model, device)
    created.require_decoder()
    mae = _prepared(created, "reconstruct", len(images), 1)
    done: list[dict[str, Any]] = []
    for path, target in zip(images, targets, strict=True):
        try:
            result = mae.reconstruct(path, mask_ratio=mask_ratio, strategy=strategy, seed=seed)
            result.save(target)
        except DiskFullError:
            raise
        except (ImageError, OSError) as error:
            complain(error)
            continue
        done.append({"image": str(path), "output": str(target), "loss": result.loss.item(), "model": mae.name})
        if not as_json:
            tell = note if is_stream(target) else say
            tell(f"{target}  hidden-patch error {result.loss.item():.3f}")
    if as_json:
        print_json(done)
    _exit_if_any_failed(len(images) - len(done), len(images))


def features(
    images: Annotated[list[Path], _PATHS],
    output: Annotated[Path, typer.Option("-o", "--output", help="A file: .npz, .npy, .safetensors or .csv.")],
    model: Model = DEFAULT_MODEL,
    pool: Annotated[Pool, typer.Option(help="Which tokens.")] = "cls",
    batch_size: Annotated[int, typer.Option(min=1, help="Images at a time.")] = 32,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Write one feature vector for each image."""
    from maezoo.cli.feature_files import check_suffix, feature_file
    from maezoo.model import pooled_width

    images, output = [user_path(path) for path in images], user_path(output)
    check_suffix(output)
    check_no_input(output, images)
    mae = _prepared(create_for_images(model, device, decoder=False), "features", len(images), batch_size)
    width = pooled_width(mae.embed_dim, pool)
    with feature_file(output, width, {"model": mae.name, "pool": pool}) as add:
        good = _add_features(mae, images, pool, batch_size, add)
        if not good:
            raise ImageError(f"none of the images could be read ({len(images)}); {output} was not written.")
    failed = len(images) - good
    if as_json:
        summary = {"output": str(output), "images": good, "failed": failed, "width": width, "model": mae.name}
        print_json(summary)
    else:
        tell = note if is_stream(output) else say
        tell(f"{output}  {good} x {width} from {mae.name}, {pool} pooling")
    _exit_if_any_failed(failed, len(images))


def create_for_images(name: str, device: str, *, decoder: bool = True) -> "MAE":
    """Create the pretrained model."""
    from maezoo.api.factory import create

    return create(name, pretrained=True, device=device, decoder=decoder)


def _prepared(mae: "ImageMethods", task: "Task", images: int, batch_size: int) -> "ImageMethods":
    """Return the model as fast as so many images pay for."""
    from maezoo.api.optimized import optimize_for

    return optimize_for(mae, task, images, batch_size=batch_size, progress=errors.is_terminal)


def _add_features(mae: "ImageMethods", images: list[Path], pool: Pool, batch_size: int, add: "Add") -> int:
    """Add the features of the images that can be read, as they come; return how many, and complain of the others."""
    from maezoo.progress import track

    good = 0
    with track(len(images), "images", show=errors.is_terminal and len(images) > batch_size) as advance:
        for start in range(0, len(images), batch_size):
            chunk = images[start : start + batch_size]
            readable, found = _one_batch(mae, chunk, pool)
            if readable:
                add([str(path) for path in readable], found.numpy())
            good += len(readable)
            advance(len(chunk))
    return good


def _one_batch(mae: "ImageMethods", chunk: list[Path], pool: Pool) -> tuple[list[Path], Any]:
    """Return the features of a batch's readable images; when one cannot be read, the others are done one at a time."""
    import torch

    try:
        return chunk, mae.features(chunk, pool=pool, batch_size=len(chunk)).float().cpu()
    except ImageError:
        readable, rows = [], []
        for path in chunk:
            try:
                rows.append(mae.features(path, pool=pool).float().cpu())
                readable.append(path)
            except ImageError as error:
                complain(error)
        return readable, torch.cat(rows) if rows else torch.empty(0)


def _exit_if_any_failed(failed: int, total: int) -> None:
    """Leave with code 1, and the number, when images were left out."""
    if failed:
        complain(f"{failed} of {total} images failed.")
        raise typer.Exit(1)
