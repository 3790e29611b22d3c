"""An exported file held against eager PyTorch, on photographs, before it is kept."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from maezoo.engines.trial import LIMITS
from maezoo.errors import EngineError
from maezoo.exporting.report import Comparison
from maezoo.exporting.runtimes import ExportedModel
from maezoo.exporting.settings import Settings
from maezoo.images.batches import normalise, prepare
from maezoo.images.preprocessing import Preprocessing
from maezoo.images.sample import SAMPLES, sample
from maezoo.masks.draw import random_mask
from maezoo.masks.visible import visible_indices
from maezoo.model import MaskedAutoencoder

__all__ = ["compare", "example_inputs"]

_RATIO = 0.75  # hidden in the masks of the check; a file takes any


def example_inputs(
    model: MaskedAutoencoder, settings: Settings, preprocess: Preprocessing, batch: int, size: tuple[int, int]
) -> tuple[Tensor, ...]:
    """Return photographs, and visible patches where the task takes them, as its module takes them."""
    images = _photographs(batch, replace(preprocess, size=size), model.in_chans)
    images = images.contiguous()  # compiled code takes the strides of the example for those of all inputs
    if settings.input == "normalised":
        images = normalise(images, preprocess)
    if settings.task not in ("encode", "reconstruct"):
        return (images,)
    grid = size[0] // model.patch_size, size[1] // model.patch_size
    return images, visible_indices(random_mask(batch, grid, _RATIO, seed=0))


def compare(
    opened: ExportedModel, reference: nn.Module, model: MaskedAutoencoder, settings: Settings, preprocess: Preprocessing
) -> tuple[Comparison, ...]:
    """Compare a file with its module in eager float32.

    Raises:
        EngineError: it is too far off; the message says how far.
    """
    found = []
    for batch, size in _cases(model, settings):
        inputs = example_inputs(model, settings, preprocess, batch, size)
        with torch.no_grad():
            wanted = reference(*inputs)
        outputs = opened(*(each.numpy() for each in inputs)).values()
        found.append(_comparison(batch, size, list(outputs), [each.numpy() for each in wanted]))
        _refuse_if_off(found[-1], settings)
    return tuple(found)


def other_size(model: MaskedAutoencoder) -> tuple[int, int]:
    """Return a size that is not the native one, and not square."""
    (h, w), P = model.grid_size, model.patch_size
    return (h + 2) * P, (w + 3) * P


def _cases(model: MaskedAutoencoder, settings: Settings) -> Iterator[tuple[int, tuple[int, int]]]:
    """Yield the batches and sizes of the check: two of each, where the file takes them."""
    batches = (1, 3) if settings.batch is None else (settings.batch,) * 2
    sizes = (model.img_size, other_size(model)) if settings.img_size is None else (settings.img_size,) * 2
    yield from dict.fromkeys([(batches[0], sizes[0]), (batches[1], sizes[0]), (batches[1], sizes[1])])


def _photographs(batch: int, preprocess: Preprocessing, channels: int) -> Tensor:
    """Return the package's photographs, (B, C, H, W) uint8, repeated as often as needed."""
    preprocess = replace(preprocess, kind="picture", bands=None, window="full")  # whatever the model takes
    pictures = [sample(SAMPLES[number % len(SAMPLES)]).convert("RGB") for number in range(batch)]
    if channels in (1, 3):
        return prepare(pictures, preprocess, channels)
    order = np.arange(channels) % 3
    return prepare([np.asarray(each)[:, :, order] for each in pictures], preprocess, channels)


def _comparison(batch: int, size: tuple[int, int], found: list[NDArray[Any]], wanted: list[NDArray[Any]]) -> Comparison:
    """Compare the outputs of one batch."""
    difference, relative, cosine = 0.0, 0.0, 1.0
    for ours, theirs in zip(found, wanted, strict=True):
        if ours.shape != theirs.shape or not np.isfinite(ours).all():
            raise EngineError(f"the file gives {ours.shape} or NaN where eager PyTorch gives {theirs.shape}.")
        apart = float(np.abs(ours - theirs).max())
        difference = max(difference, apart)
        relative = max(relative, apart / max(float(np.abs(theirs).max()), 1e-12))
        a, b = (torch.from_numpy(np.asarray(each, np.float64)).flatten(1) for each in (ours, theirs))
        cosine = min(cosine, float(torch.cosine_similarity(a, b).min()))
    return Comparison(batch, size, difference, relative, cosine)


def _refuse_if_off(found: Comparison, settings: Settings) -> None:
    """Refuse an output that is further away than engines may be."""
    limit = LIMITS[settings.precision]  # type: ignore[index]  # one of its words
    exact = settings.precision == "float32"
    if found.relative > limit if exact else found.cosine < limit:
        measured = (
            f"differs by {found.relative:.1e} of the largest value" if exact else f"has a cosine of {found.cosine:.4f}"
        )
        H, W = found.img_size
        raise EngineError(
            f"the {settings.format} file in {settings.precision} {measured} (batch {found.batch}, {H}x{W}), "
            f"{limit:g} is {'allowed' if exact else 'the least allowed'}; it was not kept.",
            expected=limit,
            found=found.relative if exact else found.cosine,
        )
