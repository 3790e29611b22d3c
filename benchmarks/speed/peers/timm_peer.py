"""timm's VisionTransformer, eager and compiled."""

from typing import Any

import torch
from timm.models import VisionTransformer
from torch import Tensor

from benchmarks.speed.subject import NotOffered, Subject
from benchmarks.speed.tasks import Inputs, Precision, Task

__all__ = ["compiled", "eager"]

LARGEST = 8


def eager(subject: Subject, task: Task, precision: Precision) -> Any:
    """Call timm's own forward: the class token after the final norm."""
    dtype = subject.dtype(precision) if precision == "bfloat16" else torch.float32
    model = _build(subject, dtype)

    def features(inputs: Inputs) -> Tensor:
        vectors: Tensor = model(inputs.to(dtype).images)
        return vectors

    return features


def compiled(subject: Subject, task: Task, precision: Precision) -> Any:
    """Call the same module through `torch.compile`, its weights frozen into the program."""
    dtype = subject.dtype(precision)
    mode = "max-autotune-no-cudagraphs" if subject.device.type == "cuda" else None
    run: Any = torch.compile(_build(subject, dtype), dynamic=False, mode=mode)
    seen: set[int] = set()

    def features(inputs: Inputs) -> Tensor:
        size = len(inputs.images)
        if size > LARGEST and not inputs.images.is_cuda:
            raise NotOffered(f"not compiled for batches above {LARGEST} on a CPU: each takes a minute")
        if size not in seen:
            subject.say(f"compiling for batch {size}")
            with _freezing():
                run(inputs.to(dtype).images)
            seen.add(size)
        vectors: Tensor = run(inputs.to(dtype).images)
        return vectors

    return features


def _freezing() -> Any:
    """Make inductor fold the weights in while a graph is compiled."""
    import torch._inductor.config

    settings: Any = torch._inductor.config
    return settings.patch(freezing=True)


def _build(subject: Subject, dtype: torch.dtype) -> VisionTransformer:
    """Make timm's encoder of this size around the very tensors of ours."""
    variant = subject.variant
    with torch.device("meta"):
        model = VisionTransformer(
            img_size=variant.img_size,
            patch_size=variant.patch_size,
            embed_dim=variant.embed_dim,
            depth=variant.depth,
            num_heads=variant.num_heads,
            num_classes=0,
            weight_init="skip",
        )
    weights = subject.model(dtype).encoder.state_dict()
    model.load_state_dict(weights, assign=True)
    return model.eval().requires_grad_(False)
