"""Prepare microscope images of blood smears, a small domain: tiles without labels, and labelled cells.

    git clone https://github.com/Shenggan/BCCD_Dataset
    python -m benchmarks.quality.blood BCCD_Dataset blood

The data set (MIT licence) has 364 pictures of 640 x 480 pixels with boxes around cells. Its own split is kept. The
program writes `tiles.npz` from the training pictures, and `train` and `test` with crops of 96 x 96 pixels around each
platelet, each white cell and every sixth red cell.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

from PIL import Image

from maezoo.training import write_pack

_FIELD = 96  # pixels
_TILE = 128
_RED_KEPT = 6  # one of so many: there are eleven times as many of them as of others


def prepare(dataset: Path, out: Path) -> None:
    """Write tiles and fields of a clone of the data set."""
    for part, listed in (("train", "trainval"), ("test", "test")):
        for name in _names(dataset, listed):
            with Image.open(dataset / "BCCD" / "JPEGImages" / f"{name}.jpg") as opened:
                picture = opened.convert("RGB")
            for number, (label, box) in enumerate(_fields(dataset, name)):
                if label == "RBC" and number % _RED_KEPT:
                    continue
                folder = out / part / label
                folder.mkdir(parents=True, exist_ok=True)
                picture.crop(box).save(folder / f"{name}-{number}.png")
    with TemporaryDirectory() as tiles:
        write_pack(out / "tiles.npz", list(_tiles(dataset, Path(tiles))), size=_TILE, quality=90)


def _names(dataset: Path, listed: str) -> list[str]:
    return (dataset / "BCCD" / "ImageSets" / "Main" / f"{listed}.txt").read_text(encoding="utf-8").split()


def _fields(dataset: Path, name: str) -> Iterator[tuple[str, tuple[int, int, int, int]]]:
    """Yield the label of each cell, and a square round its middle that lies in the picture."""
    tree = ElementTree.parse(dataset / "BCCD" / "Annotations" / f"{name}.xml")
    for cell in tree.iter("object"):
        left, top, right, bottom = (
            int(cell.findtext(f"bndbox/{side}", "0")) for side in ("xmin", "ymin", "xmax", "ymax")
        )
        x = min(max((left + right) // 2 - _FIELD // 2, 0), 640 - _FIELD)
        y = min(max((top + bottom) // 2 - _FIELD // 2, 0), 480 - _FIELD)
        yield cell.findtext("name", ""), (x, y, x + _FIELD, y + _FIELD)


def _tiles(dataset: Path, folder: Path) -> Iterator[Path]:
    """Write the tiles of the training pictures, and yield their paths."""
    for name in _names(dataset, "trainval"):
        with Image.open(dataset / "BCCD" / "JPEGImages" / f"{name}.jpg") as opened:
            picture = opened.convert("RGB")
        for y in range(0, 480 - _TILE + 1, 117):
            for x in range(0, 640 - _TILE + 1, _TILE):
                path = folder / f"{name}-{y}-{x}.png"
                picture.crop((x, y, x + _TILE, y + _TILE)).save(path)
                yield path


if __name__ == "__main__":
    prepare(Path(sys.argv[1]), Path(sys.argv[2]))
