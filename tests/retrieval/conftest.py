"""An output of pictures that are copies, nearly alike, and different."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import maezoo


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory, photos: list[Path]) -> Path:
    """Photographs; of the first one a copy, one saved again, one half as large; and noise."""
    root = tmp_path_factory.mktemp("alike")
    for number, path in enumerate(photos):
        with Image.open(path) as image:
            image.convert("RGB").save(root / f"photo{number}.png")
    with Image.open(root / "photo0.png") as image:
        image.save(root / "again.jpg", quality=80)
        image.resize((image.width // 2, image.height // 2)).save(root / "half.png")
    shutil.copy(root / "photo0.png", root / "copy.png")
    rng = np.random.default_rng(0)
    for number in range(12):
        rough = Image.fromarray(rng.integers(0, 255, (4, 5, 3), dtype=np.uint8))
        rough.resize((100, 80), Image.Resampling.BICUBIC).save(root / f"rough{number:02d}.png")
    return root


@pytest.fixture(scope="session")
def output(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `extract` made of them, in several files."""
    folder = tmp_path_factory.mktemp("features") / "out"
    maezoo.extract(pictures, folder, device="cpu", workers=0, shard_size=7)
    return folder
