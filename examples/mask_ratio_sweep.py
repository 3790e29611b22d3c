"""How much can be hidden? The error at several mask ratios, for three masking strategies. Needs the extra `figures`.

python examples/mask_ratio_sweep.py photo.jpg other.jpg -o sweep.png
"""

import argparse
from pathlib import Path

import maezoo
from maezoo import figures


def main(
    photos: list[Path], output: Path, ratios: tuple[float, ...] = (0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.85, 0.95)
) -> None:
    """Measure, print a table, and draw."""
    model = maezoo.create("mae_vit_tiny", pretrained=True)
    sweep = figures.measure_sweep(model, photos, ratios=ratios, seeds=3)

    print("hidden " + "".join(f"{ratio:>8.0%}" for ratio in sweep.ratios))
    for strategy, errors in zip(sweep.strategies, sweep.error.tolist(), strict=True):
        print(f"{strategy:<7}" + "".join(f"{error:>8.3f}" for error in errors))

    figures.plot_sweep(sweep).savefig(output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("-o", "--output", type=Path, default=Path("sweep.png"))
    arguments = parser.parse_args()
    main(arguments.photos, arguments.output)
