"""The task of fine-tuning: a classifier that learns from augmented views of labelled images."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from timm.data import create_transform, mixup, random_erasing
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from maezoo.api.mae import MAE
from maezoo.images.conversion import normalise
from maezoo.images.preprocessing import Preprocessing
from maezoo.interrupts import shielding_children
from maezoo.training.finetuning.draws import drawn_from, step_seeds
from maezoo.training.finetuning.model import ClassifierModel, fingerprint
from maezoo.training.finetuning.optimizer import finetuning_optimizers
from maezoo.training.finetuning.recipe import FinetuneRecipe
from maezoo.training.finetuning.schedule import FinetuneSchedule
from maezoo.training.finetuning.workers import leave_signals_to_the_parent
from maezoo.training.optimizers import Optimizers
from maezoo.training.sources.labelled import LabelledImages
from maezoo.training.sources.views import draw_indices
from maezoo.training.task import Schedule

__all__ = ["Finetuning"]

_GREY = (0.299, 0.587, 0.114)  # as Pillow converts to grey


class _Ticket(NamedTuple):
    """Which image a view shows, and the seed of its augmentations."""

    image: int
    seed: int


class _Batch(NamedTuple):
    """Views (B, 3, H, W) uint8, their classes (B,), and images that could not be read."""

    pixels: Tensor
    targets: Tensor
    unreadable: dict[str, str]
    error: OSError | None = None


class Finetuning:
    """A classifier that learns, and the batches that it learns from; see `Task`.

    Args:
        mae: the pretrained encoder; not changed.
        images: to learn from.
        recipe: the numbers of the run.
        device: where to train.
        workers: processes that decode and augment; 0 for none.
    """

    def __init__(
        self, mae: MAE, images: LabelledImages, recipe: FinetuneRecipe, device: torch.device, workers: int = 0
    ) -> None:
        self.recipe, self.images, self.device, self.workers = recipe, images, device, workers
        self.in_chans, self.preprocess = mae.in_chans, _preprocess(mae, recipe)
        self.model = ClassifierModel(mae, len(images.classes), recipe)
        self.schedule: Schedule = FinetuneSchedule(recipe, len(images))
        self.objective: nn.Module = _Objective(self.model.vit, recipe.smoothing).to(device).train()
        self.optimizers: Optimizers = finetuning_optimizers(self.model.vit, recipe, self.schedule)
        self.mixup = _mixup(recipe, len(images.classes))
        self.erasing = _erasing(recipe, device)
        own = {"model": mae.name, "weights": fingerprint(mae), "classes": list(images.classes)}
        self._facts: dict[str, Any] = {**own, "images": images.fingerprint()}

    def facts(self) -> dict[str, Any]:
        """Return the recipe, the weights, the classes and which images they are, as plain data."""
        return {**self._facts, **self.recipe.to_dict()}

    def begin(self) -> None:
        """Do nothing: the pretrained weights are there."""

    def drawing(self, step: int) -> AbstractContextManager[object]:
        """Seed what drop path draws in a step."""
        return drawn_from(self._seeds(step)[-1], self.device)

    def batches(self, start: int) -> Iterator[tuple[Tensor, ...]]:
        """Yield images (B, C, H, W) and targets, (B,) classes or (B, classes) shares, from a step on."""
        loader = DataLoader(
            _Views(self.images, self.recipe, self.preprocess),
            batch_sampler=_Sampler(self.recipe, len(self.images), range(start, self.schedule.steps)),
            collate_fn=_collate,
            num_workers=self.workers,
            multiprocessing_context="spawn" if self.workers else None,
            worker_init_fn=leave_signals_to_the_parent if self.workers else None,
            generator=torch.Generator(device="cpu"),  # else it draws from the caller's
            pin_memory=self.device.type == "cuda",
        )
        with shielding_children():
            loaded = iter(loader)
        for step, batch in enumerate(loaded, start):
            for name, why in batch.unreadable.items():
                self.images.leave_out(name, why)
            if batch.error is not None:
                raise batch.error
            with drawn_from(self._seeds(step)[-2], self.device):
                prepared = self._prepared(batch)
            yield prepared

    def count(self, batch: tuple[Tensor, ...]) -> int:
        """Return the number of views."""
        return len(batch[0])

    def _prepared(self, batch: _Batch) -> tuple[Tensor, Tensor]:
        """Normalise a batch on the device, and erase and mix."""
        pixels, targets = (each.to(self.device, non_blocking=True) for each in (batch.pixels, batch.targets))
        if self.in_chans == 1:
            grey = torch.tensor(_GREY, dtype=torch.float32, device=self.device).view(1, 3, 1, 1)
            pixels = (pixels * grey).sum(dim=1, keepdim=True).round().to(torch.uint8)  # (B, 1, H, W)
        images = normalise(pixels, self.preprocess)
        if self.erasing is not None:
            images = self.erasing(images)
        if self.mixup is not None:
            images, targets = self.mixup(images, targets)
        return images, targets

    def _seeds(self, step: int) -> list[int]:
        return _seeds_of(self.recipe, step)


class _Sampler:
    """The tickets of each step, made when they are asked for."""

    def __init__(self, recipe: FinetuneRecipe, images: int, steps: range) -> None:
        self.recipe, self.images, self.steps = recipe, images, steps

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[list[_Ticket]]:
        for step in self.steps:
            indices = draw_indices(self.images, self.recipe.batch_size, step, self.recipe.seed).tolist()
            yield [_Ticket(*each) for each in zip(indices, _seeds_of(self.recipe, step), strict=False)]


def _seeds_of(recipe: FinetuneRecipe, step: int) -> list[int]:
    """Return the seeds of a step: of each view, of what mixes them, of the forward pass."""
    return step_seeds(recipe.batch_size + 2, step, recipe.seed)


class _Objective(nn.Module):
    """The loss of a classifier, whatever mixes its targets."""

    def __init__(self, vit: nn.Module, smoothing: float) -> None:
        super().__init__()
        self.vit, self.smoothing = vit, smoothing

    def forward(self, images: Tensor, targets: Tensor) -> Tensor:
        """Return the cross-entropy, a scalar; mixed targets are smoothed already."""
        smoothing = 0.0 if targets.is_floating_point() else self.smoothing
        return F.cross_entropy(self.vit(images).float(), targets, label_smoothing=smoothing)


class _Views(Dataset[tuple[Tensor, int, dict[str, str]]]):
    """Augmented views of images, by ticket; the same ticket gives the same view in any process."""

    def __init__(self, images: LabelledImages, recipe: FinetuneRecipe, preprocess: Preprocessing) -> None:
        self.images, self.size = images, max(preprocess.size)
        mean = preprocess.mean[:3] if len(preprocess.mean) >= 3 else preprocess.mean * 3
        settings: dict[str, Any] = {
            "use_prefetcher": True,  # uint8; normalised and erased on the device
            "scale": recipe.crop,
            "color_jitter": None,
            "auto_augment": recipe.augment or None,
            "interpolation": "bicubic",
            "mean": mean,
        }
        self.transform: Any = create_transform((3, *preprocess.size), is_training=True, **settings)

    def __getitem__(self, ticket: _Ticket) -> Any:
        """Return a view (3, H, W) uint8, its class, and images that were left out; or the error that came."""
        before = set(self.images.unreadable)
        try:
            index, picture = self._readable(ticket.image)
        except OSError as error:
            return error
        with drawn_from(ticket.seed):
            pixels = torch.as_tensor(self.transform(picture))
        found = {name: why for name, why in self.images.unreadable.items() if name not in before}
        return pixels, self.images.targets[index], found

    def _readable(self, index: int) -> tuple[int, Any]:
        """Return an image, or in place of one that cannot be read the next that can."""
        for attempt in range(len(self.images)):
            at = (index + attempt) % len(self.images)
            picture = self.images.picture(at, self.size)
            if picture is not None:
                return at, picture
        raise OSError(f"none of the {len(self.images)} images of {self.images.source} can be read")


def _collate(views: list[Any]) -> _Batch:
    """Join views to a batch."""
    for view in views:
        if isinstance(view, OSError):
            return _Batch(torch.empty(0), torch.empty(0), {}, view)
    unreadable = {name: why for _, _, found in views for name, why in found.items()}
    targets = torch.tensor([target for _, target, _ in views], dtype=torch.int64, device="cpu")
    return _Batch(torch.stack([pixels for pixels, _, _ in views]), targets, unreadable)


def _mixup(recipe: FinetuneRecipe, classes: int) -> Any:
    """Return timm's mixup and CutMix; `None` where nothing is mixed."""
    if not recipe.mixes:
        return None
    make: Any = mixup.Mixup
    return make(
        mixup_alpha=recipe.mixup,
        cutmix_alpha=recipe.cutmix,
        prob=1.0,
        switch_prob=0.5,
        mode="batch",
        label_smoothing=recipe.smoothing,
        num_classes=classes,
    )


def _erasing(recipe: FinetuneRecipe, device: torch.device) -> Any:
    """Return timm's random erasing; `None` where nothing is erased."""
    make: Any = random_erasing.RandomErasing
    return make(recipe.erase, mode="pixel", max_count=1, device=device) if recipe.erase else None


def _preprocess(mae: MAE, recipe: FinetuneRecipe) -> Preprocessing:
    """Return how test images are prepared: cut from the centre as the views are cut at random, whole sides kept."""
    known = mae.preprocess
    window = recipe.window or known.window
    return replace(
        known, size=mae.img_size, resize="crop", crop_pct=recipe.crop_pct, interpolation="bicubic", window=window
    )
