"""The optimizers of a run, and their state as named tensors."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from maezoo.training.processes.sharded import placed_as
from maezoo.training.recipe import Recipe

__all__ = ["Optimizers", "pretraining_optimizers"]


class Optimizers:
    """One or more optimizers that together cover a model's trainable parameters and step as one.

    Args:
        model: what is trained.
        parts: the optimizers; each group has its highest rate as `peak_lr`.
        lr_factor: the share of it at a step from 0.
    """

    def __init__(self, model: nn.Module, parts: list[torch.optim.Optimizer], lr_factor: Callable[[int], float]) -> None:
        self.parts, self.lr_factor = parts, lr_factor
        self.names = {id(p): name for name, p in model.named_parameters() if p.requires_grad}

    def step(self, step: int) -> None:
        """Apply the gradients at the rate of a step, then clear them."""
        factor = self.lr_factor(step)
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = group["peak_lr"] * factor
            part.step()
        self.clear()

    def clear(self) -> None:
        """Forget the gradients."""
        for part in self.parts:
            part.zero_grad()

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the state as ("parameter/state", tensor) pairs."""
        for part in self.parts:
            for parameter, state in part.state.items():
                for key, value in state.items():
                    yield f"{self.names[id(parameter)]}/{key}", torch.as_tensor(value)

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Restore a state that `tensors` gave."""
        by_name: dict[str, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            name, _, field = key.rpartition("/")
            by_name.setdefault(name, {})[field] = value
        for part in self.parts:
            for group in part.param_groups:
                for parameter in group["params"]:
                    state = by_name.get(self.names[id(parameter)])
                    if state is not None:
                        part.state[parameter] = {key: placed_as(value, parameter) for key, value in state.items()}


def pretraining_optimizers(model: nn.Module, recipe: Recipe) -> Optimizers:
    """Make the optimizers of a recipe: AdamW alone, or Muon for the blocks' matrices and AdamW for the rest.

    Args:
        model: the autoencoder, with its loss.
        recipe: rates, decays and the choice between the two.
    """
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    matrices = {name for name, p in named.items() if p.ndim == 2 and ".blocks." in f".{name}"}
    to_muon = matrices if recipe.optimizer == "muon" else set()
    rest = {name: p for name, p in named.items() if name not in to_muon}
    parts: list[torch.optim.Optimizer] = [_adamw(rest, recipe)]
    if to_muon:
        parts.append(_muon([named[name] for name in sorted(to_muon)], recipe))
    return Optimizers(model, parts, recipe.lr_factor)


def _adamw(named: dict[str, nn.Parameter], recipe: Recipe) -> torch.optim.AdamW:
    """Make AdamW with decay on matrices and filters, none on biases, norms and tokens (paper, table 8)."""
    decayed = [p for name, p in named.items() if p.ndim > 1 and not name.endswith("token")]
    plain = [p for name, p in named.items() if p.ndim <= 1 or name.endswith("token")]
    groups = [
        {"params": decayed, "weight_decay": recipe.weight_decay, "peak_lr": recipe.adamw_lr},
        {"params": plain, "weight_decay": 0.0, "peak_lr": recipe.adamw_lr},
    ]
    return torch.optim.AdamW(groups, lr=recipe.adamw_lr, betas=recipe.betas, fused=True)


def _muon(matrices: list[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    """Make PyTorch's Muon for the blocks' matrices, its updates scaled to the size of AdamW's."""
    groups = [{"params": matrices, "peak_lr": recipe.muon_lr}]
    return torch.optim.Muon(
        groups,
        lr=recipe.muon_lr,
        weight_decay=recipe.weight_decay,
        momentum=recipe.momentum,
        adjust_lr_fn="match_rms_adamw",
    )
