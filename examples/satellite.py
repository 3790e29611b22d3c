"""A synthetic scene of 13 bands: written as GeoTIFF, read by the names of bands, cut into tiles, and reconstructed.

The weights are random, so that it needs no network: the features and the reconstruction mean nothing.

python examples/satellite.py -o satellite.png
"""

import argparse
from pathlib import Path

import numpy as np
import rasterio
import torch

import maezoo

SPECTRA = {  # reflectance x 10000 of the bands of Sentinel-2 (level 1C), roughly
    "water": (1300, 900, 600, 400, 380, 350, 340, 320, 300, 200, 20, 150, 100),
    "forest": (1250, 850, 780, 520, 900, 2300, 2900, 2800, 3100, 900, 20, 1500, 750),
    "crops": (1300, 950, 1000, 750, 1300, 3200, 3900, 3800, 4200, 1100, 20, 2000, 1100),
    "soil": (1450, 1250, 1400, 1800, 2100, 2300, 2450, 2500, 2650, 900, 20, 3300, 2700),
    "town": (1700, 1650, 1700, 1800, 1950, 2150, 2300, 2350, 2400, 1000, 30, 2400, 2200),
}


def make_scene(side: int = 448, seed: int = 0) -> np.ndarray:
    """Draw fields, a forest, a town and a river: (H, W, 13) uint16."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    centres, kinds = rng.random((60, 2)), rng.choice([1, 2, 3], 60, p=[0.3, 0.4, 0.3])
    nearest = ((y[..., None] - centres[:, 0]) ** 2 + (x[..., None] - centres[:, 1]) ** 2).argmin(axis=2)  # (H, W)
    land = kinds[nearest]
    town = (np.hypot(y - 0.25, x - 0.7) < 0.12) & ((side * x) % 16 > 3) & ((side * y) % 16 > 3)
    land = np.where(town, 4, np.where(abs(y - 0.6 - 0.15 * np.sin(7 * x)) < 0.03, 0, land))
    shade = 1 + 0.15 * np.sin(60 * (x + y))[..., None] * (land == 2)[..., None]  # rows of crops
    bands = np.array(list(SPECTRA.values()))[land] * shade * rng.normal(1, 0.04, (side, side, 1))
    return bands.clip(1, 10_000).astype(np.uint16)


def main(output: Path) -> torch.Tensor:
    """Write the scene, print how alike its tiles are, and draw a reconstruction."""
    model = maezoo.create("mae_vit_small.ssl4eo_s2", device="cpu")  # pretrained=True for the published weights
    names, scene = model.preprocess.bands, make_scene()
    path = output.with_suffix(".tif")
    shape = {"height": len(scene), "width": len(scene), "count": 13, "dtype": "uint16", "crs": "EPSG:32632"}
    with rasterio.open(path, "w", driver="GTiff", transform=rasterio.Affine(10, 0, 0, 0, -10, 0), **shape) as file:
        file.write(np.moveaxis(scene, 2, 0))
        file.descriptions = names

    vectors = torch.nn.functional.normalize(model.features(maezoo.Scene(path).tiles(224)), dim=1)  # (4, D)
    print(f"cosines of the four tiles with the first: {(vectors @ vectors[0]).tolist()}")
    model.reconstruct(path).save(output, labels=True)  # bands=("B08", "B04", "B03") shows infrared as red
    print(f"{output}: original | masked | reconstruction by random weights, in natural colours")
    return vectors


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=Path("satellite.png"))
    main(parser.parse_args().output)
