"""pretrain(): from images to a trained autoencoder."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import torch

from maezoo.api.mae import MAE
from maezoo.extraction.store import exclusive
from maezoo.hardware import choose_device
from maezoo.model import Variant
from maezoo.paths import user_path
from maezoo.training.loop import train
from maezoo.training.pretraining import Pretraining
from maezoo.training.processes.division import Division, Parallel
from maezoo.training.processes.processes import Processes, joined
from maezoo.training.recipe import Recipe
from maezoo.training.run import Run
from maezoo.training.shape import find_shape
from maezoo.training.sources.source import ImageSource
from maezoo.training.start import open_start
from maezoo.training.task import Progress
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
    parallel: Parallel = "ddp",
    accumulate: int = 1,
    recompute: bool = False,
    compile: bool = False,
    processes: Processes | None = None,
    report: Callable[[Progress], None] | None = None,
    report_every: int = 50,
    checkpoint_seconds: float = 300,
    progress: bool = False,
    watch: Watch | None = None,
    resume_from: Path | int | None = None,
) -> MAE:
    """Pretrain a masked autoencoder, resuming from `out`'s checkpoint if there is one.

    In a program that torchrun or SLURM's srun has started several times, the processes share each step: each reads
    and computes its part of `recipe.batch_size` images. Images, crops and masks do not depend on their number.

    Args:
        recipe: the numbers of the run.
        source: the images.
        out: folder for `checkpoint.safetensors` and `log.jsonl`; made when missing. All processes see it.
        variant: another architecture than those of the table, for experiments.
        device: where to train; of several CUDA devices each process takes its own.
        parallel: `"ddp"`, each process has all weights; `"fsdp"`, each has a share of them (FSDP2), for models that do
            not fit. Its checkpoints are folders with a file for each process.
        accumulate: parts that a process does one after the other, in less memory.
        recompute: compute each block's activations again in the backward pass, in less memory and a third more time.
        compile: compile the model with `torch.compile`, for a minute at the start; on the CPU that needs a C++
            compiler. The losses differ from eager ones in the last digits. Several processes compile block by block.
        processes: that share the run; those of torchrun or srun when `None`.
        report: called with the run's progress every `report_every` steps, in the first process.
        report_every: steps between reports.
        checkpoint_seconds: seconds between checkpoints.
        progress: show a bar.
        watch: what else is watched: dashboards, pictures, probes. It does not change the result.
        resume_from: a checkpoint of another run, its folder, or a step of a checkpoint in `out`: the run continues it
            with this recipe's numbers. The architecture, the target and the optimizer must be the same; rates, decays,
            batch size, views, crops, masks, seed and images may differ. A checkpoint in `out` takes precedence.

    Returns:
        The trained model in eval mode on `device`, with the averaged weights where the recipe keeps an average; the
        same in every process. A run resumed on the CPU gives the same bits as one that was never stopped, on the same
        machine and with the same number of threads and processes.

    Raises:
        CheckpointError: the checkpoint in `out` is damaged or belongs to another recipe, or not all processes see it;
            or `resume_from` is none, or of another shape.
        LayoutError: the recipe's `init` does not fit its model.
        ArgumentError: fewer images in a step than processes times `accumulate`; numbers that no model could have;
            pictures or probes with `parallel="fsdp"`.
        DataError: another run writes to `out`; images of other channels than the model's; a probe's images that
            cannot be used.
        MissingExtraError: what `watch` needs is not installed.
        DiskFullError: no room for a checkpoint, also before the first step.
        DivergedError: the loss or a weight is no longer finite, or the loss a hundred times what it was at best. `out`
            keeps its last good checkpoint, which the message names.
        WorkerError: another process of the run ended before its time.
        KeyboardInterrupt: at Ctrl-C in any process, once the running step is done and a checkpoint written; at a second
            one, at once, if there is only one process.

    Example:
        >>> import tempfile
        >>> from maezoo.training import Recipe, open_source
        >>> source = open_source("tests/data/photos")
        >>> model = pretrain(Recipe(views=4, batch_size=2), source, Path(tempfile.mkdtemp()), device="cpu")
        >>> model.features("tests/data/photos/coffee.jpg").shape
        torch.Size([1, 192])
    """
    where, folder = choose_device(device), user_path(out)
    watch = watch or Watch()
    probing = watch.open()
    with ExitStack() as stack:
        if processes is None:
            processes, where = stack.enter_context(joined(where, always=parallel == "fsdp"))
        stack.enter_context(processes.loss_named(folder))
        if processes.first:
            stack.enter_context(exclusive(folder / ".lock", folder))
        processes.wait()
        division = Division(processes, parallel, accumulate, recompute, compile)
        watch.check(division)
        start = stack.enter_context(open_start(recipe))
        task = Pretraining(recipe, source, where, find_shape(recipe, start, variant), start, division)
        about = {"kind": "pretrain", "numbers": task.facts()}
        journal = Journal(folder, watch.log, about, writes=processes.first)
        run = Run(task, folder, where, division, journal=journal, resume_from=resume_from)
        watcher = Watcher(watch, probing, task.subject(run.kept_weights, run.paused), journal)
        stack.enter_context(journal.recorded())
        train(
            run,
            report=report,
            report_every=report_every,
            checkpoint_seconds=checkpoint_seconds,
            progress=progress,
            after_step=watcher.after_step if processes.first else None,
        )
        run.finish()
        return task.result()
