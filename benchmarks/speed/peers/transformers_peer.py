"""transformers' ViTMAE, read from a folder in its own layout."""

import importlib
from typing import Any

import torch
from torch import Tensor

from benchmarks.speed.peers.training import trained
from benchmarks.speed.subject import Subject
from benchmarks.speed.tasks import MASK_RATIO, Inputs, Precision, Task

__all__ = ["eager", "fused"]


def eager(subject: Subject, task: Task, precision: Precision) -> Any:
    """Call the forward that fits the task; the noise makes it draw our mask."""
    dtype = subject.dtype(precision) if precision == "bfloat16" else torch.float32
    if task == "train":
        return _training(subject, dtype, fused=False)
    if task == "reconstruct":
        whole = _load("ViTMAEForPreTraining", subject, MASK_RATIO).to(dtype)

        def reconstruct(inputs: Inputs) -> Tensor:
            prediction: Tensor = whole(inputs.to(dtype).images, noise=inputs.noise).logits
            return prediction

        return reconstruct
    model = _load("ViTMAEModel", subject, 0.0 if task == "features" else MASK_RATIO).to(dtype)

    def encode(inputs: Inputs) -> Tensor:
        tokens: Tensor = model(inputs.to(dtype).images, noise=inputs.noise).last_hidden_state
        return tokens[:, 0] if task == "features" else tokens

    return encode


def fused(subject: Subject, task: Task, precision: Precision) -> Any:
    """Train with the optimizer that maezoo trains with."""
    return _training(subject, subject.dtype(precision), fused=True)


def _training(subject: Subject, dtype: torch.dtype, *, fused: bool) -> Any:
    model = _load("ViTMAEForPreTraining", subject, MASK_RATIO).train()

    def loss(inputs: Inputs) -> Tensor:
        computed: Tensor = model(inputs.images, noise=inputs.noise).loss
        return computed

    return trained(model, loss, dtype, fused=fused)


def _load(kind: str, subject: Subject, ratio: float) -> Any:
    """Read one of its classes."""
    transformers: Any = importlib.import_module("transformers")
    transformers.logging.set_verbosity_error()  # the encoder's class says that it leaves the decoder out
    transformers.logging.disable_progress_bar()
    found: Any = getattr(transformers, kind)
    model = found.from_pretrained(subject.transformers_folder, mask_ratio=ratio)
    return model.to(subject.device).eval()
