"""A Reconstruction's own pictures need Pillow alone."""

import subprocess
import sys
from io import BytesIO

from PIL import Image

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


def test_a_notebook_shows_the_strip(model, four):
    result = model.reconstruct(four[:2])
    shown = Image.open(BytesIO(result._repr_png_()))
    assert shown.format == "PNG"
    assert shown.tobytes() == result.to_pil().tobytes()
