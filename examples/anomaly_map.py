"""Find what does not belong: paste a piece of one photo into another, and see where the error rises.

Every patch is hidden and predicted from its surroundings, several times. What does not fit the surroundings is
predicted badly, and so is fine texture. So the error is compared with that of the photo before the piece was pasted, as
one would compare a product with good ones of the same kind. Needs the extra `figures`.

python examples/anomaly_map.py photo.jpg foreign.jpg -o anomaly.png
"""

import argparse
from pathlib import Path

from PIL import Image

import maezoo
from maezoo.figures import plot_whole
from maezoo.images.batches import open_image

SIDE = 256  # pixels of the square photos
PIECE = 44  # pixels of the pasted piece
PLACE = (148, 40)  # of its left and top edge


def main(photo: Path, foreign: Path, output: Path, rounds: int = 4) -> float:
    """Draw the error maps with and without the foreign piece, and return how much the piece stands out."""
    model = maezoo.create("mae_vit_tiny", pretrained=True)
    good = square(photo)
    piece = square(foreign).crop((106, 106, 106 + PIECE, 106 + PIECE))
    bad = good.copy()
    bad.paste(piece, PLACE)

    whole = maezoo.reconstruct_all(model, [good, bad], ratio=0.75, rounds=rounds, seed=0)

    plot_whole(whole, captions=["as it was", "with a piece"]).savefig(output)
    surprise = whole.error_map[1] - whole.error_map[0]  # (h, w)
    scale = len(surprise) / SIDE
    left, top = (round(side * scale) for side in PLACE)
    span = round(PIECE * scale)
    inside = surprise[top : top + span, left : left + span].mean().item()
    outside = (surprise.sum().item() - inside * span * span) / (surprise.numel() - span * span)
    print(f"the error rose by {inside:.3f} in the pasted piece, and by {outside:.3f} elsewhere")
    return inside - outside


def square(path: Path) -> Image.Image:
    """Return the middle of a photo, SIDE by SIDE pixels."""
    photo = open_image(path)
    side = min(photo.size)
    left, top = (photo.width - side) // 2, (photo.height - side) // 2
    return photo.crop((left, top, left + side, top + side)).resize((SIDE, SIDE))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photo", type=Path)
    parser.add_argument("foreign", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("anomaly.png"))
    arguments = parser.parse_args()
    main(arguments.photo, arguments.foreign, arguments.output)
