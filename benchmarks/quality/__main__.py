"""How good a model's features and reconstructions are, compared with methods that need no training.

    python -m benchmarks.quality --eval eval.npz --photos FOLDER [--model NAME | --weights FILE] [--out quality.json]

`--eval` is a pack of labelled images (see `benchmarks.quality.packs`), `--photos` a folder of photographs.

Features: k-nearest-neighbour (k = 20, cosine, temperature 0.07) and linear accuracy, as `maezoo eval` measures them.
Reconstructions: see `benchmarks.quality.reconstruction`; of the photographs, and of 150 of the pack's test images.
"""

import argparse
import json
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open

import maezoo
from benchmarks.quality.packs import read_pack
from benchmarks.quality.reconstruction import measure_reconstruction, photographs
from benchmarks.quality.scores import measure_features
from maezoo.checkpoints.metadata import WeightsMetadata
from maezoo.engines.machine import versions

_RECONSTRUCTED = 150  # images of the pack


def main() -> None:
    options = _arguments()
    with _threads(options.threads):
        _measure(options)


def _measure(options: argparse.Namespace) -> None:
    model = _model(options)
    result: dict[str, Any] = {
        "model": model.name,
        "weights": str(options.weights or "manifest"),
        "versions": versions(("maezoo", "torch", "timm", "scikit-learn", "pillow")),
    }
    if options.photos:
        paths = photographs(options.photos)
        result["photographs"] = [path.name for path in paths]
        result["reconstruction"] = measure_reconstruction(model, paths)
    if options.eval:
        images, labels, test = read_pack(options.eval, options.limit)
        if model.decoder is not None:
            held_out = np.flatnonzero(test)
            some = held_out[:: max(1, len(held_out) // _RECONSTRUCTED)][:_RECONSTRUCTED]
            result["reconstruction_of_pack"] = measure_reconstruction(model, [images[i] for i in some])
        result["features"] = measure_features(model, images, labels, test, options.precision)
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        print(f"\nwritten: {options.out}")


def _model(options: argparse.Namespace) -> "maezoo.MAE":
    """Create the named model, or the one in a file."""
    if options.weights is None:
        return maezoo.create(options.model, pretrained=True, device=options.device)
    with safe_open(options.weights, framework="pt") as file:
        metadata = WeightsMetadata.from_header(file.metadata(), options.weights)
    name = metadata.variant.name if metadata else options.model
    return maezoo.create(name, checkpoint=options.weights, device=options.device)


def _threads(count: int | None) -> AbstractContextManager[Any]:
    """Hold torch and scikit-learn to a number of threads: on a busy machine one is faster than two that wait."""
    from threadpoolctl import threadpool_limits

    if count is None:
        return nullcontext()
    torch.set_num_threads(count)
    limits: AbstractContextManager[Any] = threadpool_limits(count)
    return limits


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--eval", type=Path, help="labelled pack (.npz)")
    parser.add_argument("--photos", type=Path, help="folder of photographs")
    parser.add_argument("--model", default="mae_vit_tiny", help="weights of the manifest")
    parser.add_argument("--weights", type=Path, help="a safetensors file instead")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", action="append", default=[], help="features in int8 or bfloat16 too; repeat it")
    parser.add_argument("--threads", type=int, help="threads to use; 1 where other work is running")
    parser.add_argument("--limit", type=int, help="about so many images of the pack, for a quick look")
    parser.add_argument("--out", type=Path, help="write the numbers as JSON")
    options = parser.parse_args()
    if not options.eval and not options.photos:
        parser.error("pass --eval, --photos or both")
    return options


if __name__ == "__main__":
    main()
