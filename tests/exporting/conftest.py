from pathlib import Path

import pytest
import torch
from timm.models import VisionTransformer

from maezoo.api.mae import MAE
from maezoo.exporting import ExportReport, export
from maezoo.images.preprocessing import Preprocessing
from maezoo.model import Decoder


def small_model() -> MAE:
    """A model that is traced in seconds."""
    torch.manual_seed(0)
    encoder = VisionTransformer(img_size=32, patch_size=8, embed_dim=32, depth=1, num_heads=2, num_classes=0)
    decoder = Decoder(embed_dim=32, dim=16, depth=1, num_heads=2, patch_size=8, grid_size=(4, 4))
    return MAE(encoder, decoder, preprocess=Preprocessing((32, 32)), target="normpix", name="small").eval()


@pytest.fixture(scope="session")
def model() -> MAE:
    return small_model()


@pytest.fixture(scope="session")
def any_size(model: MAE, tmp_path_factory: pytest.TempPathFactory) -> ExportReport:
    """Features as ONNX, for any batch and size."""
    return export(model, tmp_path_factory.mktemp("features") / "small.onnx")


@pytest.fixture(scope="session")
def masked(model: MAE, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Reconstruction as ONNX, for any batch and size."""
    return export(model, tmp_path_factory.mktemp("masked") / "small.onnx", task="reconstruct").path
