"""Models of other fields as files: they prepare what the model takes, and give its features."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from maezoo import MAE, Scene, Sound
from maezoo.errors import ArgumentError
from maezoo.exporting import export, open_exported
from maezoo.images.preprocessing import Preprocessing
from maezoo.model import Variant, build_mae
from maezoo.model.facts import Facts
from tests.images.test_bands import S2, scene

SMALL = Variant("small", 32, 8, 48, 1, 3, 32, 1, 2)
S1 = {"bands": ("VV", "VH"), "window": ((-23, -32), (-2, -8)), "mean": (0.5,) * 2, "std": (0.5,) * 2}


@pytest.mark.parametrize(
    ("rule", "given"),
    [
        (
            {"bands": S2, "window": (0, 10_000), "mean": (0.1,) * 13, "std": (0.2,) * 13},
            Scene(scene()[:, :, ::-1], S2[::-1]),
        ),
        (S1, np.random.default_rng(0).normal(-15, 3, (40, 50, 2)).astype(np.float32)),
        ({"kind": "sound", "mean": (-4.3,), "std": (9.1,)}, Sound(0.1 * np.sin(np.arange(9_000)), 16_000)),
    ],
    ids=["13 bands", "2 bands", "sound"],
)
def test_an_onnx_file_prepares_the_fields_input_and_gives_the_same_features(
    tmp_path: Path, rule: dict[str, Any], given: Any
) -> None:
    preprocess = Preprocessing((32, 128) if rule.get("kind") else (32, 48), **rule)
    facts = Facts(in_chans=len(preprocess.mean))
    plain = build_mae(SMALL, facts=facts, img_size=preprocess.size)
    model = MAE(plain.encoder, preprocess=preprocess, target=None, name="small", facts=facts).eval()
    if preprocess.kind == "sound":
        with pytest.raises(ArgumentError, match="no pixels of 8 bits; pass input='normalised'"):
            export(model, tmp_path / "small.onnx")
    opened = open_exported(export(model, tmp_path / "small.onnx", input="normalised").path)
    assert opened.facts.preprocess == preprocess
    pixels = opened.prepare(given)
    torch.testing.assert_close(torch.tensor(pixels), model.prepare(given), atol=1e-5, rtol=1e-5)
    found = torch.tensor(opened(pixels)["features"])
    torch.testing.assert_close(found, model.features(given), atol=1e-4, rtol=1e-4)
