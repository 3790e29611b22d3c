"""Time decoding and preprocessing of a JPEG with maezoo and with timm, on generated photographs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.speed.timing import Budget, interleave
from maezoo.images.batches import normalise, prepare
from maezoo.images.preprocessing import Preprocessing

__all__ = ["SIZES", "make_photograph", "measure_images"]

SIZES = {"500x375": (500, 375), "4000x3000": (4000, 3000)}
NOISE = 6.0  # of 255
PREPROCESS = Preprocessing(size=(224, 224), resize="crop", crop_pct=0.9)


def measure_images(folder: Path, budget: Budget, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Time decoding and preprocessing of one file at a time, and compare the pixels."""
    rows = []
    for name, size in SIZES.items():
        say(f"images: {name}")
        path = make_photograph(folder / f"{name}.jpg", size)
        ways = {"maezoo": _ours(path), "timm": _timm(path), "decoding alone (Pillow)": _decoding(path)}
        difference = float((ways["maezoo"]() - ways["timm"]()).abs().mean())
        timings = interleave(ways, budget)
        peer = timings["timm"].median
        for way, timing in timings.items():
            row = {
                "image": name,
                "contestant": way,
                "status": "ok",
                "bytes": path.stat().st_size,
                "seconds": timing.median,
                "to_timm": peer / timing.median,
                "samples": [round(seconds, 6) for seconds in timing.samples],
            }
            rows.append(row | ({"mean_difference": difference} if way == "maezoo" else {}))
    return rows


def make_photograph(path: Path, size: tuple[int, int]) -> Path:
    """Write a JPEG of (width, height) as a camera would: each octave half as strong as the last, and a little noise."""
    width, height = size
    rng = np.random.default_rng(0)
    picture = np.full((height, width, 3), 0.0, dtype=np.float32)
    strength, cells = 0.5, 2
    while cells < width:
        rough = rng.integers(0, 256, (max(1, cells * height // width), cells, 3), dtype=np.uint8)
        smooth = Image.fromarray(rough).resize((width, height), Image.Resampling.BICUBIC)
        picture += np.asarray(smooth, dtype=np.float32) * strength
        strength, cells = strength / 2, cells * 2
    picture += rng.normal(0, NOISE, (height, width, 1)).astype(np.float32)
    Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(path, quality=90)
    return path


def _ours(path: Path) -> Callable[[], Tensor]:
    return lambda: normalise(prepare([path], PREPROCESS), PREPROCESS)[0]


def _timm(path: Path) -> Callable[[], Tensor]:
    from timm.data import create_transform

    transform: Any = create_transform(
        (3, *PREPROCESS.size),
        is_training=False,
        interpolation=PREPROCESS.interpolation,
        crop_pct=PREPROCESS.crop_pct,
        mean=PREPROCESS.mean,
        std=PREPROCESS.std,
    )

    def read() -> Tensor:
        with Image.open(path) as image:
            pixels: Tensor = transform(image.convert("RGB"))
        return pixels

    return read


def _decoding(path: Path) -> Callable[[], Tensor]:
    def read() -> Tensor:
        with Image.open(path) as image:
            image.load()
        return torch.empty(0)

    return read
