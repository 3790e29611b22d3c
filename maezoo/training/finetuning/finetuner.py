"""finetune(): from a pretrained encoder and labelled images to a folder with a classifier."""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from maezoo.api.mae import MAE
from maezoo.checkpoints.folders import WEIGHTS, describe_model
from maezoo.checkpoints.sharing import save_timm_model
from maezoo.errors import DataError, DivergedError
from maezoo.extraction.store import exclusive
from maezoo.hardware import choose_device
from maezoo.paths import user_path
from maezoo.training.checkpoint import not_finite
from maezoo.training.finetuning.classifier import Classifier
from maezoo.training.finetuning.judge import Judge, Validation
from maezoo.training.finetuning.model import open_encoder
from maezoo.training.finetuning.recipe import FinetuneRecipe, RecipeKind, finetune_recipe
from maezoo.training.finetuning.task import Finetuning
from maezoo.training.finetuning.workers import worker_loss_named
from maezoo.training.keeping import find_newest
from maezoo.training.loop import train
from maezoo.training.processes.division import Division
from maezoo.training.run import Run
from maezoo.training.sources.labels import open_labelled
from maezoo.training.task import Progress
from maezoo.training.watching.journal import Journal
from maezoo.training.watching.sinks import SinkName, check_sinks

__all__ = ["Finetuned", "finetune"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Finetuned:
    """A finished run.

    Attributes:
        folder: with model.safetensors, config.json and README.md, for timm and maezoo.
        classifier: the model, ready to classify.
        recipe: the numbers of the run.
        images: training images.
        validation: of the model that is kept; `None` without validation images.
        unreadable: images that were left out, and why.
    """

    folder: Path
    classifier: Classifier
    recipe: FinetuneRecipe
    images: int
    validation: Validation | None
    unreadable: dict[str, str] = field(default_factory=dict)


def finetune(
    source: str | Path,
    out: str | Path,
    *,
    model: str = "mae_vit_tiny",
    val: str | Path | float | None = None,
    recipe: RecipeKind | FinetuneRecipe = "auto",
    device: str | torch.device = "auto",
    workers: int | None = None,
    compile: bool = False,
    report: Callable[[Progress], None] | None = None,
    report_every: int = 10,
    validated: Callable[[Validation], None] | None = None,
    checkpoint_seconds: float = 300,
    progress: bool = False,
    log: Sequence[SinkName] = (),
    resume_from: Path | int | None = None,
    **changes: Any,
) -> Finetuned:
    """Fine-tune a pretrained encoder to tell classes of images apart; resumes from `out`'s checkpoint if there is one.

    Args:
        source: a folder of class folders, or one with such folders as `train` and `val`; tar shards with `.cls`
            members; or a `.csv` with the columns `path` and `label`.
        out: folder for the result, the checkpoint and the log; made when missing. One run at a time writes to it.
        model: an architecture, whose normalised-pixel weights are preferred (paper, table 7), weights, or
            `"local-dir:…"`, `"hf-hub:…"`; see `maezoo.create`.
        val: validation images, another source; or the share of each class that is held out, 0 for none. `None`: the
            folder `val` in `source` if there is one, else a fifth.
        recipe: `"paper"`, `"short"` or `"auto"`, see `finetune_recipe`; or all numbers.
        device: where to train.
        workers: processes that decode and augment. `None`: none on the CPU, else one for each of up to 16 processors. A
            script that has them needs `if __name__ == "__main__":`, as they are spawned.
        compile: compile the model with `torch.compile`, for a minute at the start.
        report: called with the run's progress every `report_every` steps.
        report_every: steps between reports.
        validated: called with each validation, at most six times.
        checkpoint_seconds: seconds between checkpoints.
        progress: show a bar.
        log: where the numbers go besides `log.jsonl`: `"tensorboard"`, `"trackio"`, `"wandb"`.
        resume_from: a checkpoint of another run, its folder, or a step of a checkpoint in `out`: the run continues it
            with these numbers. Encoder, classes, `tune`, `lora` and `pool` must be the same.
        **changes: fields of `FinetuneRecipe` that are to differ, such as `epochs=20` or `tune="last-block"`.

    Returns:
        The run's result. A run resumed on the CPU gives the same bits as one that was never stopped, on the same
        machine and thread count.

    Raises:
        DataError: the source cannot be used: nothing there, one class only, a class without a readable image, a
            validation image of an unknown class; or `out` holds other weights, or another run writes to it.
        ArgumentError: a number is out of range.
        CheckpointError: the checkpoint in `out` is of another run: other classes, images, weights or numbers.
        DivergedError: the loss or a weight is no longer finite; the last finite checkpoint stays.
        DiskFullError: no room for a checkpoint or the result; the last checkpoint stays.
        WorkerError: a process that decodes ended before its time.
        KeyboardInterrupt: at Ctrl-C, once the running step is done and a checkpoint written; at a second, at once.

    Example:
        >>> import shutil, tempfile, maezoo
        >>> folder = Path(tempfile.mkdtemp())
        >>> for number, photo in enumerate(sorted(Path("tests/data/photos").glob("*.jpg"))[:4]):
        ...     place = folder / "photos" / ("even", "odd")[number % 2]
        ...     place.mkdir(parents=True, exist_ok=True)
        ...     _ = shutil.copy(photo, place)
        >>> result = maezoo.finetune(
        ...     folder / "photos", folder / "run", model="mae_vit_tiny", epochs=1, batch_size=2, device="cpu"
        ... )
        >>> result.classifier
        Classifier('run', 2 classes, 96x96 pixels, on cpu)
    """
    check_sinks(log)
    folder, where = user_path(out), choose_device(device)
    images, held_out = open_labelled(source, val, seed=int(changes.get("seed", getattr(recipe, "seed", 0))))
    _check_output(folder)
    img_size = changes.get("img_size", getattr(recipe, "img_size", None))
    mae = open_encoder(model, img_size)
    numbers = _numbers(recipe, mae, len(images), changes)
    images.window = held_out.window = numbers.window or mae.preprocess.window
    numbers.tuned_blocks(len(mae.encoder.blocks))
    images.check_classes(max(mae.img_size))
    with exclusive(folder / ".lock", folder):
        task = Finetuning(mae, images, numbers, where, _workers(workers, where))
        journal = Journal(folder, tuple(log), {"kind": "finetune", "numbers": _shown(task.facts())})
        run = Run(task, folder, where, Division(compile=compile), journal=journal, resume_from=resume_from)
        _log.info("%s; %d steps; %d validation images", images.describe(), run.schedule.steps, len(held_out))
        judge = Judge(task, run, held_out, validated)
        with journal.recorded(), worker_loss_named():
            train(
                run,
                report=report,
                report_every=report_every,
                checkpoint_seconds=checkpoint_seconds,
                progress=progress,
                after_step=judge.after_step,
            )
            run.finish()
            classifier = _write(task, mae, folder)
            validation = judge.validate(run.schedule.steps, classifier.model)
    return Finetuned(folder, classifier, numbers, len(images), validation, {**images.unreadable, **held_out.unreadable})


def _numbers(recipe: RecipeKind | FinetuneRecipe, mae: MAE, images: int, changes: dict[str, Any]) -> FinetuneRecipe:
    """Return the recipe of a run."""
    if isinstance(recipe, FinetuneRecipe):
        return finetune_recipe(_variant(mae), images, "short", **{**asdict(recipe), **changes})
    return finetune_recipe(_variant(mae), images, recipe, **changes)


def _shown(facts: dict[str, Any]) -> dict[str, Any]:
    """Leave out of a run's facts what dashboards would only repeat: hashes and lists of names."""
    return {key: value for key, value in facts.items() if isinstance(value, int | float | str)}


def _variant(mae: MAE) -> Any:
    return describe_model(mae, mae.preprocess).variant


def _check_output(folder: Path) -> None:
    """Refuse a folder that holds weights of something else: they would be written over."""
    if folder.is_file():
        raise DataError.about(folder, "is a file; the output is a folder.")
    if (folder / WEIGHTS).exists() and find_newest(folder) is None:
        raise DataError.about(folder, f"has a {WEIGHTS} that no unfinished run left there; name another output folder.")


def _workers(workers: int | None, device: torch.device) -> int:
    """Return the number of processes that decode."""
    if workers is not None:
        return workers
    return 0 if device.type == "cpu" else min(16, torch.multiprocessing.cpu_count())


def _write(task: Finetuning, mae: MAE, folder: Path) -> Classifier:
    """Write the finished model."""
    vit = task.model.finished()
    wrong = not_finite(vit.state_dict())
    if wrong:
        raise DivergedError(
            f"{wrong} is NaN or infinite; {folder / WEIGHTS} is not written.", path=folder, reason=wrong
        )
    classes = task.images.classes
    recipe = json.dumps(task.recipe.to_dict(), sort_keys=True)
    origin = f"{mae.name}, fine-tuned on {len(task.images):,} images of {len(classes)} classes: {recipe}"
    save_timm_model(
        vit, folder, task.preprocess, label_names=classes, target=mae.target, license=mae.license, origin=origin
    )
    return Classifier(vit, classes, task.preprocess, folder.name)
