"""Settings that a caller has made for the whole process change nothing of what is computed, and are not changed."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import maezoo
from maezoo.api.whole_image import complementary_masks
from maezoo.evaluation import LabelledFeatures, knn, linear
from maezoo.evaluation.fillers import nearest_fill
from maezoo.figures import class_attention, patch_components
from maezoo.model import sincos_positions
from maezoo.training.sources.views import crop_batch, draw_crops, draw_indices, step_generator

PIXELS = torch.randint(0, 256, (2, 3, 96, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
HALF = (torch.arange(144) % 2 == 0).expand(2, -1)
POINTS, OTHERS = (
    LabelledFeatures(np.random.default_rng(seed).normal(size=(40, 8)).astype(np.float32), np.array(list("abcd" * 10)))
    for seed in (0, 1)
)


def random_weights() -> Tensor:
    torch.manual_seed(7)
    model = maezoo.create("mae_vit_tiny", device="cpu")
    return torch.cat([tensor.flatten() for tensor in model.state_dict().values()])


def all_of(model: maezoo.MAE, photos: list[Path]) -> dict[str, Callable[[], Tensor]]:
    """What makes tensors, by name."""
    crops = draw_crops(2, (0.2, 1.0), (0.75, 1.33), step_generator(0, 1))
    return {
        "random": lambda: maezoo.random_mask(3, (7, 9), seed=1),
        "block": lambda: maezoo.block_mask(3, (7, 9), seed=1),
        "grid": lambda: maezoo.grid_mask(3, (7, 9)),
        "cells": lambda: maezoo.cell_mask(3, (7, 9), seed=1),
        "pixels": lambda: maezoo.mask_from_pixels(PIXELS[:, 0] > 200, 8, threshold=0.2),
        "complementary": lambda: complementary_masks((12, 12), seed=1),
        "features": lambda: model.features(photos),
        "tensor": lambda: model.features(PIXELS),
        "encode": lambda: model.encode(PIXELS, mask=HALF),
        "error": lambda: model.reconstruct(photos, seed=1).error,
        "pasted": lambda: model.reconstruct(photos, seed=1).pixels,
        "loss": lambda: model(model.prepare(PIXELS), generator=torch.Generator(device="cpu").manual_seed(0)).loss,
        "whole": lambda: maezoo.reconstruct_all(model, photos, 0.5).error,
        "attention": lambda: class_attention(model, photos)[0],
        "components": lambda: patch_components(model, photos),
        "grey": lambda: maezoo.create("mae_vit_tiny", pretrained=True, in_chans=1, device="cpu").features(photos),
        "weights": random_weights,
        "positions": lambda: sincos_positions((3, 4), 16),
        "views": lambda: crop_batch(PIXELS, draw_crops(2, (0.2, 1), (0.75, 1.33), step_generator(0, 1)), 48),
        "crops": lambda: crops.area,
        "indices": lambda: draw_indices(7, 4, 1, 0),
        "knn": lambda: torch.tensor(knn(POINTS, OTHERS, k=3).accuracy, dtype=torch.float64, device="cpu"),
        "fill": lambda: nearest_fill(PIXELS.float(), HALF, 8),
    }


@pytest.fixture(scope="module")
def model() -> maezoo.MAE:
    return maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")


@pytest.fixture
def others_defaults(request: pytest.FixtureRequest) -> Iterator[Callable[[], None]]:
    def change() -> None:
        if isinstance(request.param, torch.dtype):
            torch.set_default_dtype(request.param)
        else:
            torch.set_default_device(request.param)

    yield change
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)


@pytest.mark.parametrize("others_defaults", [torch.float64, torch.bfloat16, "meta"], indirect=True)
def test_the_callers_default_dtype_and_device_change_nothing(
    others_defaults: Callable[[], None], model: maezoo.MAE, photos: list[Path]
) -> None:
    makers = all_of(model, photos[:2])
    expected = {name: make() for name, make in makers.items()}
    others_defaults()
    for name, make in makers.items():
        found = make()
        assert (found.dtype, found.device) == (expected[name].dtype, expected[name].device), name
        assert torch.equal(found, expected[name]), name


def test_nothing_but_random_weights_draws_from_the_callers_generators(model: maezoo.MAE, photos: list[Path]) -> None:
    linear(POINTS, OTHERS)  # scikit-learn draws when it is imported
    np.random.seed(3)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # type: ignore[index]
    for name, make in all_of(model, photos[:2]).items():
        if name != "weights":
            make()
    maezoo.create("mae_vit_tiny", pretrained=True)
    linear(POINTS, OTHERS)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == np.random.get_state()[1].tolist()  # type: ignore[index]
    assert before[2] == random.getstate()
