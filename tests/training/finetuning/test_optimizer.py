"""Which parameter learns at which rate: the paper's rule, asked of the optimizer itself."""

from typing import Any

import pytest
import torch
from timm.optim import Lars

from maezoo.model import find_variant
from maezoo.training.finetuning.model import ClassifierModel, open_encoder
from maezoo.training.finetuning.optimizer import finetuning_optimizers
from maezoo.training.finetuning.recipe import FinetuneRecipe, finetune_recipe
from maezoo.training.finetuning.schedule import FinetuneSchedule
from maezoo.training.optimizers import Optimizers

DECAY, PEAK, DEPTH = 0.7, 1e-3, 3


def optimizers_for(small: str, **changes: Any) -> tuple[Optimizers, dict[int, str]]:
    """The optimizers of a recipe, and the names of the model's parameters."""
    recipe = FinetuneRecipe(layer_decay=DECAY, base_lr=PEAK, batch_size=256, warmup_epochs=0, **changes)
    vit = ClassifierModel(open_encoder(small, None), 4, recipe).vit
    optimizers = finetuning_optimizers(vit, recipe, FinetuneSchedule(recipe, 1000))
    return optimizers, {id(parameter): name for name, parameter in vit.named_parameters()}


def groups_by_name(optimizers: Optimizers, names: dict[int, str]) -> dict[str, dict[str, Any]]:
    return {names[id(p)]: group for part in optimizers.parts for group in part.param_groups for p in group["params"]}


def layer_of(name: str) -> int:
    """The layer that FAIR's util/lr_decay.py gives a parameter."""
    if name.startswith(("cls_token", "pos_embed", "patch_embed")):
        return 0
    return int(name.split(".")[1]) + 1 if name.startswith("blocks.") else DEPTH + 1


@pytest.mark.parametrize("changes", [{}, {"pool": "cls"}, {"tune": "2"}, {"tune": "last-block", "pool": "cls"}])
def test_each_parameter_learns_at_the_rate_of_its_layer(small: str, changes: dict[str, Any]) -> None:
    optimizers, names = optimizers_for(small, **changes)
    optimizers.step(0)  # without warm-up the first step has the peak rate
    groups = groups_by_name(optimizers, names)
    for name, group in groups.items():
        assert group["lr"] == pytest.approx(PEAK * DECAY ** (DEPTH + 1 - layer_of(name))), name
    assert groups["head.weight"]["lr"] == PEAK
    assert groups["blocks.2.attn.qkv.weight"]["lr"] == pytest.approx(PEAK * DECAY)
    assert ("norm.weight" in groups) == (changes.get("pool") == "cls")


def test_the_rates_fall_together_over_the_steps(small: str) -> None:
    """timm's `lr_scale` does nothing unless someone applies it: it must be in the rate of every step."""
    optimizers, names = optimizers_for(small)
    for step in (0, 100, 300):
        optimizers.step(step)
        groups = groups_by_name(optimizers, names)
        assert groups["patch_embed.proj.weight"]["lr"] == pytest.approx(groups["head.weight"]["lr"] * DECAY**4)
    assert groups["head.weight"]["lr"] < 0.6 * PEAK


def test_vectors_tokens_and_positions_have_no_weight_decay(small: str) -> None:
    optimizers, names = optimizers_for(small)
    for name, group in groups_by_name(optimizers, names).items():
        plain = name.endswith(".bias") or "norm" in name or name in ("cls_token", "pos_embed")
        assert group["weight_decay"] == (0.0 if plain else 0.05), name


def test_all_trained_parameters_have_a_rate_and_no_other(small: str) -> None:
    for changes in ({}, {"tune": "head"}, {"tune": "1"}, {"lora": 2}):
        optimizers, _ = optimizers_for(small, **changes)
        held = [p for part in optimizers.parts for group in part.param_groups for p in group["params"]]
        assert all(p.requires_grad for p in held)
        assert {id(p) for p in held} == set(optimizers.names)
        assert len(held) == len(optimizers.names)


def test_the_probe_adapts_its_matrix_without_weight_decay_and_not_its_bias(small: str) -> None:
    recipe = finetune_recipe(find_variant("mae_vit_base"), 1000, "paper", tune="head")
    vit = ClassifierModel(open_encoder(small, None), 4, recipe).vit
    optimizers = finetuning_optimizers(vit, recipe, FinetuneSchedule(recipe, 1000))
    (lars,) = optimizers.parts
    assert isinstance(lars, Lars)
    weight, bias = vit.head[1].weight, vit.head[1].bias
    before = weight.detach().clone(), bias.detach().clone()
    weight.grad, bias.grad = torch.randn_like(weight), torch.randn_like(bias)
    gradients = weight.grad.clone(), bias.grad.clone()
    rate = recipe.base_lr * recipe.batch_size / 256 * FinetuneSchedule(recipe, 1000).lr_factor(0)
    optimizers.step(0)
    trust = 0.001 * before[0].norm() / gradients[0].norm()
    torch.testing.assert_close(weight.detach(), before[0] - rate * trust * gradients[0])
    torch.testing.assert_close(bias.detach(), before[1] - rate * gradients[1])


@pytest.mark.parametrize(
    ("name", "epochs", "rate", "decay", "drop_path"),
    [
        ("mae_vit_base", 100, 5e-4, 0.65, 0.1),
        ("mae_vit_large", 50, 1e-3, 0.75, 0.2),
        ("mae_vit_huge", 50, 1e-3, 0.75, 0.3),
    ],
)
def test_the_published_rows(name: str, epochs: int, rate: float, decay: float, drop_path: float) -> None:
    recipe = finetune_recipe(find_variant(name), 1_281_167)
    assert (recipe.epochs, recipe.base_lr, recipe.layer_decay, recipe.drop_path) == (epochs, rate, decay, drop_path)
    assert (recipe.warmup_epochs, recipe.batch_size, recipe.mixup, recipe.cutmix) == (5, 1024, 0.8, 1.0)
    schedule = FinetuneSchedule(recipe, 1_281_167)
    assert schedule.peak_lr == pytest.approx(4 * rate)
    last = schedule.peak_lr * schedule.lr_factor(schedule.steps - 1)
    assert last == pytest.approx(1e-6, rel=0.01)
    assert schedule.lr_factor(round(schedule.steps * 5 / epochs)) == 1.0
