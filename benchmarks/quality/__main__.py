"""How good a model's features and reconstructions are, beside what needs no training.

    python -m benchmarks.quality --eval eval.npz --photos FOLDER [--model NAME | --weights FILE] [--out quality.json]

`--eval` is a pack of labelled images: an .npz with `blob` (uint8, encoded images end to end), `offset` (int64, n + 1
positions in it), `label` and `split` (0 = train, 1 = test). `--photos` is a folder of photographs.

Features: k-nearest-neighbour (k = 20, cosine, temperature 0.07) and linear accuracy, as `maezoo eval` measures them.
Reconstructions: see `benchmarks.quality.reconstruction`; of the photographs, and of 150 of the pack's test images.
"""

import argparse
import json
from contextlib import AbstractContextManager, nullcontext
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors import safe_open
from torch.nn import functional as F

import maezoo
from benchmarks.quality.descriptors import descriptors
from benchmarks.quality.reconstruction import interval_text, measure_reconstruction, photographs
from maezoo.api.image_methods import ImageMethods
from maezoo.checkpoints.metadata import WeightsMetadata
from maezoo.engines.machine import versions
from maezoo.evaluation import LabelledFeatures, Score, knn, linear

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


def measure_features(
    model: "maezoo.MAE",
    images: list[Image.Image],
    labels: NDArray[Any],
    test: NDArray[np.bool_],
    precisions: list[str],
) -> dict[str, Any]:
    """Score the model's features and the untrained ones, of labelled images (n)."""
    print(f"\n{(~test).sum():,} training and {test.sum():,} test images, {len(set(labels))} classes")
    print(f"{'features':<34}{'kNN %':>7}{'95 %':>16}{'linear %':>11}{'95 %':>16}")
    found: dict[str, Any] = {}
    for name, vectors in _feature_sets(model, images, precisions):
        scores = score_vectors(vectors, labels, test)
        found[name] = {score.method: score.to_dict() for score in scores}
        columns = (
            f"{100 * s.accuracy:>{7 if s.method == 'knn' else 11}.1f}{interval_text(s.interval, 100, 1):>16}"
            for s in scores
        )
        print(f"{name:<34}{''.join(columns)}", flush=True)
    return found


def score_vectors(vectors: NDArray[Any], labels: NDArray[Any], test: NDArray[np.bool_]) -> list[Score]:
    """Return the k-nearest-neighbour and the linear score of (n, D) vectors."""
    sets = [LabelledFeatures(vectors[part].astype(np.float32), labels[part]) for part in (~test, test)]
    return [knn(*sets), linear(*sets, max_iterations=300)]


def read_pack(path: Path, limit: int | None = None) -> tuple[list[Image.Image], NDArray[Any], NDArray[np.bool_]]:
    """Return images, labels (n,) and which are for testing (n,); `limit` takes every n-th to keep about so many."""
    with np.load(path, allow_pickle=False) as pack:
        blob, offset, labels, split = pack["blob"], pack["offset"], pack["label"], pack["split"]
    step = 1 if limit is None else max(1, len(labels) // limit)
    chosen = range(0, len(labels), step)
    images = [Image.open(BytesIO(blob[offset[i] : offset[i + 1]].tobytes())).convert("RGB") for i in chosen]
    return images, labels[::step], split[::step] == 1


def _optimised(model: "maezoo.MAE", precisions: list[str]) -> "list[tuple[str, maezoo.OptimizedMAE]]":
    """Return the model in other precisions, by name."""
    return [(f"  in {precision}", model.optimize(precision=precision)) for precision in precisions]


def _nearness(found: NDArray[Any], exact: NDArray[Any]) -> str:
    """Say how near (n, D) vectors are to the exact ones, also beside what sets those apart from each other."""
    cosine = np.sum(found * exact, axis=1) / np.linalg.norm(found, axis=1) / np.linalg.norm(exact, axis=1)
    error = np.linalg.norm(found - exact) / np.linalg.norm(exact - exact.mean(axis=0))
    return f"cosine {cosine.min():.5f} at least, {cosine.mean():.5f} in the mean; error {error:.1%} of the spread"


def _feature_sets(model: "maezoo.MAE", images: list[Image.Image], precisions: list[str]) -> Any:
    """Yield each kind of features by name, (n, D)."""
    torch.manual_seed(0)
    untrained = maezoo.create(model.name.partition(".")[0], device=model.device, decoder=False)
    untrained.preprocess = model.preprocess
    exact: tuple[NDArray[Any], NDArray[Any]] | None = None
    for name, each in ((model.name, model), *_optimised(model, precisions), ("random weights", untrained)):
        both = each.features(images, pool="cls+mean").float().cpu().numpy()
        cls, mean = np.split(both, 2, axis=1)
        exact = (mean, cls) if exact is None else exact
        if isinstance(each, maezoo.OptimizedMAE):
            for pool, vectors, true in zip(("mean", "cls"), (mean, cls), exact, strict=True):
                print(f"  {pool} beside float32: {_nearness(vectors, true)}")
        yield f"{name}, mean", mean
        yield f"{name}, cls", cls
        if not isinstance(each, maezoo.OptimizedMAE):
            yield f"{name}, map 2x2", _pooled_map(each, images, 2)
    yield from descriptors(images)


def _pooled_map(model: ImageMethods, images: list[Image.Image], side: int) -> NDArray[Any]:
    """Average the feature map in side x side parts, side by side: a vector that keeps the layout, as HOG's does."""
    (maps,) = model.feature_maps(images)
    return F.adaptive_avg_pool2d(maps.float(), side).flatten(1).cpu().numpy()


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
