"""OptimizedMAE, what MAE.optimize() returns: the same methods on the engines that this machine runs fastest."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, cast

import torch
from torch import Tensor

from maezoo.api.mae import MAE
from maezoo.engines import PRECISIONS, TASKS, Plan, Precision, PreparedTask, Task, prepare_task
from maezoo.engines.eager import shared_copy
from maezoo.engines.machine import machine_name
from maezoo.errors import ArgumentError, FrozenModelError, WeightsNotFoundError
from maezoo.paths import cache_folder, state_folder

__all__ = ["OptimizedMAE", "optimize", "optimize_for"]

_DTYPES: Mapping[torch.dtype, Precision] = {
    torch.float32: "float32",
    torch.bfloat16: "bfloat16",
    torch.float16: "float16",
}

_FEW = 500  # images that are done before an engine is chosen


class OptimizedMAE(MAE):
    """A frozen masked autoencoder: same methods, same results, prepared for one machine. `MAE.optimize` makes it.

    It has the weights that the model had then: what becomes of that model later changes nothing here. Inputs of another
    size than the one it was prepared for, and tasks that it was not prepared for, run in eager PyTorch.

    A copy, and one that was pickled, is prepared anew where it is made: by the choices remembered there, or measured.

    Attributes:
        plan: what was tried, measured and chosen; `print` it.
    """

    def __init__(
        self, model: MAE, tasks: Mapping[Task, PreparedTask], plan: Plan, arguments: Mapping[str, Any]
    ) -> None:
        super().__init__(
            model.encoder, model.decoder, preprocess=model.preprocess, target=model.target, name=model.name
        )
        self.entry, self.license = model.entry, model.license
        self.load_report, self.dtype_reason = model.load_report, model.dtype_reason
        self.plan = plan
        self._tasks = dict(tasks)
        self._made_from = (model,), dict(arguments)  # in a tuple: its weights are counted once

    def __reduce__(self) -> tuple[Callable[..., "OptimizedMAE"], tuple[MAE, dict[str, Any]]]:
        """Pickle the weights and what was asked for: programs for a machine cannot be moved to another."""
        (model,), arguments = self._made_from
        return _prepare_again, (model, arguments)

    def encode_tokens(self, images: Tensor, visible: Tensor | None = None) -> Tensor:
        """Encode all patches, or the visible ones alone; see `MaskedAutoencoder.encode_tokens`. No gradients."""
        task = self._tasks.get("features" if visible is None else "encode")
        if task is None or not self._fits(images, visible):
            return super().encode_tokens(images, visible)
        return task(images) if visible is None else task(images, visible)

    def predict_from(self, images: Tensor, visible: Tensor) -> Tensor:
        """Predict every patch from the visible ones; see `MaskedAutoencoder.predict_from`. No gradients."""
        task = self._tasks.get("reconstruct")
        if task is None or not self._fits(images, visible):
            return super().predict_from(images, visible)
        return task(images, visible.to(images.device))

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

    def _fits(self, images: Tensor, visible: Tensor | None) -> bool:
        """Tell whether the engines were prepared for an input: its size, images at all, patches seen and hidden.

        A graph is traced for some hidden and some visible patches: with none of the one or the other it may not hold.
        """
        h, w = self.grid_for(images)
        some = visible is None or 2 <= visible.shape[1] < h * w
        return some and images.shape[0] > 0 and (images.shape[2], images.shape[3]) == self.img_size


def optimize(
    model: MAE,
    *,
    engine: str,
    precision: str | None,
    tasks: Sequence[str],
    batch_sizes: Sequence[int] | None,
    cache_dir: str | Path | None,
    progress: bool,
) -> OptimizedMAE:
    """Prepare a copy of a model for this machine; the arguments are those of `MAE.optimize`."""
    if isinstance(model, OptimizedMAE):
        raise ArgumentError("this model is optimised already; call optimize() on the model that it was made from.")
    wanted, asked = _check_tasks(tasks, model), _check_precision(precision, model)
    sizes = _check_batch_sizes(batch_sizes, model.device)
    return _prepare(
        copy.deepcopy(model).eval(),
        {"engine": engine, "precision": asked, "tasks": wanted, "batch_sizes": sizes, "cache_dir": cache_dir},
        progress,
    )


def _prepare(model: MAE, arguments: dict[str, Any], progress: bool) -> OptimizedMAE:
    """Prepare a model that nobody else changes; the arguments are checked."""
    sizes, precision = arguments["batch_sizes"], arguments["precision"]
    images = _sample_images(model, max(2, sizes[-1]))  # graphs are traced on two
    prepared: dict[Task, PreparedTask] = {}
    with _announced(progress) as advance:
        for task in arguments["tasks"]:
            prepared[task] = prepare_task(
                task,
                model,
                images,
                engine=arguments["engine"],
                precision=precision,
                batch_sizes=sizes,
                folder=_folder(arguments["cache_dir"]),
                advance=advance,
            )
    plan = Plan(
        precision=precision,
        machine=machine_name(model.device),
        tasks={task: each.plan for task, each in prepared.items()},
        remembered=all(each.remembered for each in prepared.values()),
    )
    return OptimizedMAE(model, prepared, plan, arguments).eval()


def _prepare_again(model: MAE, arguments: dict[str, Any]) -> OptimizedMAE:
    """Prepare a model that was copied or pickled."""
    return _prepare(model, arguments, progress=False)


def optimize_for(model: MAE, task: Task, images: int, *, batch_size: int, progress: bool = False) -> MAE:
    """Prepare a model as far as an amount of work pays for it.

    PyTorch's own engines alone are tried: they are ready in seconds, share the process's threads, and are within a few
    percent of the others. Who wants another runtime calls `MAE.optimize`.

    Args:
        model: the model.
        task: what the work is.
        images: how many there are.
        batch_size: how many come at a time.
        progress: show what is being done.

    Returns:
        The model itself for a few hundred images; else the model on the faster of PyTorch's engines.
    """
    if images < _FEW or isinstance(model, OptimizedMAE):
        return model
    sizes = sorted({min(batch_size, 8), batch_size})
    own = cast(MAE, shared_copy(model)).eval()  # the work is over before anybody trains on: no copy of the weights
    arguments = {"engine": "pytorch", "precision": _DTYPES[model.dtype], "tasks": _check_tasks((task,), model)}
    return _prepare(own, {**arguments, "batch_sizes": sizes, "cache_dir": None}, progress)


def _check_tasks(tasks: Sequence[str], model: MAE) -> list[Task]:
    """Return the tasks without repeats."""
    for task in tasks:
        if task not in TASKS:
            raise ArgumentError(f"tasks are of {', '.join(map(repr, TASKS))}; got {task!r}.")
        if task == "reconstruct":
            model.require_decoder()
    if not tasks:
        raise ArgumentError(f"name one task or more: {', '.join(map(repr, TASKS))}.")
    return [cast(Task, task) for task in dict.fromkeys(tasks)]


def _check_precision(precision: str | None, model: MAE) -> Precision:
    """Return the precision asked for, or that of the model's weights."""
    if precision is None:
        return _DTYPES[model.dtype]
    if precision not in PRECISIONS:
        raise ArgumentError.for_choice("precision", precision, [None, *PRECISIONS])
    return precision


def _check_batch_sizes(batch_sizes: Sequence[int] | None, device: torch.device) -> list[int]:
    """Return rising batch sizes; what pays on a GPU is larger."""
    if batch_sizes is None:
        return [1, 64, 256] if device.type == "cuda" else [1, 8, 32]
    if not batch_sizes or min(batch_sizes) < 1:
        raise ArgumentError(f"batch_sizes are numbers from 1; got {tuple(batch_sizes)}.")
    return sorted(set(batch_sizes))


def _sample_images(model: MAE, count: int) -> Tensor:
    """Return input to try engines on: the photographs of the demo, again and again; noise for other channel counts."""
    if model.in_chans != 3:
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


@contextmanager
def _announced(progress: bool) -> Iterator[Callable[[str], None]]:
    """Give a function that shows what is being done, on standard error."""
    if not progress:
        yield lambda step: None
        return
    from rich.console import Console

    with Console(stderr=True).status("optimising") as status:
        yield lambda step: status.update(f"optimising: {step}")
