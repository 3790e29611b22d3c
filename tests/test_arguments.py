"""Arguments of a wrong kind: every public function says what it takes, in an error of its own."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import maezoo
from maezoo.arguments import check_kinds, whole_number
from maezoo.errors import ArgumentError, LayerError, MaezooError, MaskError
from maezoo.training import FinetuneRecipe, Recipe, Watch

WRONG = [None, "x", b"x", -1, 1.5, float("nan"), [], {}, True, 10**12, torch.tensor(1.5), object(), ["x"], [None]]
IMAGE = torch.zeros(1, 3, 96, 96)


@pytest.fixture(scope="module")
def model() -> maezoo.MAE:
    return maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")


def refused(call: Callable[[Any], object], values: list[Any], allowed: tuple[Any, ...] = ()) -> None:
    """Pass each value, and let it be refused with an error of ours that has words, or be taken where it is allowed."""
    for value in values:
        if any(value is each for each in allowed):
            call(value)
            continue
        with pytest.raises(MaezooError) as caught:
            call(value)
        assert str(caught.value), value


@pytest.mark.parametrize("argument", ["device", "in_chans", "img_size", "checkpoint"])
def test_create_says_what_it_takes(argument: str) -> None:
    refused(lambda value: maezoo.create("mae_vit_tiny", **{argument: value}), WRONG[1:])


@pytest.mark.parametrize(
    "arguments", [{"in_chans": 5000}, {"img_size": 10**6}, {"img_size": (96, 10**12)}, {"img_size": 16_384}]
)
def test_what_sizes_memory_has_a_bound(arguments: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match=r"from 1 to 1,024|at most 16,384|262,144 patches"):
        maezoo.create("mae_vit_tiny", **arguments)


def test_no_device_is_the_default_device() -> None:
    named = maezoo.create("mae_vit_tiny", pretrained=True)
    assert maezoo.create("mae_vit_tiny", pretrained=True, device=None).device == named.device


@pytest.mark.parametrize("function", [maezoo.info, maezoo.fetch])
def test_a_name_is_a_text(function: Callable[[Any], object]) -> None:
    refused(function, WRONG)


@pytest.mark.parametrize("function", [maezoo.list_models, maezoo.list_pretrained])
def test_a_pattern_is_a_text(function: Callable[[Any], object]) -> None:
    refused(function, [each for each in WRONG if not isinstance(each, str)])


def test_layers_are_a_list(model: maezoo.MAE) -> None:
    refused(lambda value: model.feature_maps(IMAGE, layers=value), [*WRONG, 3, torch.tensor(3)])
    with pytest.raises(LayerError, match=r"layers is a list of block indices, such as \[-1\], at least one; got 3"):
        model.feature_maps(IMAGE, layers=3)  # type: ignore[arg-type]
    last = model.feature_maps(IMAGE, layers=[-1])[0]
    assert torch.equal(model.feature_maps(IMAGE, layers=np.array([-1]))[0], last)  # type: ignore[arg-type]


@pytest.mark.parametrize("draw", [maezoo.random_mask, maezoo.block_mask, maezoo.grid_mask, maezoo.cell_mask])
def test_masks_say_what_they_take(draw: Callable[..., torch.Tensor]) -> None:
    refused(lambda value: draw(value, (4, 4)), WRONG)
    refused(lambda value: draw(1, value), [*WRONG, (1, 2, 3), (0, 4), (10**6, 10**6)])
    assert draw(np.int64(2), (np.int64(4), 4)).shape == (2, 16)
    assert draw(0, (4, 4)).shape == (0, 16)


def test_noise_pixels_and_generators_are_of_their_kinds() -> None:
    refused(maezoo.mask_from_noise, WRONG)
    refused(lambda value: maezoo.mask_from_pixels(value, 4), WRONG)
    refused(lambda value: maezoo.mask_from_pixels(torch.zeros(4, 4), value), WRONG)
    with pytest.raises(MaskError, match=r"torch\.Generator"):
        maezoo.random_mask(1, (4, 4), generator=np.random.default_rng())  # type: ignore[arg-type]


def test_rounds_are_bounded(model: maezoo.MAE) -> None:
    refused(lambda value: maezoo.reconstruct_all(model, IMAGE, rounds=value), WRONG)


@pytest.mark.parametrize("argument", ["tasks", "batch_sizes", "engine", "cache_dir"])
def test_optimize_says_what_it_takes(argument: str, model: maezoo.MAE) -> None:
    refused(lambda value: model.optimize(**{argument: value}), [each for each in WRONG if each not in (None, "x")])


@pytest.mark.parametrize("name", ["views", "batch_size", "mask_ratio", "warmup", "ema", "crop", "aspect", "seed"])
def test_a_recipe_names_the_number_that_is_wrong(name: str) -> None:
    for value in (None, "x", [], {}, True, object(), ["x"]):
        with pytest.raises(ArgumentError, match=f"^{name} is "):
            Recipe(**{name: value})


@pytest.mark.parametrize("name", ["epochs", "batch_size", "base_lr", "mixup", "crop", "erase", "lora"])
def test_a_recipe_of_fine_tuning_names_the_number_that_is_wrong(name: str) -> None:
    for value in (None, "x", [], {}, True, object(), ["x"]):
        with pytest.raises(ArgumentError, match=f"^{name} is "):
            FinetuneRecipe(**{name: value})


def test_whole_numbers_of_other_libraries_become_python_s() -> None:
    recipe = Recipe(views=np.int64(640), seed=torch.tensor(3), mask_ratio=np.float32(0.5))  # type: ignore[arg-type]
    assert [type(each) for each in (recipe.views, recipe.mask_ratio)] == [int, float]
    assert whole_number(torch.tensor(3), "k") == 3
    check_kinds(recipe)


def test_watching_and_evaluation_say_what_they_take() -> None:
    refused(lambda value: Watch(pictures=value), [each for each in WRONG if each != 10**12])
    features = (np.eye(4, dtype=np.float32), [0, 1, 0, 1])
    few = [None, "x", -1, 1.5, [], True, object()]
    refused(lambda value: maezoo.evaluation.knn(features, features, k=value, overlap="keep"), few)
    refused(
        lambda value: maezoo.evaluation.knn(features, features, temperature=value, overlap="keep"),
        [None, "x", -1, 0, float("nan"), [], True, object()],
    )
    refused(lambda value: maezoo.evaluation.cross_validate(features, maezoo.evaluation.knn, folds=value), few)
