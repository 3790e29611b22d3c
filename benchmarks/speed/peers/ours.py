"""maezoo: as `create` makes it, and as `optimize` makes it."""

from typing import Any

import torch
from torch import Tensor

from benchmarks.speed.peers.training import trained
from benchmarks.speed.subject import Subject
from benchmarks.speed.tasks import Inputs, Precision, Task
from maezoo.api.mae import MAE

__all__ = ["created", "optimized"]


def created(subject: Subject, task: Task, precision: Precision) -> Any:
    """Call the model as it was created."""
    if task == "train":
        return _training(subject, precision)
    return _call(subject.model(subject.dtype(precision)), task)


def optimized(subject: Subject, task: Task, precision: Precision) -> Any:
    """Call the frozen model that `optimize` made for this machine."""
    return _call(subject.optimized(task, precision), task)


def _call(model: MAE, task: Task) -> Any:
    dtype = model.dtype

    def features(inputs: Inputs) -> Tensor:
        return model.encode_tokens(inputs.to(dtype).images)[:, 0]

    def encode(inputs: Inputs) -> Tensor:
        return model.encode_tokens(inputs.to(dtype).images, inputs.visible)

    def reconstruct(inputs: Inputs) -> Tensor:
        return model.predict(inputs.to(dtype).images, inputs.mask)

    return {"features": features, "encode": encode, "reconstruct": reconstruct}[task]


def _training(subject: Subject, precision: Precision) -> Any:
    """Take a step as `maezoo.training` takes it: AdamW fused, and in bfloat16 on the CPU plain attention."""
    model = subject.trainable()
    dtype = subject.dtype(precision)
    if subject.device.type == "cpu" and dtype == torch.bfloat16:
        for module in model.modules():
            if hasattr(module, "fused_attn"):
                module.fused_attn = False  # type: ignore[assignment]

    def loss(inputs: Inputs) -> Tensor:
        computed: Tensor = model(inputs.images, inputs.mask).loss
        return computed

    return trained(model, loss, dtype, fused=True)
