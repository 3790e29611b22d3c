"""pretrain(): from images to a trained autoencoder."""

from collections.abc import Callable
from pathlib import Path

import torch

from maezoo.extraction.store import exclusive
from maezoo.hardware import choose_device
from maezoo.model import MaskedAutoencoder, Variant, find_variant
from maezoo.paths import user_path
from maezoo.training.data import ImageSource
from maezoo.training.loop import train
from maezoo.training.pretraining import Pretraining
from maezoo.training.recipe import Recipe
from maezoo.training.run import Progress, Run
from maezoo.training.watching.journal import Journal
from maezoo.training.watching.watch import Watch, Watcher

__all__ = ["pretrain"]


def pretrain(
    recipe: Recipe,
    source: ImageSource,
    out: Path,
    *,
    variant: Variant | None = None,
    device: str | torch.device = "auto",
    start_from: Path | None = None,
    compile: bool = False,
    report: Callable[[Progress], None] | None = None,
    report_every: int = 50,
    checkpoint_seconds: float = 300,
    progress: bool = False,
    watch: Watch | None = None,
    resume_from: Path | int | None = None,
) -> MaskedAutoencoder:
    """Pretrain a masked autoencoder, resuming from `out`'s checkpoint if there is one.

    Args:
        recipe: the numbers of the run.
        source: the images.
        out: folder for `checkpoint.safetensors` and `log.jsonl`; made when missing.
        variant: another shape than the published one of `recipe.model`, for experiments.
        device: where to train.
        start_from: weights to start from instead of random ones, a maezoo file; its sha256 is the recipe's
            `start_from`. The decoder's are taken where they have the model's shape. A checkpoint in `out` takes
            precedence.
        compile: compile the model with `torch.compile`, for a minute at the start; on the CPU that needs a C++
            compiler. The losses differ from eager ones in the last digits.
        report: called with the run's progress every `report_every` steps.
        report_every: steps between reports.
        checkpoint_seconds: seconds between checkpoints.
        progress: show a bar.
        watch: what else is watched: dashboards, pictures, probes. It does not change the result.
        resume_from: a checkpoint of another run, its folder, or a step of a checkpoint in `out`: the run continues it
            with this recipe's numbers. The architecture, the target and the optimizer must be the same; rates, decays,
            batch size, views, crops, masks, seed and images may differ. A checkpoint in `out` takes precedence.

    Returns:
        The trained model in eval mode on `device`, with the averaged weights where the recipe keeps an average. A run
        resumed on the CPU gives the same bits as one that was never stopped, on the same machine and thread count.

    Raises:
        CheckpointError: the checkpoint in `out` is damaged or belongs to another recipe, or `start_from` is not the
            file that the recipe names; or `resume_from` is none, or of another shape.
        DataError: another run writes to `out`, or the probe's images cannot be used.
        MissingExtraError: what `watch` needs is not installed.
        DiskFullError: no room for a checkpoint, also before the first step.
        DivergedError: the loss or a weight is no longer finite, or the loss a hundred times what it was at best. `out`
            keeps its last good checkpoint, which the message names.
        KeyboardInterrupt: at Ctrl-C, once the running step is done and a checkpoint written; at a second, at once.

    Example:
        >>> import tempfile
        >>> from maezoo.training import Recipe, open_source
        >>> source = open_source("tests/data/photos")
        >>> model = pretrain(Recipe(views=4, batch_size=2), source, Path(tempfile.mkdtemp()), device="cpu")
        >>> model.training
        False
    """
    where, folder = choose_device(device), user_path(out)
    shape = variant or find_variant(recipe.model)
    watch = watch or Watch()
    probing = watch.open()
    with exclusive(folder / ".lock", folder):
        task = Pretraining(recipe, source, where, shape, start_from and user_path(start_from))
        journal = Journal(folder, watch.log, {"kind": "pretrain", "numbers": task.facts()})
        run = Run(task, folder, where, compile, journal=journal, resume_from=resume_from)
        with journal.recorded():
            train(
                run,
                report=report,
                report_every=report_every,
                checkpoint_seconds=checkpoint_seconds,
                progress=progress,
                after_step=Watcher(watch, probing, task.subject(run.kept_weights, run.paused), journal).after_step,
            )
            run.finish()
    return task.model
