"""`maezoo reconstruct` and `maezoo features`: from images to pictures and numbers."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from maezoo.cli.screen import errors, print_json, results
from maezoo.errors import ImageError
from maezoo.vocabulary import Pool, Strategy

if TYPE_CHECKING:
    from maezoo.api import MAE
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
    targets = _targets(images, output)
    mae = create_for_images(model, device)
    mae.require_decoder()
    mae = _prepared(mae, "reconstruct", len(images), 1)
    done: list[dict[str, Any]] = []
    failed = 0
    for path, target in zip(images, targets, strict=True):
        try:
            result = mae.reconstruct(path, mask_ratio=mask_ratio, strategy=strategy, seed=seed)
        except ImageError as error:
            failed += 1
            _complain(error)
            continue
        result.save(target)
        done.append({"image": str(path), "output": str(target), "loss": result.loss.item(), "model": mae.name})
        if not as_json:
            results.print(f"{target}  hidden-patch error {result.loss.item():.3f}", highlight=False)
    if as_json:
        print_json(done)
    if failed:
        raise typer.Exit(1)


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
    from maezoo.cli.feature_files import check_suffix, write_features

    check_suffix(output)
    mae = _prepared(create_for_images(model, device, decoder=False), "features", len(images), batch_size)
    good, vectors = _features_of_readable(mae, images, pool, batch_size)
    write_features(output, [str(path) for path in good], vectors, {"model": mae.name, "pool": pool})
    failed = len(images) - len(good)
    width = vectors.shape[1]
    summary = {
        "output": str(output),
        "images": len(good),
        "failed": failed,
        "width": width,
        "model": mae.name,
    }
    if as_json:
        print_json(summary)
    else:
        results.print(f"{output}  {len(good)} x {width} from {mae.name}, {pool} pooling", highlight=False)
    if failed:
        raise typer.Exit(1)


def create_for_images(name: str, device: str, *, decoder: bool = True) -> "MAE":
    """Create the pretrained model."""
    from maezoo.factory import create

    return create(name, pretrained=True, device=device, decoder=decoder)


def _prepared(mae: "MAE", task: "Task", images: int, batch_size: int) -> "MAE":
    """Return the model as fast as so many images pay for."""
    from maezoo.optimized import optimize_for

    return optimize_for(mae, task, images, batch_size=batch_size, progress=errors.is_terminal)


def _features_of_readable(mae: "MAE", images: list[Path], pool: Pool, batch_size: int) -> tuple[list[Path], Any]:
    """Return the images that can be read and their features (n, D); complain of the others."""
    import torch

    from maezoo.progress import track

    good, rows = [], [torch.empty(0, mae.embed_dim * (2 if pool == "cls+mean" else 1))]
    with track(len(images), "images", show=errors.is_terminal and len(images) > batch_size) as advance:
        for start in range(0, len(images), batch_size):
            chunk = images[start : start + batch_size]
            readable, found = _one_batch(mae, chunk, pool)
            good += readable
            rows.append(found)
            advance(len(chunk))
    return good, torch.cat(rows).numpy()


def _one_batch(mae: "MAE", chunk: list[Path], pool: Pool) -> tuple[list[Path], Any]:
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
                _complain(error)
        width = mae.embed_dim * (2 if pool == "cls+mean" else 1)
        return readable, torch.cat(rows) if rows else torch.empty(0, width)


def _targets(images: list[Path], output: Path | None) -> list[Path]:
    """Return where each picture goes: no two to one place."""
    if output is not None and len(images) == 1 and output.suffix:
        return [output]
    if output is not None and output.suffix and not output.is_dir():
        raise typer.BadParameter(f"{output} is one file for {len(images)} images; name a folder.", param_hint="-o")
    folders = [path.parent if output is None else output for path in images]
    targets = [folder / f"{path.stem}.mae.png" for path, folder in zip(images, folders, strict=True)]
    taken: Counter[Path] = Counter()
    for index, target in enumerate(targets):
        taken[target] += 1
        if taken[target] > 1:
            targets[index] = target.with_name(f"{images[index].stem}-{taken[target]}.mae.png")
    return targets


def _complain(error: ImageError) -> None:
    """Report an image that is left out."""
    errors.print(f"maezoo: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
