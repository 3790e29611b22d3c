"""A fine-tuned model as a user holds it: images in, names of classes and probabilities out."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import VisionTransformer
from torch import Tensor

from maezoo.checkpoints.folders import describe_folder
from maezoo.checkpoints.timm_config import head_facts
from maezoo.errors import DataError, WeightsNotFoundError
from maezoo.hardware import choose_device
from maezoo.images.batches import ImageLikes, batches
from maezoo.images.conversion import normalise
from maezoo.images.preprocessing import Preprocessing
from maezoo.paths import user_path

__all__ = ["Classifier", "Guess"]

_LOCAL = "local-dir:"


@dataclass(frozen=True)
class Guess:
    """One class that an image may be of.

    Attributes:
        label: the name of the class.
        probability: of it, from the softmax.
    """

    label: str
    probability: float


class Classifier:
    """A timm model with a head, its classes and how its images are prepared.

    Args:
        model: gives logits (B, classes).
        classes: their names, in the order of the logits.
        preprocess: how images are prepared.
        name: what it calls itself.

    Example:
        >>> vit = timm.create_model("mae_vit_tiny", num_classes=2)
        >>> classifier = Classifier(vit, ("cat", "dog"), Preprocessing(size=(96, 96)))
        >>> sorted(guess.label for guess in classifier.classify("tests/data/photos/astronaut.jpg")[0])
        ['cat', 'dog']
    """

    def __init__(
        self, model: VisionTransformer, classes: tuple[str, ...], preprocess: Preprocessing, name: str = ""
    ) -> None:
        self.model, self.classes, self.preprocess, self.name = model.eval(), classes, preprocess, name

    @classmethod
    def load(cls, folder: str | Path, *, device: str | torch.device = "auto") -> "Classifier":
        """Load a folder that `maezoo finetune` wrote, or any of timm's plain ViTs with a head.

        Args:
            folder: its path, with or without `local-dir:` before it.
            device: `"auto"` is CUDA where there is one, else the CPU.

        Raises:
            WeightsNotFoundError: there is no such folder, or no model in it.
            DataError: the model there has no head.
        """
        place = user_path(str(folder).removeprefix(_LOCAL))
        described = describe_folder(place) if place.is_dir() else None
        if described is None or described.preprocess is None:
            raise WeightsNotFoundError(
                f"{place} has no config.json of a classifier; name the folder that `maezoo finetune` wrote.",
                path=place,
                command="maezoo finetune",
            )
        model: Any = timm.create_model(f"{_LOCAL}{place}", pretrained=True)
        if model.num_classes < 1:
            raise DataError.about(place, "holds an encoder without a head; `maezoo finetune` gives it one.")
        names = head_facts(place).get("label_names") or [str(number) for number in range(model.num_classes)]
        return cls(model.to(choose_device(device)), tuple(map(str, names)), described.preprocess, place.name)

    def __repr__(self) -> str:
        H, W = self.preprocess.size
        return f"Classifier({self.name!r}, {len(self.classes)} classes, {H}x{W} pixels, on {self.device})"

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    @property
    def in_chans(self) -> int:
        """Channels of the input."""
        return int(self.model.patch_embed.proj.in_channels)

    def probabilities(self, images: ImageLikes, *, batch_size: int = 32) -> Tensor:
        """Return the probability of each class: (B, classes) float32 on the model's device.

        Args:
            images: image-likes, as `MAE.features` takes them.
            batch_size: images at a time.

        Raises:
            ImageError: an image cannot be read; the message says which and why.
        """
        return torch.cat(list(self._batches(images, batch_size)))

    def classify(self, images: ImageLikes, *, top: int = 5, batch_size: int = 32) -> list[list[Guess]]:
        """Return the likeliest classes of each image, the likeliest first.

        Args:
            images: image-likes, as `MAE.features` takes them; one alone gives a list of one.
            top: classes for each, at most.
            batch_size: images at a time.

        Raises:
            ImageError: an image cannot be read; the message says which and why.
        """
        values, indices = self.probabilities(images, batch_size=batch_size).topk(min(top, len(self.classes)), dim=1)
        return [
            [Guess(self.classes[index], value) for value, index in zip(row, numbers, strict=True)]
            for row, numbers in zip(values.tolist(), indices.tolist(), strict=True)
        ]

    def _batches(self, images: ImageLikes, batch_size: int) -> Iterator[Tensor]:
        with torch.inference_mode():
            for pixels in batches(images, self.preprocess, self.in_chans, batch_size):
                here = pixels.to(self.device)
                given = normalise(here, self.preprocess) if here.dtype == torch.uint8 else here
                yield self.model(given.float()).float().softmax(dim=1)
