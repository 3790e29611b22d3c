"""In a notebook the last line of a cell shows itself, once."""

import base64
from io import BytesIO

import pytest
from PIL import Image

CELLS = """
import maezoo, torch
from maezoo import figures
model = maezoo.create("mae_vit_tiny", pretrained=True, device="cpu")
result = model.reconstruct(torch.rand(1, 3, 64, 96))
result
---
figures.plot_reconstruction(result, width=5)
---
maezoo.reconstruct_all(model, torch.rand(1, 3, 64, 96))
---
figures.measure_sweep(model, torch.rand(1, 3, 64, 96), ratios=(0.5, 0.75), strategies=("random",), seeds=1)
---
%matplotlib inline
figures.plot_reconstruction(result, width=5)
"""


def test_results_and_figures_show_themselves_once(tmp_path, monkeypatch):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    pytest.importorskip("matplotlib_inline")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS.split("---\n")])
    nbclient.NotebookClient(notebook, timeout=240, kernel_name="python3").execute()
    for cell in notebook.cells:
        pictures = [output.data["image/png"] for output in cell.outputs if "image/png" in output.get("data", {})]
        assert len(pictures) == 1, cell.source
        assert len(cell.outputs) == 1, cell.source
        with Image.open(BytesIO(base64.b64decode(pictures[0]))) as shown:
            assert shown.width > 300
