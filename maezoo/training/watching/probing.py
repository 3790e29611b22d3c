"""Probes during a run: kNN and linear probe on the features, and the loss on held-out images."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from maezoo.api.mae import MAE
from maezoo.errors import ArgumentError, DataError, MissingExtraError
from maezoo.evaluation import knn, linear
from maezoo.images.conversion import normalise
from maezoo.masks.draw import random_mask
from maezoo.training.sources.labelled import LabelledImages
from maezoo.training.sources.labels import open_labelled
from maezoo.training.watching.records import Record

__all__ = ["Probing", "open_probe"]

_KEPT = 2**30  # bytes of prepared images that are kept in memory
_AT_ONCE = 64


@dataclass(frozen=True)
class _Batch:
    """Prepared images (b, C, H, W) uint8, and their classes (b,)."""

    pixels: Tensor
    targets: NDArray[np.int64]


class Probing:
    """Labelled images on which the weights are judged every so often.

    Args:
        train: images that vote, and that the probe is fitted on.
        test: images to predict; the loss is that on them.
    """

    def __init__(self, train: LabelledImages, test: LabelledImages) -> None:
        self.train, self.test = train, test
        self._kept: dict[str, list[_Batch]] = {}

    def measure(self, model: MAE, mask_ratio: float) -> Record:
        """Judge a model; the masks of the loss are the same each time.

        Raises:
            DataError: no image of a set can be read.
        """
        began = time.monotonic()
        train, test = self._features(model, "train"), self._features(model, "test")
        neighbours, probe = knn(train, test, overlap="keep"), linear(train, test, overlap="keep")
        found: Record = {"probe_knn": neighbours.accuracy, "probe_linear": probe.accuracy}
        if model.decoder is not None:
            found["probe_loss"] = self._loss(model, mask_ratio)
        return {**found, "probe_images": neighbours.total, "probe_seconds": round(time.monotonic() - began, 3)}

    def pixels(self, model: MAE, count: int) -> Tensor:
        """Return some test images, evenly spaced, as (count, C, H, W) normalised pixels."""
        batches = list(self._batches(model, "test"))
        pixels = torch.cat([batch.pixels for batch in batches])
        chosen = torch.linspace(0, len(pixels) - 1, min(count, len(pixels)), device="cpu").round().long()
        return normalise(pixels[chosen], model.preprocess)

    @torch.inference_mode()
    def _features(self, model: MAE, name: str) -> tuple[NDArray[np.float32], list[str]]:
        vectors, targets = list[Tensor](), list[NDArray[np.int64]]()
        for batch in self._batches(model, name):
            images = normalise(batch.pixels.to(model.device), model.preprocess)
            vectors.append(model.features(images, batch_size=_AT_ONCE).float().cpu())
            targets.append(batch.targets)
        classes = self.train.classes
        return torch.cat(vectors).numpy(), [classes[target] for target in np.concatenate(targets)]

    @torch.inference_mode()
    def _loss(self, model: MAE, mask_ratio: float) -> float:
        generator, total, images = torch.Generator(device="cpu").manual_seed(0), 0.0, 0
        for batch in self._batches(model, "test"):
            size = len(batch.pixels)
            mask = random_mask(size, model.grid_size, mask_ratio, generator=generator)
            total += model(normalise(batch.pixels.to(model.device), model.preprocess), mask).loss.item() * size
            images += size
        return total / images

    def _batches(self, model: MAE, name: str) -> Iterator[_Batch]:
        """Yield the images of a set; they are decoded once where there is room for them."""
        if name in self._kept:
            yield from self._kept[name]
            return
        images: LabelledImages = getattr(self, name)
        targets = np.array(images.targets)
        room = _KEPT // 2 // max(1, len(images))
        kept, read = list[_Batch](), 0
        for pixels, numbers in images.inputs(model.preprocess, model.in_chans, _AT_ONCE):
            batch = _Batch(pixels, targets[numbers.numpy()])
            if pixels[0].nbytes <= room:
                kept.append(batch)
            read += len(pixels)
            yield batch
        if not read:
            raise DataError(f"none of the {len(images)} images of {images.source} can be read.", path=images.source)
        if kept:
            self._kept[name] = kept


def open_probe(train: str | Path, test: str | Path) -> Probing:
    """Open the labelled images of a probe, before any work is done.

    Args:
        train: a folder of class folders, tar shards with `.cls` members, or a `.csv` with `path` and `label`.
        test: another such source, with the same classes or some of them.

    Raises:
        ArgumentError: both are the same source.
        DataError: nothing there, no labels, one class only, or a test class that training does not have.
        MissingExtraError: scikit-learn is not installed.
    """
    if str(train) == str(test):
        raise ArgumentError(f"--probe takes images to fit on and other ones to test; both are {train}.", found=test)
    try:
        import sklearn  # noqa: F401 - the linear probe's
    except ImportError as error:
        raise MissingExtraError.for_extra("eval", "--probe") from error
    return Probing(*open_labelled(train, test))
