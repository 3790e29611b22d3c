"""OptimizedMAE, what MAE.optimize() returns: the same methods on the engines that this machine runs fastest."""

import copy
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, cast

import torch
from torch import Tensor

from maezoo.api.image_methods import ImageMethods
from maezoo.api.saving import SavableModel
from maezoo.arguments import listed, whole_number
from maezoo.engines import PRECISIONS, TASKS, Plan, Precision, PreparedTask, Task, prepare_task
from maezoo.engines.eager import shared_copy
from maezoo.engines.machine import machine_name
from maezoo.errors import ArgumentError, FrozenModelError, WeightsNotFoundError
from maezoo.images.fields import takes_pictures
from maezoo.model import PatchedImages
from maezoo.paths import cache_folder, state_folder
from maezoo.progress import announce

__all__ = ["OptimizedMAE", "optimize", "optimize_for"]

_log = logging.getLogger(__name__)

_DTYPES: Mapping[torch.dtype, Precision] = {
    torch.float32: "float32",
    torch.bfloat16: "bfloat16",
    torch.float16: "float16",
}

_LARGEST_BATCH = 65_536  # that engines are timed on
_FEW = 500  # images that are done before an engine is chosen


class OptimizedMAE(SavableModel):
    """A frozen masked autoencoder: same methods, same results, prepared for one machine. `MAE.optimize` makes it.

    It keeps the weights that the model had at that time; later changes to the model do not affect it. Inputs of another
    size than the one it was prepared for, and tasks that it was not prepared for, run in eager PyTorch.

    Copying or unpickling it prepares the engines again on that machine, from its remembered choices or by measuring.

    Attributes:
        plan: what was tried, measured and chosen; `print` it.
    """

    def __init__(
        self, model: ImageMethods, tasks: Mapping[Task, PreparedTask], plan: Plan, arguments: Mapping[str, Any]
    ) -> None:
        super().__init__(
            model.encoder,
            model.decoder,
            preprocess=model.preprocess,
            target=model.target,
            name=model.name,
            facts=model.facts,
        )
        self.entry, self.license = model.entry, model.license
        self.load_report, self.dtype_reason = model.load_report, model.dtype_reason
        self.random_weights = model.random_weights
        self.plan = plan
        self._tasks = dict(tasks)
        self._made_from = (model,), dict(arguments)  # in a tuple, so that its weights are not registered twice

    def __repr__(self) -> str:
        """Say in one line what it is and which engines it runs on."""
        return f"{super().__repr__()}, {self.plan.in_words()}"

    def __reduce__(self) -> tuple[Callable[..., "OptimizedMAE"], tuple[ImageMethods, dict[str, Any]]]:
        """Pickle the weights and what was asked for: programs for a machine cannot be moved to another."""
        (model,), arguments = self._made_from
        return _prepare_again, (model, arguments)

    def encode_tokens(self, images: Tensor | PatchedImages, visible: Tensor | None = None) -> Tensor:
        """Encode all patches, or the visible ones alone; see `MaskedAutoencoder.encode_tokens`. No gradients."""
        task, batch = self._tasks.get("features" if visible is None else "encode"), self.on_grid(images)
        if task is None or not self._fits(batch, visible):
            return super().encode_tokens(batch, visible)
        return task(batch.images) if visible is None else task(batch.images, visible)

    def predict_from(self, images: Tensor | PatchedImages, visible: Tensor) -> Tensor:
        """Predict every patch from the visible ones; see `MaskedAutoencoder.predict_from`. No gradients."""
        task, batch = self._tasks.get("reconstruct"), self.on_grid(images)
        if task is None or not self._fits(batch, visible):
            return super().predict_from(batch, visible)
        return task(batch.images, visible.to(batch.images.device))

    def optimize(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse to be optimised again.

        Raises:
            ArgumentError: always.
        """
        raise ArgumentError("this model is optimised already; call optimize() on the model that it was made from.")

    def train(self, mode: bool = True) -> "OptimizedMAE":
        """Refuse training mode: the engines hold weights of their own.

        Raises:
            FrozenModelError: `mode` is True.
        """
        if mode:
            raise FrozenModelError("an optimised model is frozen; train the model that it was made from.")
        super().train(False)
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "OptimizedMAE":
        """Refuse to be moved or converted."""
        raise FrozenModelError(
            f"this model was optimised for {self.device} and {self.plan.precision}; "
            "move or convert the model it was made from, then optimise that."
        )

    def load_state_dict(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse other weights: the engines hold their own.

        Raises:
            FrozenModelError: always.
        """
        raise FrozenModelError("an optimised model is frozen; load into the model that it was made from.")

    def _fits(self, batch: PatchedImages, visible: Tensor | None) -> bool:
        """Tell whether the engines were prepared for an input: its size, images at all, patches seen and hidden.

        A graph is traced for some hidden and some visible patches: with none of the one or the other it may not hold.
        """
        h, w = batch.grid_size
        some = visible is None or 2 <= visible.shape[1] < h * w
        return some and batch.images.shape[0] > 0 and batch.grid_size == self.grid_size


def optimize(
    model: ImageMethods,
    *,
    engine: str = "auto",
    precision: str | None = None,
    tasks: Sequence[str] = ("features",),
    batch_sizes: Sequence[int] | None = None,
    cache_dir: str | Path | None = None,
    progress: bool = False,
) -> OptimizedMAE:
    """Prepare a copy of a model for this machine; the arguments are those of `MAE.optimize`."""
    wanted, asked = _check_tasks(tasks, model), _check_precision(precision, model)
    sizes = _check_batch_sizes(batch_sizes, model.device)
    return _prepare(
        copy.deepcopy(model).eval(),
        {"engine": engine, "precision": asked, "tasks": wanted, "batch_sizes": sizes, "cache_dir": cache_dir},
        progress,
    )


def _prepare(model: ImageMethods, arguments: dict[str, Any], progress: bool) -> OptimizedMAE:
    """Prepare a model that is not used elsewhere; the arguments are checked."""
    sizes, precision = arguments["batch_sizes"], arguments["precision"]
    images = _sample_images(model, max(2, sizes[-1]))  # graphs are traced on two
    prepared: dict[Task, PreparedTask] = {}
    folder = _folder(arguments["cache_dir"])
    with announce("optimising", show=progress) as advance:
        for task in arguments["tasks"]:
            prepared[task] = prepare_task(
                task,
                model,
                images,
                engine=arguments["engine"],
                precision=precision,
                batch_sizes=sizes,
                folder=folder,
                advance=advance,
            )
    if not all(each.kept for each in prepared.values()):
        _log.warning(
            "the choice of an engine cannot be kept in %s, so it is measured again the next time; pass "
            "optimize(cache_dir=…), or set HF_HOME, with a folder that can be written.",
            folder or "a cache of this user, who has no home folder",
        )
    plan = Plan(
        precision=precision,
        machine=machine_name(model.device),
        tasks={task: each.plan for task, each in prepared.items()},
        remembered=all(each.remembered for each in prepared.values()),
    )
    return OptimizedMAE(model, prepared, plan, arguments).eval()


def _prepare_again(model: ImageMethods, arguments: dict[str, Any]) -> OptimizedMAE:
    """Prepare a model that was copied or pickled."""
    return _prepare(model, arguments, progress=False)


def optimize_for(
    model: ImageMethods, task: Task, images: int, *, batch_size: int, progress: bool = False
) -> ImageMethods:
    """Prepare a model for an amount of work, if that saves time.

    PyTorch's own engines alone are tried: they are ready in seconds, share the process's threads, and are within a few
    percent of the others. For another runtime call `MAE.optimize`.

    Args:
        model: the model.
        task: what the work is.
        images: how many there are.
        batch_size: how many come at a time.
        progress: show what is being done.

    Returns:
        The model itself for a few hundred images; else the model on the faster of PyTorch's engines.
    """
    if images < _FEW or isinstance(model, OptimizedMAE) or model.dtype not in _DTYPES:
        return model
    sizes = sorted({min(batch_size, 8), batch_size})
    own = cast(ImageMethods, shared_copy(model)).eval()  # the model is not trained meanwhile: no copy of the weights
    arguments = {"engine": "pytorch", "precision": _DTYPES[model.dtype], "tasks": _check_tasks((task,), model)}
    return _prepare(own, {**arguments, "batch_sizes": sizes, "cache_dir": None}, progress)


def _check_tasks(tasks: Sequence[str], model: ImageMethods) -> list[Task]:
    """Return the tasks without repeats."""
    named = listed(tasks, "tasks", f"names among {', '.join(map(repr, TASKS))}")
    for task in named:
        if task not in TASKS:
            raise ArgumentError.for_choice("tasks", task, TASKS)
        if task == "reconstruct":
            model.require_decoder()
    return list(dict.fromkeys(named))


def _check_precision(precision: str | None, model: ImageMethods) -> Precision:
    """Return the precision asked for, or that of the model's weights."""
    if precision is None:
        if model.dtype not in _DTYPES:
            raise ArgumentError(f"the weights are in {model.dtype}; pass precision='float32', or convert them first.")
        return _DTYPES[model.dtype]
    if precision not in PRECISIONS:
        raise ArgumentError.for_choice("precision", precision, [None, *PRECISIONS])
    return precision


def _check_batch_sizes(batch_sizes: Sequence[int] | None, device: torch.device) -> list[int]:
    """Return rising batch sizes; what pays on a GPU is larger."""
    if batch_sizes is None:
        return [1, 64, 256] if device.type == "cuda" else [1, 8, 32]
    sizes = listed(batch_sizes, "batch_sizes", "numbers of images, such as (1, 8, 32)")
    return sorted({whole_number(size, "a batch size", 1, _LARGEST_BATCH) for size in sizes})


def _sample_images(model: ImageMethods, count: int) -> Tensor:
    """Return input to try engines on: the demo's photographs, repeated; noise for other inputs than RGB."""
    if model.in_chans != 3 or not takes_pictures(model.preprocess, 3):
        generator = torch.Generator(device="cpu").manual_seed(0)
        shape = (count, model.in_chans, *model.img_size)
        noise = torch.randn(shape, generator=generator, dtype=torch.float32, device="cpu")
        return noise.to(model.device, model.dtype)
    photographs = model.prepare(sorted((Path(__file__).parents[1] / "demo" / "samples").glob("*.jpg")))
    times = -(-count // len(photographs))
    return photographs.repeat(times, 1, 1, 1)[:count]


def _folder(cache_dir: str | Path | None) -> Path | None:
    """Return the folder of remembered choices; `None` where there is no place for one."""
    try:
        return (state_folder() if cache_dir is None else cache_folder(cache_dir)) / "engines"
    except WeightsNotFoundError:
        return None
