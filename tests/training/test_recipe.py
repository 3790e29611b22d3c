"""The numbers of a pretraining run, and the rate at each step."""

import numpy as np
import pytest

from maezoo.errors import ArgumentError
from maezoo.training import Recipe


def test_schedule() -> None:
    recipe = Recipe(views=64_000, batch_size=64, warmup=0.1)
    factors = [recipe.lr_factor(step) for step in range(recipe.steps)]
    assert factors[0] == 0.01
    assert factors[99] == 1.0
    assert max(factors) == 1.0
    assert factors[-1] < 1e-4
    assert np.all(np.diff(factors[100:]) <= 0)
    assert Recipe(base_lr=1.5e-4, batch_size=4096).adamw_lr == pytest.approx(2.4e-3)  # the paper's, table 8


@pytest.mark.parametrize(
    ("width", "batch_size", "optimizer", "rate"),
    [
        (768, 256, "adamw", 1.5e-4),
        (1024, 4096, "adamw", 2.4e-3),
        (768, 16_384, "adamw", 2.4e-3),
        (192, 64, "muon", 1.5e-3),
        (384, 4096, "muon", 2.4e-3),
    ],
)
def test_optimizer_and_rate_follow_from_the_model(width: int, batch_size: int, optimizer: str, rate: float) -> None:
    recipe = Recipe(batch_size=batch_size).completed(width)
    assert (recipe.optimizer, recipe.adamw_lr) == (optimizer, pytest.approx(rate))


def test_what_a_recipe_says_stays() -> None:
    said = Recipe(optimizer="adamw", base_lr=1e-2, batch_size=4096)
    assert said.completed(192) == said
    with pytest.raises(ArgumentError, match="completed"):
        _ = Recipe().adamw_lr


@pytest.mark.parametrize(
    "wrong",
    [
        {"views": 0},
        {"mask_ratio": 1.0},
        {"mask_strategy": "stripes"},
        {"mask_cell": 0},
        {"predict": 0.0},
        {"crop": (0.0, 1.0)},
        {"ema": 1.0},
        {"optimizer": "sgd"},
        {"precision": "int8"},
    ],
)
def test_impossible_recipes(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Recipe(**wrong)  # type: ignore[arg-type]
