"""Started by torchrun in tests: trains in several ways in one group of processes, and keeps losses and gradients."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed

from maezoo.masks import draw
from maezoo.model import find_variant
from maezoo.training import Recipe, pretrain
from maezoo.training.masking import masks
from maezoo.training.optimizers import Optimizers
from maezoo.training.processes.sharded import whole
from maezoo.training.sources.views import Crops

SMALL = replace(
    find_variant("mae_vit_tiny"), name="small", img_size=32, depth=2, embed_dim=48, decoder_depth=1, decoder_dim=48
)
RECIPE = Recipe(views=40, batch_size=10, optimizer="adamw", precision="float32", normpix_weight=0.5, ema=0.9)
WAYS: dict[str, dict[str, Any]] = {
    "ddp": {},
    "parts": {"accumulate": 2, "recompute": True},
    "fsdp": {"parallel": "fsdp"},
}


class Noise:
    """Images that their numbers give."""

    def __len__(self) -> int:
        return 24

    def views(self, indices: Tensor, crops: Crops, size: Any) -> Tensor:
        numbers = (torch.Generator().manual_seed(index) for index in indices.tolist())
        return torch.stack([torch.rand(3, size, size, generator=number) for number in numbers]) * crops.area.view(
            -1, 1, 1, 1
        )

    def describe(self) -> str:
        return "noise"


def unequal(
    strategy: str, batch: int, grid: tuple[int, int], ratio: float, *, cell: int, generator: torch.Generator
) -> Tensor:
    """Masks that hide more in some rows than in others."""
    rows = [draw.random_mask(1, grid, 0.25 + 0.5 * (row % 3) / 2, generator=generator) for row in range(batch)]
    return torch.cat(rows)


def train(out: Path, recipe: Recipe = RECIPE, **settings: Any) -> dict[str, Any]:
    """Train in a folder; return the loss of each step and the gradients of the first."""
    gradients: dict[str, Tensor] = {}
    step_of = Optimizers.step

    def keeping(self: Optimizers, step: int) -> None:
        parameters = [p for part in self.parts for group in part.param_groups for p in group["params"]]
        if step == 0:
            gradients.update({self.names[id(p)]: whole(p.grad).clone() for p in parameters})
        step_of(self, step)

    Optimizers.step = keeping  # type: ignore[method-assign]
    try:
        model = pretrain(recipe, Noise(), out, variant=SMALL, device="cpu", report_every=1, **settings)
    finally:
        Optimizers.step = step_of  # type: ignore[method-assign]
    lines = (out / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return {"losses": [json.loads(line)["loss"] for line in lines], "gradients": gradients, "state": model.state_dict()}


def main(out: Path) -> None:
    """Train in each way, and with unequal masks; stop and resume."""
    distributed.init_process_group("gloo")
    found = {name: train(out / name, **settings) for name, settings in WAYS.items()}
    masks.draw_mask = unequal  # type: ignore[assignment]
    found["unequal"] = train(out / "unequal", replace(RECIPE, normpix_weight=0.0))
    if distributed.get_rank() == 0:
        torch.save(found, out / "found.pt")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
