"""`maezoo finetune` and `maezoo classify`: from labelled images to a classifier, and from images to their classes."""

import shlex
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from maezoo.cli.exits import INTERRUPTED
from maezoo.cli.options import DEFAULT_MODEL, Device, Images, Json, Model, Windowing, output_option
from maezoo.cli.screen import complain, counted, note, note_to_repeat, print_json, say
from maezoo.cli.watching import Log, ResumeFrom, start_of, stopped, watch_of
from maezoo.errors import ImageError
from maezoo.paths import user_path

if TYPE_CHECKING:
    from torch import Tensor

    from maezoo.training import Classifier, Finetuned, Guess, Progress, Validation

__all__ = ["classify", "finetune"]

Source = Annotated[
    Path,
    typer.Argument(
        help="Folder of class folders (or of train/ and val/ with such), tar shards, or a .csv: path,label.",
        parser=user_path,
        show_default=False,
    ),
]
Classifiers = Annotated[
    Path, typer.Argument(help="Folder that `maezoo finetune` wrote.", parser=user_path, show_default=False)
]
_RECIPE = "[by recipe]"
_AT_ONCE = 32  # images that are decoded and classified together


def finetune(
    source: Source,
    output: Annotated[Path, output_option("Folder of the run; an unfinished run in it is resumed.")],
    model: Model = DEFAULT_MODEL,
    val: Annotated[
        str | None, typer.Option(help="Validation images: another SOURCE, or a share such as 0.2; 0: none.")
    ] = None,
    recipe: Annotated[
        Literal["auto", "paper", "short"], typer.Option(help="auto: short below 100,000 images, else the paper's.")
    ] = "auto",
    tune: Annotated[str, typer.Option(help="What is trained: all, head, last-block, or a number of blocks.")] = "all",
    lora: Annotated[int, typer.Option(min=0, help="Rank of LoRA updates in place of the matrices; 0: none.")] = 0,
    epochs: Annotated[int | None, typer.Option(min=1, help=f"Times that each image is shown. {_RECIPE}")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help=f"Images at a time. {_RECIPE}")] = None,
    base_lr: Annotated[float | None, typer.Option(help=f"Learning rate for a batch of 256. {_RECIPE}")] = None,
    layer_decay: Annotated[
        float | None, typer.Option(help=f"Learning rate of a block, as a share of the next block's. {_RECIPE}")
    ] = None,
    weight_decay: Annotated[float | None, typer.Option(help=f"Weight decay of matrices. {_RECIPE}")] = None,
    drop_path: Annotated[float | None, typer.Option(help=f"Stochastic depth. {_RECIPE}")] = None,
    augment: Annotated[
        str | None, typer.Option(help=f"timm's RandAugment policy, such as rand-m9-mstd0.5-inc1. {_RECIPE}")
    ] = None,
    mixup: Annotated[float | None, typer.Option(help=f"Mixup's parameter; 0: none. {_RECIPE}")] = None,
    cutmix: Annotated[float | None, typer.Option(help=f"CutMix's parameter; 0: none. {_RECIPE}")] = None,
    smoothing: Annotated[float | None, typer.Option(help=f"Label smoothing. {_RECIPE}")] = None,
    pool: Annotated[
        Literal["mean", "cls"] | None, typer.Option(help=f"Mean of the patches, or class token. {_RECIPE}")
    ] = None,
    img_size: Annotated[int | None, typer.Option(min=1, help="Side of the input. [the weights' own]")] = None,
    window: Windowing = None,
    ema: Annotated[float, typer.Option(help="Decay of the averaged weights; 0: none.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed of head, order, augmentation and split.")] = 0,
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"], typer.Option(help="Number format; auto: as fits the hardware.")
    ] = "auto",
    device: Device = "auto",
    workers: Annotated[int | None, typer.Option(min=0, help="Processes that decode. [none on the CPU]")] = None,
    compile_: Annotated[bool, typer.Option("--compile", help="Compile the step first; takes a minute.")] = False,
    log: Log = None,
    resume_from: ResumeFrom = None,
    as_json: Json = False,
) -> None:
    """Fine-tune a pretrained encoder on labelled images.

    Writes a folder for timm, `maezoo classify` and `maezoo.create("local-dir:…")`, and checkpoints: after an
    interruption, the same command continues from the last one. The default numbers are the paper's for each size, or
    milder and shorter ones for small data sets.
    """
    given = {
        "tune": tune,
        "lora": lora,
        "epochs": epochs,
        "batch_size": batch_size,
        "base_lr": base_lr,
        "layer_decay": layer_decay,
        "weight_decay": weight_decay,
        "drop_path": drop_path,
        "augment": augment,
        "mixup": mixup,
        "cutmix": cutmix,
        "smoothing": smoothing,
        "pool": pool,
        "img_size": img_size,
        "window": window,
        "ema": ema,
        "seed": seed,
        "precision": precision,
    }
    changes = {name: value for name, value in given.items() if value is not None}
    done = _train(
        source,
        output,
        model=model,
        val=_share(val),
        recipe=recipe,
        device=device,
        workers=workers,
        compile=compile_,
        log=watch_of(log).log,
        resume_from=start_of(resume_from),
        **changes,
    )
    if done.unreadable:
        note(f"{counted(len(done.unreadable), 'image')} could not be read and were left out.", "yellow")
    if as_json:
        print_json(_summary(done))
        return
    say(str(done.folder))
    if done.validation is not None:
        at = done.validation
        top5 = f", top-5 {at.val_top5:.1%}" if len(done.classifier.classes) > 5 else ""
        say(f"val top-1 {at.val_accuracy:.1%}{top5} ({counted(at.val_images, 'image')})")
    say(f"Try it: maezoo classify {shlex.quote(str(done.folder))} photo.jpg")


