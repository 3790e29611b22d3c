"""A run so small that a step takes no time, and images for it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from maezoo.model import MaskedAutoencoder, find_variant
from maezoo.training import Recipe, pretrain
from maezoo.training.sources.views import Crops

SMALL = replace(find_variant("mae_vit_tiny"), img_size=32, depth=1, embed_dim=48, decoder_depth=1, decoder_dim=48)
RECIPE = Recipe(views=40, batch_size=4, optimizer="adamw", precision="float32")  # ten steps


class Noise:
    """Noise as images; from a batch on, something else may happen."""

    def __init__(self, from_batch: int = 10**9, then: Callable[[Tensor], Any] = lambda images: None) -> None:
        self.left, self.then = from_batch, then

    def __len__(self) -> int:
        return 8

    def views(self, indices: Tensor, crops: Crops, size: int) -> Tensor:
        images = torch.rand(len(indices), 3, size, size, generator=torch.Generator().manual_seed(int(indices[0])))
        self.left -= 1
        if self.left < 0:
            self.then(images)
        return images

    def describe(self) -> str:
        return "noise"


def train(out: Path, recipe: Recipe = RECIPE, source: Noise | None = None, **settings: Any) -> MaskedAutoencoder:
    options: dict[str, Any] = {"variant": SMALL, "device": "cpu", "report_every": 1, **settings}
    return pretrain(recipe, source or Noise(), out, **options)


def same(a: MaskedAutoencoder, b: MaskedAutoencoder) -> bool:
    return all(torch.equal(x, b.state_dict()[name]) for name, x in a.state_dict().items())


@pytest.fixture
def sets(coloured: Callable[..., Path]) -> tuple[Path, Path]:
    """Labelled pictures to fit on and others to test."""
    return coloured("fit", 12), coloured("test", 6)
