"""Features and a reconstruction from the model that comes with the package: no network needed.

python examples/quickstart.py photo.jpg other.jpg -o reconstruction.png
"""

import argparse
from pathlib import Path

import torch

import maezoo


def main(photos: list[Path], output: Path) -> None:
    """Print how similar the photos are; then hide three quarters of the first and reconstruct it."""
    model = maezoo.create("mae_vit_tiny", pretrained=True)

    vectors = torch.nn.functional.normalize(model.features(photos), dim=1)  # (B, 192)
    for photo, similarity in zip(photos, vectors @ vectors[0], strict=True):
        print(f"{photo.name:<24} cosine with the first: {similarity:.3f}")

    result = model.reconstruct(photos[0], mask_ratio=0.75, seed=0)
    result.save(output)
    print(f"{output}: original | masked | reconstruction, error {result.loss.item():.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("-o", "--output", type=Path, default=Path("reconstruction.png"))
    arguments = parser.parse_args()
    main(arguments.photos, arguments.output)
