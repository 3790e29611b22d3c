"""The weights that all contestants run, in every form that they need: made once, at their first use."""

import copy
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import maezoo
from benchmarks.speed.tasks import Inputs, Precision, Task
from maezoo.api.mae import MAE
from maezoo.checkpoints.convert import convert
from maezoo.checkpoints.metadata import WeightsMetadata
from maezoo.checkpoints.save import save_model
from maezoo.hardware import choose_dtype
from maezoo.images.preprocessing import Preprocessing
from maezoo.model import Variant, find_variant

__all__ = ["NotOffered", "Subject"]


class NotOffered(Exception):  # noqa: N818 (an answer, no error)
    """This contestant has nothing to offer for a task here; the text says why."""


class Subject:
    """One architecture with random weights on one device.

    Args:
        name: an architecture.
        device: where it runs.
        batches_of: tells the batch sizes that it will be run with in a task.
        folder: for files that are made on the way.
        say: takes lines about what takes long.
    """

    def __init__(
        self,
        name: str,
        device: torch.device,
        batches_of: Callable[[Task], tuple[int, ...]],
        folder: Path,
        say: Callable[[str], None],
    ) -> None:
        self.name, self.device, self.batches_of, self.folder, self.say = name, device, batches_of, folder, say
        self.variant: Variant = find_variant(name)
        self.plans: dict[str, dict[str, Any]] = {}
        self._models: dict[torch.dtype, MAE] = {}
        self._references: dict[tuple[Task, int], Tensor] = {}

    def dtype(self, precision: Precision) -> torch.dtype:
        """Return the number format of the weights; int8 is made of float32, "default" is what `dtype="auto"` gives."""
        if precision == "default":
            return choose_dtype(self.device).dtype
        return torch.bfloat16 if precision == "bfloat16" else torch.float32

    def model(self, dtype: torch.dtype = torch.float32) -> MAE:
        """Return the model as `create` makes it."""
        if dtype not in self._models:
            torch.manual_seed(0)
            model = maezoo.create(self.name, device=self.device, dtype=dtype)
            if dtype != torch.float32:
                model.load_state_dict(self.model().state_dict())
            self._models[dtype] = model.requires_grad_(False)
        return self._models[dtype]

    def optimized(self, task: Task, precision: Precision) -> Any:
        """Return the model as `optimize` makes it for a task.

        Raises:
            NotOffered: there is no such method in this maezoo.
        """
        model: Any = self.model(self.dtype(precision))
        if not hasattr(model, "optimize"):
            raise NotOffered("this maezoo has no optimize()")
        batches = self.batches_of(task)
        self.say(f"optimize() for {task} in {precision}, batches {', '.join(map(str, batches))}")
        start = time.perf_counter()
        fast = model.optimize(
            precision="int8" if precision == "int8" else None,
            tasks=(task,),
            batch_sizes=batches,
            cache_dir=self.folder / "choices",
        )
        seconds = round(time.perf_counter() - start, 1)
        self.plans[f"{task} {precision}"] = {"seconds": seconds, "plan": str(fast.plan).splitlines()}
        return fast

    def reference(self, task: Task, inputs: Inputs) -> Tensor:
        """Return the float32 output that all are compared with: that of the model as created."""
        key = task, len(inputs.images)
        if key not in self._references:
            self._references[key] = self._compute(task, inputs)
        return self._references[key]

    def _compute(self, task: Task, inputs: Inputs) -> Tensor:
        model = self.model()
        with torch.no_grad():
            if task == "features":
                return model.encode_tokens(inputs.images)[:, 0]
            if task == "encode":
                return model.encode_tokens(inputs.images, inputs.visible)
            if task == "reconstruct":
                return model.predict(inputs.images, inputs.mask)
            loss: Tensor = model(inputs.images, inputs.mask).loss
        return loss

    def trainable(self) -> MAE:
        """Return a copy of its own to train."""
        model = copy.deepcopy(self.model()).requires_grad_(True).train()
        for positions in (model.pos_embed, model.require_decoder().pos_embed):
            positions.requires_grad_(False)
        return model

    @property
    def transformers_folder(self) -> Path:
        """The weights as transformers reads them."""
        folder = self.folder / "transformers"
        if not folder.exists():
            ours = self.folder / "ours.safetensors"
            size = (self.variant.img_size,) * 2
            metadata = WeightsMetadata(self.variant, "pixel", Preprocessing(size=size), ("encoder", "decoder"))
            save_model(self.model(), ours, metadata=metadata)
            convert(ours, folder, to="transformers")
        return folder

    def onnx(self, task: Task) -> Path:
        """Return the float32 model of a task as an ONNX file with any batch size.

        Raises:
            NotOffered: the exporter is not installed.
        """
        path = self.folder / f"onnx-{task}" / "model.onnx"
        if not path.exists():
            self.say(f"exporting {task} to ONNX")
            partial = path.parent.with_suffix(".partial")
            partial.mkdir(exist_ok=True)
            _export(_Exported(self.model(), task), Inputs.make(self.variant, 2, self.device), task, partial)
            partial.replace(path.parent)
        return path

    def forget(self) -> None:
        """Free the models in other number formats than float32."""
        for dtype in set(self._models) - {torch.float32}:
            del self._models[dtype]


class _Exported(nn.Module):
    """A task as a module of tensors alone."""

    def __init__(self, model: MAE, task: Task) -> None:
        super().__init__()
        self.model, self.task = model, task

    def forward(self, images: Tensor, visible: Tensor | None = None) -> Tensor:
        tokens = self.model.encode_tokens(images, visible)
        if self.task == "features":
            return tokens[:, 0]
        if self.task == "encode" or visible is None:
            return tokens
        prediction: Tensor = self.model.require_decoder()(tokens, visible, self.model.grid_size)
        return prediction


def _export(module: _Exported, inputs: Inputs, task: Task, folder: Path) -> None:
    """Write a module as ONNX, its first axis free."""
    free = {0: torch.export.Dim.DYNAMIC}
    arguments = (inputs.images,) if task == "features" else (inputs.images, inputs.visible)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            arguments,
            folder / "model.onnx",
            dynamo=True,
            external_data=True,
            verbose=False,
            input_names=["images", "visible"][: len(arguments)],
            output_names=["output"],
            dynamic_shapes=(free,) * len(arguments),
        )
