"""A Reconstruction's own pictures need Pillow alone."""

import re
import subprocess
import sys
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

import maezoo
from maezoo.errors import ArgumentError

_WITHOUT_MATPLOTLIB = """
import sys
sys.modules["matplotlib"] = None
import torch, maezoo
from maezoo.figures import class_attention, measure_sweep, patch_components, patch_similarity
model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
result = model.reconstruct(torch.rand(2, 3, 64, 96))
assert result.to_pil().size == (3 * 96 + 8, 2 * 64 + 4)
result.save(sys.argv[1])
assert result._repr_png_().startswith(b"\\x89PNG")
class_attention(model, torch.rand(1, 3, 96, 96))
"""


def test_strips_and_measures_need_no_matplotlib(tmp_path):
    path = tmp_path / "strip.png"
    subprocess.run([sys.executable, "-c", _WITHOUT_MATPLOTLIB, str(path)], check=True, timeout=120)
    with Image.open(path) as strip:
        assert strip.size == (296, 132)


def test_a_notebook_shows_the_strip_large_and_labelled(model, four):
    result = model.reconstruct(four[:2])
    shown = Image.open(BytesIO(result._repr_png_()))
    assert shown.format == "PNG"
    assert 3 * 240 <= shown.width < 3 * 320
    first = np.asarray(shown)[22 : 22 + 288, :288]
    plain = np.asarray(result.to_pil())[:96, :96]
    assert (first == plain.repeat(3, axis=0).repeat(3, axis=1)).all()  # each pixel a square, under the titles


def test_strips_of_any_shape_and_number_are_shown(model, four):
    for images in ([], torch.rand(1, 3, 8, 256), torch.rand(1, 3, 256, 8), torch.rand(20, 3, 8, 8)):
        for result in (model.reconstruct(images), maezoo.reconstruct_all(model, images)) if len(images) < 2 else ():
            assert Image.open(BytesIO(result._repr_png_())).width < 1300
    many = model.reconstruct(torch.rand(20, 3, 16, 16))
    eight = model.reconstruct(torch.rand(8, 3, 16, 16))
    heights = [Image.open(BytesIO(result._repr_png_())).height for result in (many, eight)]
    assert heights[0] == heights[1]  # the first eight stand for all


def test_strips_are_enlarged_and_labelled_when_asked(model, four, tmp_path):
    for result in (model.reconstruct(four[0]), maezoo.reconstruct_all(model, four[0], ratio=0.5)):
        plain = result.to_pil()
        assert result.to_pil(scale=2).size == (3 * 192 + 8, 192)
        assert result.to_pil(labels=True).height > plain.height
        with Image.open(result.save(tmp_path / "strip.png", scale=4, labels=True)) as saved:
            assert saved.width > 3 * 384
    for scale in (0, 1.5, True, 65):
        with pytest.raises(ArgumentError, match="from 1 to 64"):
            result.to_pil(scale=scale)
    with pytest.raises(ArgumentError, match="too large"):
        model.reconstruct(torch.zeros(20, 3, 96, 96)).to_pil(scale=64)


def test_results_say_in_one_line_what_they_are(model, normpix, four):
    result = model.reconstruct(four[:2], mask=torch.rand(2, 144) < torch.tensor([[0.2], [0.8]]))
    whole = maezoo.reconstruct_all(model, four[:1], ratio=0.5)
    leaked = normpix.reconstruct(four[0], mask_ratio=0.5)
    for shown, words in ((result, "(2, 3, 96, 96)"), (whole, "50 % hidden"), (leaked, "patch-normalised pixels")):
        assert words in repr(shown)
        assert "\n" not in repr(shown)
        assert len(repr(shown)) < 160
    assert re.search(r"\d+ to \d+(\.\d)? % hidden, mean loss [\d.]+ \(normalised pixels\)", repr(result))
    assert "no image" in repr(maezoo.reconstruct_all(model, []))
