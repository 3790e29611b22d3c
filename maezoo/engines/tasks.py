"""What an engine computes: three ways through a model, each a module of tensors in and one tensor out."""

from collections.abc import Mapping
from typing import Literal, get_args

from torch import Tensor, nn

from maezoo.masks.draw import random_mask
from maezoo.masks.visible import visible_indices
from maezoo.model import MaskedAutoencoder

__all__ = ["TASKS", "Task", "example_inputs", "task_module"]

Task = Literal["features", "encode", "reconstruct"]
TASKS: tuple[Task, ...] = get_args(Task)

_RATIO = 0.75  # hidden in the masks that engines are tried on; they take any


class _Way(nn.Module):
    """One way through a model, whose weights it shares."""

    def __init__(self, model: MaskedAutoencoder) -> None:
        super().__init__()
        self.model = model


class _Features(_Way):
    """Whole images to tokens: (B, C, H, W) -> (B, 1 + N, D)."""

    def forward(self, images: Tensor) -> Tensor:
        return self.model.encode_tokens(images)


class _Encode(_Way):
    """Visible patches to tokens: (B, C, H, W), (B, K) -> (B, 1 + K, D)."""

    def forward(self, images: Tensor, visible: Tensor) -> Tensor:
        return self.model.encode_tokens(images, visible)


class _Reconstruct(_Way):
    """Visible patches to a prediction of all: (B, C, H, W), (B, K) -> (B, N, P*P*C)."""

    def forward(self, images: Tensor, visible: Tensor) -> Tensor:
        return self.model.predict_from(images, visible)


_MODULES: Mapping[Task, type[nn.Module]] = {"features": _Features, "encode": _Encode, "reconstruct": _Reconstruct}


def task_module(task: Task, model: MaskedAutoencoder) -> nn.Module:
    """Return one way through a model as a module of its own, in eval mode; the weights are shared.

    Example:
        >>> import torch
        >>> from maezoo.model import VARIANTS, build_mae
        >>> task_module("features", build_mae(VARIANTS["mae_vit_tiny"]))(torch.zeros(1, 3, 96, 96)).shape
        torch.Size([1, 145, 192])
    """
    return _MODULES[task](model).eval()


def example_inputs(task: Task, model: MaskedAutoencoder, images: Tensor) -> tuple[Tensor, ...]:
    """Return what a task's module takes for some images: the images, and the visible patches where it asks for them.

    Args:
        task: the task.
        model: gives the patch grid.
        images: (B, C, H, W), normalised.
    """
    if task == "features":
        return (images,)
    mask = random_mask(images.shape[0], model.grid_for(images), _RATIO, seed=0)
    return images, visible_indices(mask).to(images.device)
