"""Draw the masks of each strategy of pretraining: `python -m benchmarks.drawings.masks`.

The model is the bundled one. The loss predictor of `hard` is trained here for a short while on crops of the demo's
photographs, with the rest of the model frozen; its masks are those of the last step of a run.
"""

from pathlib import Path

import torch
from torch import Tensor

import maezoo
from benchmarks.drawings.pictures import PHOTOS, ROOT, keep
from maezoo.figures.canvas import show_picture
from maezoo.figures.layout import PanelGrid
from maezoo.training import Recipe, open_source
from maezoo.training.masking.masks import Masking
from maezoo.training.objective import Objective
from maezoo.training.sources.views import draw_crops, step_generator
from maezoo.vocabulary import MaskStrategy

STEPS = 100
NAMES = ("coffee", "astronaut", "hats")
STRATEGIES: tuple[MaskStrategy, ...] = ("random", "block", "grid", "cells", "attention", "hard")


def main() -> None:
    """Draw one row for each photograph, one column for each strategy."""
    model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
    photos = [PHOTOS[name] for name in NAMES]
    columns = [model.reconstruct(photos, mask_ratio=0).original]
    columns += [model.reconstruct(photos, mask=masks_of(model, name, photos)).masked for name in STRATEGIES]
    grid = PanelGrid(len(photos), len(columns), 1.0, panel=1.1)
    for place, pictures in enumerate(columns):
        for row, picture in enumerate(pictures):
            show_picture(grid.axes[row, place], picture)
    grid.add_titles(["image", *STRATEGIES])
    keep("mask_strategies", grid.fit())


def masks_of(model: maezoo.MAE, strategy: MaskStrategy, photos: list[Path]) -> Tensor:
    """Return the masks of a strategy at the last step of a run, (B, N)."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        objective = Objective(model, mask_strategy=strategy)
    recipe = Recipe(mask_strategy=strategy, views=STEPS, batch_size=1)
    masking = Masking(recipe, model, objective.guide)
    masking.follow(0)
    if strategy == "hard":
        learn(objective, masking)
    images = model.prepare(photos)
    (mask,) = masking.masks(masking.draw(len(photos), step_generator(0, 0)), images, STEPS - 1)
    return mask


def learn(objective: Objective, masking: Masking) -> None:
    """Train the loss predictor alone."""
    model, source = objective.model, open_source(ROOT / "maezoo" / "demo" / "samples", device=torch.device("cpu"))
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    model.requires_grad_(False)
    optimizer = torch.optim.AdamW([p for p in objective.parameters() if p.requires_grad], lr=1e-3)
    for step in range(STEPS):
        generator = step_generator(0, step)
        crops = draw_crops(len(source), (0.35, 1.0), (3 / 4, 4 / 3), generator)
        images = (source.views(torch.arange(len(source)), crops, model.img_size[0]) - mean) / std
        mask = maezoo.random_mask(len(source), model.grid_size, generator=generator)
        objective(images, mask).backward()
        optimizer.step()
        optimizer.zero_grad()
        masking.follow(step + 1)


if __name__ == "__main__":
    main()
