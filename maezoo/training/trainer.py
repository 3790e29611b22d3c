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

    Returns:
        The trained model in eval mode on `device`, with the averaged weights where the recipe keeps an average. A run
        resumed on the CPU gives the same bits as one that was never stopped, on the same machine and thread count.

    Raises:
        CheckpointError: the checkpoint in `out` is damaged or belongs to another recipe, or `start_from` is not the
            file that the recipe names.
        DataError: another run writes to `out`.
        DiskFullError: no room for a checkpoint, also before the first step.
        DivergedError: the loss or a weight is no longer finite. `out` keeps its last finite checkpoint, which
            the message names.
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
    with exclusive(folder / ".lock", folder):
        task = Pretraining(recipe, source, where, shape, start_from and user_path(start_from))
        run = Run(task, folder, where, compile)
        train(run, report=report, report_every=report_every, checkpoint_seconds=checkpoint_seconds, progress=progress)
        run.finish()
    return task.model
