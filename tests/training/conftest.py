"""A small encoder and small pictures of two classes, so that a run takes seconds."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from maezoo.checkpoints.folders import describe_model, save_folder
from maezoo.images.preprocessing import Preprocessing
from maezoo.model import build_mae, find_variant

SMALL = replace(
    find_variant("mae_vit_tiny"), name="small", img_size=32, depth=3, embed_dim=48, decoder_depth=1, decoder_dim=48
)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a small encoder's folder."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        model = build_mae(SMALL)
    folder = tmp_path_factory.mktemp("encoder") / "small"
    save_folder(model, folder, describe_model(model, Preprocessing(size=(32, 32)), license="cc0-1.0"))
    return f"local-dir:{folder}"


def picture(colour: int, number: int) -> Image.Image:
    """A picture that is brightest in one channel."""
    noise = np.random.default_rng(number).integers(0, 90, (40, 48, 3), dtype=np.uint8)
    noise[:, :, colour] += 120
    return Image.fromarray(noise)


@pytest.fixture
def coloured(tmp_path: Path) -> Callable[..., Path]:
    """Write a folder of pictures: `number` of each class, named by their colours."""

    def write(name: str = "pictures", number: int = 10, classes: tuple[str, ...] = ("blue", "red")) -> Path:
        for label in classes:
            (tmp_path / name / label).mkdir(parents=True)
            for index in range(number):
                colour = ("red", "green", "blue").index(label.split("-")[0])
                picture(colour, index + 1000 * colour).save(tmp_path / name / label / f"{index:03}.png")
        return tmp_path / name

    return write
