"""The optimizer of fine-tuning: timm's, each block at a rate of its own (layer decay), or the probe's LARS."""

from typing import Any

import torch
from timm.models import VisionTransformer
from timm.optim import create_optimizer_v2, param_groups_layer_decay
from torch import nn

from maezoo.training.finetuning.recipe import FinetuneRecipe
from maezoo.training.optimizers import Optimizers
from maezoo.training.task import Schedule

__all__ = ["finetuning_optimizers"]


def finetuning_optimizers(vit: VisionTransformer, recipe: FinetuneRecipe, schedule: Schedule) -> Optimizers:
    """Make the optimizer of a recipe over the parameters that are trained.

    timm's groups say a `lr_scale` each, which only timm's own schedulers apply: here it is part of each group's
    `peak_lr`, from which the rate of every step comes.

    Args:
        vit: timm's ViT with its head inside: the head is the layer above the blocks, from which they are counted.
        recipe: optimizer, layer decay and weight decay.
        schedule: the highest rate, and its share at each step.

    Example:
        >>> from maezoo.training.finetuning.model import ClassifierModel, open_encoder
        >>> from maezoo.training.finetuning.schedule import FinetuneSchedule
        >>> recipe = FinetuneRecipe(batch_size=256)
        >>> vit = ClassifierModel(open_encoder("mae_vit_tiny", None), 5, recipe).vit
        >>> optimizers = finetuning_optimizers(vit, recipe, FinetuneSchedule(recipe, 1000))
        >>> rates = sorted({group["peak_lr"] for group in optimizers.parts[0].param_groups})
        >>> len(rates), rates[-1]  # the patch embedding, six blocks, the head
        (8, 0.0005)
    """
    lars = recipe.optimizer == "lars"
    groups = _lars_groups(vit) if lars else _layer_groups(vit, recipe)
    for group in groups:
        group["peak_lr"] = schedule.peak_lr * group.pop("lr_scale", 1.0)
        group["lr"] = group["peak_lr"]
    settings: dict[str, Any] = {"momentum": 0.9} if lars else {"betas": (0.9, 0.999)}
    optimizer: torch.optim.Optimizer = create_optimizer_v2(
        groups, recipe.optimizer, lr=schedule.peak_lr, weight_decay=recipe.weight_decay, **settings
    )
    return Optimizers(_Named(vit), [optimizer], schedule.lr_factor)


class _Named(nn.Module):
    """Names a ViT's parameters as the objective that holds it does."""

    def __init__(self, vit: nn.Module) -> None:
        super().__init__()
        self.vit = vit


def _layer_groups(vit: VisionTransformer, recipe: FinetuneRecipe) -> list[dict[str, Any]]:
    """Return timm's groups of layer decay, with the final norm in the head's layer, where the paper's code has it."""
    groups: list[dict[str, Any]] = param_groups_layer_decay(
        vit,
        weight_decay=recipe.weight_decay,
        no_weight_decay_list=vit.no_weight_decay(),
        layer_decay=recipe.layer_decay,
    )
    norm = {id(parameter) for name, parameter in vit.named_parameters() if name.startswith("norm.")}
    moved = [p for group in groups for p in group["params"] if id(p) in norm]
    for group in groups:
        group["params"] = [p for p in group["params"] if id(p) not in norm]
    if moved:  # timm counts it to the last block
        groups.append({"params": moved, "weight_decay": 0.0, "lr_scale": 1.0})
    return [group for group in groups if group["params"]]


def _lars_groups(vit: VisionTransformer) -> list[dict[str, Any]]:
    """Return the groups of the published probe: matrices adapted even without weight decay, biases not."""
    trained = [p for p in vit.parameters() if p.requires_grad]
    matrices, vectors = [p for p in trained if p.ndim > 1], [p for p in trained if p.ndim <= 1]
    groups = [
        {"params": matrices, "always_adapt": True},
        {"params": vectors, "always_adapt": False, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
