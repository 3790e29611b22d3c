"""Average precision of a detector, and pictures of what it found."""

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from scenes import COLOURS
from sklearn.metrics import average_precision_score
from torch import Tensor
from torchvision.ops import box_iou
from torchvision.utils import draw_bounding_boxes

Objects = Sequence[dict[str, Tensor]]


def average_precision(found: Objects, truth: Objects, label: int) -> float:
    """Return the area under precision over recall of one class, where a hit overlaps a free object by half (AP50).

    torchmetrics has it for ten overlaps, and needs pycocotools for it.
    """
    hits, scores, total = [], [], 0
    for each, target in zip(found, truth, strict=True):
        free = target["boxes"][target["labels"] == label]
        total += len(free)
        mine = each["labels"] == label
        for box, score in zip(each["boxes"][mine], each["scores"][mine].tolist(), strict=True):  # the surest first
            overlap, place = box_iou(box[None], free)[0].max(dim=0) if len(free) else (torch.zeros(()), None)
            hits.append(bool(overlap >= 0.5))
            scores.append(score)
            if hits[-1]:
                free = free[torch.arange(len(free)) != place]
    return float(average_precision_score(hits, scores)) * sum(hits) / total if any(hits) else 0.0


def draw_boxes(images: Sequence[Tensor], objects: Objects, surest: float = 0.5) -> list[Tensor]:
    """Draw the boxes of objects that are given, or that were found with some certainty."""
    drawn = []
    for image, each in zip(images, objects, strict=False):
        keep = each.get("scores", torch.ones(len(each["labels"]))) >= surest
        colours, picture = [COLOURS[label] for label in each["labels"][keep]], (image * 255).to(torch.uint8)
        drawn.append(draw_bounding_boxes(picture, each["boxes"][keep], colors=colours, width=2) if colours else picture)
    return drawn


def save_grid(rows: list[list[Tensor]], path: Path) -> None:
    """Write rows of uint8 pictures (3, H, W) of one size as one picture."""
    grid = torch.cat([torch.cat(row, dim=2) for row in rows], dim=1)
    Image.fromarray(grid.permute(1, 2, 0).numpy()).save(path)
