"""Packs of labelled images.

A pack is an .npz with `blob` (uint8, encoded images end to end), `offset` (int64, n + 1 positions in it), `label` and
`split` (0 = train, 1 = test).
"""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["read_pack"]


def read_pack(path: Path, limit: int | None = None) -> tuple[list[Image.Image], NDArray[Any], NDArray[np.bool_]]:
    """Return images, labels (n,) and which are for testing (n,); `limit` takes every n-th to keep about so many."""
    with np.load(path, allow_pickle=False) as pack:
        blob, offset, labels, split = pack["blob"], pack["offset"], pack["label"], pack["split"]
    step = 1 if limit is None else max(1, len(labels) // limit)
    chosen = range(0, len(labels), step)
    images = [Image.open(BytesIO(blob[offset[i] : offset[i + 1]].tobytes())).convert("RGB") for i in chosen]
    return images, labels[::step], split[::step] == 1
