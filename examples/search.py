"""Find the photos of a folder that are most similar to one photo: features, then nearest neighbours by cosine.

python examples/search.py query.jpg folder -o neighbours.png
"""

import argparse
from pathlib import Path

import torch
from PIL import Image

import maezoo
from maezoo.images.batches import open_image

SIDE, GAP = 192, 8  # pixels of a thumbnail, and between two


def main(query: Path, folder: Path, output: Path, k: int = 3) -> list[Path]:
    """Write a picture of the query and its k nearest neighbours, and return these."""
    model = maezoo.create("mae_vit_tiny", pretrained=True, decoder=False)
    photos = sorted(path for path in folder.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg", ".png", ".webp"})
    photos = [path for path in photos if path.resolve() != query.resolve()]

    vectors = model.features([query, *photos], pool="mean", batch_size=64)  # (1 + n, D)
    vectors = vectors - vectors.mean(dim=0)  # remove what all photos share
    vectors = torch.nn.functional.normalize(vectors, dim=1)
    best = (vectors[1:] @ vectors[0]).topk(min(k, len(photos)))

    nearest = [photos[index] for index in best.indices]
    for path, likeness in zip(nearest, best.values, strict=True):
        print(f"{likeness:+.3f}  {path}")
    draw([query, *nearest]).save(output)
    return nearest


def draw(paths: list[Path]) -> Image.Image:
    """Return the photos in a row, the query first with a wider gap after it."""
    strip = Image.new("RGB", (len(paths) * (SIDE + GAP) + 2 * GAP, SIDE), "white")
    for place, path in enumerate(paths):
        photo = open_image(path, least=SIDE)
        photo.thumbnail((SIDE, SIDE))
        left = place * (SIDE + GAP) + (3 * GAP if place else 0)
        strip.paste(photo, (left + (SIDE - photo.width) // 2, (SIDE - photo.height) // 2))
    return strip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("query", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("neighbours.png"))
    arguments = parser.parse_args()
    main(arguments.query, arguments.folder, arguments.output)
