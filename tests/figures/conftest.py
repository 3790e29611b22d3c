from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
import torch
from PIL import Image

import maezoo
from maezoo.model import VARIANTS, build_mae


@pytest.fixture(scope="session")
def model() -> maezoo.MAE:
    return maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")


@pytest.fixture(scope="session")
def wide(model: maezoo.MAE) -> maezoo.MAE:
    """The same weights on a grid of 8 rows and 14 columns."""
    return maezoo.create("mae_vit_tiny", pretrained=True, device="cpu", img_size=(64, 112))


@pytest.fixture
def normpix(model: maezoo.MAE) -> maezoo.MAE:
    """A random model of normalised patches."""
    torch.manual_seed(0)
    plain = build_mae(VARIANTS["mae_vit_tiny"], target="normpix")
    return maezoo.MAE(plain.encoder, plain.decoder, preprocess=model.preprocess, target="normpix", name="random").eval()


@pytest.fixture
def four(photos: list[Path]) -> list[Path]:
    return photos[:4]


@pytest.fixture
def draw() -> Callable[..., Image.Image]:
    """Render a figure; warnings are errors, so text that does not fit or glyphs that are missing fail here."""
    pytest.importorskip("matplotlib")

    def render(figure: object) -> Image.Image:
        buffer = BytesIO()
        figure.savefig(buffer, format="png")  # type: ignore[attr-defined]
        return Image.open(buffer).convert("RGB")

    return render
