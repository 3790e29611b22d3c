"""Time saved by decoding a JPEG at the scale that a crop needs, and the difference of its pixels to a full decode.

    python -m benchmarks.speed.crops FOLDER [--crops 100] [--size 224]

The crops are the paper's: area 0.2 to 1, aspect 3/4 to 4/3. Times are CPU seconds of one thread.
"""

import argparse
import time
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from maezoo.images.batches import open_image
from maezoo.images.cropping import open_crop
from maezoo.listing import image_files
from maezoo.training.sources.views import crop_box, draw_crops, step_generator


def main() -> None:
    options = _arguments()
    paths = [path for path in image_files(options.folder) if path.suffix.lower() in (".jpg", ".jpeg")]
    crops = draw_crops(options.crops, (0.2, 1.0), (3 / 4, 4 / 3), step_generator(0, 0))
    sides = zip(crops.area.tolist(), crops.aspect.tolist(), crops.left.tolist(), crops.top.tolist(), strict=True)
    differences, seconds = [], np.zeros(2)
    for number, crop in enumerate(sides):
        data, size = paths[number % len(paths)].read_bytes(), options.size
        start = time.process_time()
        needed = open_crop(data, size, partial(crop_box, *crop))
        between = time.process_time()
        whole = open_image(data)
        full = whole.resize((size, size), Image.Resampling.BICUBIC, box=crop_box(*crop, *whole.size))
        seconds += between - start, time.process_time() - between
        differences.append(np.abs(np.asarray(needed, float) - np.asarray(full, float)).mean())
    print(f"{len(differences)} crops of {size} px from {len(paths)} JPEGs")
    print("ms a crop: {:.1f} as needed, {:.1f} with a full decode".format(*1000 * seconds / len(differences)))
    print(
        f"mean difference of pixels from 0 to 255: {np.mean(differences):.2f}, of the worst crop {max(differences):.2f}"
    )
    print(f"crops with the same pixels: {np.mean(np.array(differences) == 0):.0%}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="with JPEGs")
    parser.add_argument("--crops", type=int, default=100)
    parser.add_argument("--size", type=int, default=224, help="of the result in pixels")
    return parser.parse_args()


if __name__ == "__main__":
    main()
