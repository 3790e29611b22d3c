"""Run the notebooks of the docs and store what their cells show: `python -m benchmarks.drawings.notebooks`."""

import base64
import io
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

NOTEBOOKS = Path(__file__).parent.parent.parent / "docs" / "notebooks"


def main() -> None:
    """Run each notebook in an empty folder and write it back."""
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        with tempfile.TemporaryDirectory() as folder:
            NotebookClient(notebook, timeout=600, resources={"metadata": {"path": folder}}).execute()
        notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
        for cell in notebook.cells:
            cell.metadata = {}
            for output in cell.get("outputs", []):
                data = output.get("data", {})
                data.pop("image/jpeg", None)  # Pillow's second form of the same picture
                if "image/png" in data:
                    data["image/png"] = _smaller(data["image/png"])
        nbformat.write(notebook, path)
        print(path.name, path.stat().st_size // 1024, "kB")


def _smaller(png: str) -> str:
    """Reduce a picture to 256 colours, as base64."""
    with Image.open(io.BytesIO(base64.b64decode(png))) as picture:
        reduced = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    file = io.BytesIO()
    reduced.save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


if __name__ == "__main__":
    main()
