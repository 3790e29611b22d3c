"""Scenes for trying detectors and segmenters: cut-out photographs of objects on photographs, with exact masks.

The objects (cutouts/) and the background of the test scenes are not in the training scenes. detect.py and segment.py
train on these scenes; for data of your own, replace `make_scene` by a function of your own.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

HERE = Path(__file__).parent
CLASSES = ("background", "starfish", "umbrella", "skate", "piano")
COLOURS = ("black", "orange", "deepskyblue", "magenta", "lime")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of the encoders' input


def make_scene(seed: int, *, test: bool = False, side: int = 160) -> tuple[Tensor, dict[str, Tensor]]:
    """Return a scene (3, H, W) in [0, 1], and its objects as torchvision's detectors take them."""
    rng = np.random.default_rng([seed, test])
    photos = sorted((HERE.parent / "tests" / "data" / "photos").glob("*.jpg"))
    photos = [path for path in photos if (path.stem == "lighthouse") == test]
    cutouts = [path for path in sorted((HERE / "cutouts").glob("*.webp")) if (path.stem[-1] in "67") == test]
    with Image.open(photos[rng.integers(len(photos))]) as photo:
        span = int(min(photo.size) * rng.uniform(0.6, 1))
        left, top = rng.integers(photo.width - span + 1), rng.integers(photo.height - span + 1)
        scene = photo.convert("RGB").resize((side, side), box=(left, top, left + span, top + span))
    labels, masks = [], np.zeros((0, side, side), dtype=bool)
    for index in rng.permutation(len(cutouts))[: rng.integers(2, 5)]:
        with Image.open(cutouts[index]) as cutout:
            scale = rng.uniform(0.3, 0.5) * side / max(cutout.size)
            piece = cutout.resize((round(cutout.width * scale), round(cutout.height * scale)))
        piece = piece.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else piece
        left, top = int(rng.integers(side - piece.width + 1)), int(rng.integers(side - piece.height + 1))
        shape = piece.getchannel("A").point(lambda alpha: 255 * (alpha > 127))
        scene.paste(piece.convert("RGB"), (left, top), shape)
        here = np.zeros((side, side), dtype=bool)
        here[top : top + piece.height, left : left + piece.width] = np.asarray(shape) > 0
        masks = np.concatenate([masks & ~here, here[None]])  # what lies on top hides what is below
        labels.append(CLASSES.index(cutouts[index].stem[:-2]))
    seen = masks.sum(axis=(1, 2)) > 0.01 * side * side  # what is nearly hidden is not asked for
    ends = [[np.flatnonzero(mask.any(axis=axis))[[0, -1]] for axis in (0, 1)] for mask in masks[seen]]
    target = {
        "boxes": torch.tensor([[x[0], y[0], x[1] + 1, y[1] + 1] for x, y in ends], dtype=torch.float32).view(-1, 4),
        "labels": torch.from_numpy(np.array(labels)[seen]),
        "masks": torch.from_numpy(masks[seen]).to(torch.uint8),
    }
    return torch.from_numpy(np.array(scene)).permute(2, 0, 1) / 255, target