def classify(
    folder: Classifiers,
    images: Images,
    top: Annotated[int, typer.Option(min=1, help="Classes for each image, at most.")] = 5,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Name the classes of images, the likeliest first."""
    from maezoo.training import Classifier

    classifier = Classifier.load(folder, device=device)
    records: list[dict[str, Any]] = []
    for path, guesses in _classified(classifier, images, top):
        records.append({"image": str(path), "classes": [vars(guess) for guess in guesses]})
        if not as_json:
            say(f"{path}  {_text(guesses)}")
    if as_json:
        print_json(records)
    if len(records) < len(images):
        complain(f"{len(images) - len(records)} of {len(images)} images failed.")
        raise typer.Exit(1)


def _classified(classifier: "Classifier", paths: list[Path], top: int) -> "Iterator[tuple[Path, list[Guess]]]":
    """Yield the classes of the images that can be read, some at a time, and complain of the others."""
    import torch

    from maezoo.images.conversion import normalise, prepare

    def decoded(path: Path) -> "Tensor | ImageError":
        try:
            return prepare([path], classifier.preprocess, classifier.in_chans)  # (1, C, H, W)
        except ImageError as error:
            return error

    with ThreadPoolExecutor(max_workers=8) as pool:
        for start in range(0, len(paths), _AT_ONCE):
            chunk = paths[start : start + _AT_ONCE]
            readable: list[tuple[Path, Tensor]] = []
            for path, found in zip(chunk, pool.map(decoded, chunk), strict=True):
                if isinstance(found, ImageError):
                    complain(found)
                else:
                    readable.append((path, found))
            if readable:
                batch = normalise(torch.cat([pixels for _, pixels in readable]), classifier.preprocess)
                yield from zip([path for path, _ in readable], classifier.classify(batch, top=top), strict=True)


def _text(guesses: "list[Guess]") -> str:
    """Write the classes of an image."""
    return "  ".join(f"{guess.label} {guess.probability:.1%}" for guess in guesses)


def _share(val: str | None) -> Path | float | None:
    """Read what `--val` says: a number is a share, all else a source.

    Example:
        >>> _share("0.1"), _share(None)
        (0.1, None)
    """
    if val is None:
        return None
    try:
        return float(val)
    except ValueError:
        return user_path(val)


def _summary(done: "Finetuned") -> dict[str, Any]:
    """Return what a run gave, as plain data."""
    return {
        "output": str(done.folder),
        "classes": list(done.classifier.classes),
        "images": done.images,
        "unreadable": done.unreadable,
        "validation": None if done.validation is None else vars(done.validation),
        "recipe": done.recipe.to_dict(),
    }


def _train(source: Path, output: Path, **settings: Any) -> "Finetuned":
    """Run the training with a progress bar; at Ctrl-C, say how to continue."""
    from maezoo.cli.bar import Bar
    from maezoo.training import finetune as run

    last = ""

    def validated(at: "Validation") -> None:
        nonlocal last
        last = f", val {at.val_accuracy:.1%}"

    with Bar("images") as bar:

        def report(at: "Progress") -> None:
            total = at.views * at.steps // at.step
            bar.show(at.views, total=total, rate=at.views_per_second, more=f"loss {at.loss:.3f}{last}")

        try:
            return run(source, output, report=report, validated=validated, **settings)
        except KeyboardInterrupt:
            note_to_repeat(f"{stopped(output)} run it again:")
            raise typer.Exit(INTERRUPTED) from None
