"""The notebooks run from top to bottom on what the package has, and their stored pictures are there and small."""

import base64
from pathlib import Path

import pytest

nbclient = pytest.importorskip("nbclient", reason="it runs notebooks")
nbformat = pytest.importorskip("nbformat", reason="it reads them")
pytest.importorskip("ipykernel", reason="it is the kernel")

NOTEBOOKS = sorted((Path(__file__).parent.parent.parent / "docs" / "notebooks").glob("*.ipynb"))
LARGEST = 300_000  # bytes of a notebook


def pictures_of(notebook) -> list[bytes]:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [base64.b64decode(each["data"]["image/png"]) for each in outputs if "image/png" in each.get("data", {})]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_from_top_to_bottom(path: Path, tmp_path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    stored = pictures_of(notebook)
    nbclient.NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert len(pictures_of(notebook)) == len(stored) > 0


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_is_stored_is_complete_and_small(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert all(picture.startswith(b"\x89PNG") for picture in pictures_of(notebook))
    assert path.stat().st_size < LARGEST
    assert "/tmp/" not in path.read_text(encoding="utf-8")  # nothing of the machine that made it
