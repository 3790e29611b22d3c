"""Compare small autoencoders before a long training: short runs of equal length, each with one change to a base.

    python -m benchmarks.quality.experiments pretrain.npz [more.npz …] --eval eval.npz --photos FOLDER --out FOLDER
        [--views N]

Each experiment has a folder of its own below `--out`; a finished one is not run again, an unfinished one resumes from
its checkpoint. `table.md` there is written again after each. The measures are those of `benchmarks.quality`: the error
of the hidden pixels at 75 %, relative to harmonic filling of the same masks, and the k-nearest-neighbour and linear
accuracy of mean-pooled features. Photographs are shown to each model at its own resolution.
"""

import argparse
import json
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

import maezoo
from benchmarks.quality.packs import read_pack
from benchmarks.quality.reconstruction import measure_ratio, photographs
from benchmarks.quality.scores import score_vectors
from maezoo.files import written_whole
from maezoo.images.batches import prepare
from maezoo.images.preprocessing import Preprocessing
from maezoo.model import MaskedAutoencoder, find_variant
from maezoo.training import ImageSource, Recipe, open_source, pretrain

BASE = "base: 96 px, patch 8, 192 x 6, decoder 96 x 3"
BASE_SHAPE = {"img_size": 96, "patch_size": 8, "embed_dim": 192, "depth": 6, "decoder_dim": 96, "decoder_depth": 3}


@dataclass(frozen=True)
class Experiment:
    """One run: what differs from the base, in the shape and in the recipe."""

    name: str
    shape: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        return "".join(letter if letter.isalnum() else "-" for letter in self.name.lower())


EXPERIMENTS = (
    Experiment(BASE),
    Experiment("64 px, patch 8", {"img_size": 64}),
    Experiment("96 px, patch 12", {"patch_size": 12}),
    Experiment("128 px, patch 16", {"img_size": 128, "patch_size": 16}),
    Experiment("depth 12", {"depth": 12}),
    Experiment("width 256", {"embed_dim": 256, "num_heads": 4}),
    Experiment("decoder 96 x 6", {"decoder_depth": 6}),
    Experiment("decoder 192 x 3", {"decoder_dim": 192}),
    Experiment("crops of 0.7 to 1.0", recipe={"crop": (0.7, 1.0)}),
    Experiment("crops of 0.15 to 1.0", recipe={"crop": (0.15, 1.0)}),
    Experiment("60 % hidden in training", recipe={"mask_ratio": 0.6}),
    Experiment("85 % hidden in training", recipe={"mask_ratio": 0.85}),
    Experiment("no average of the weights", recipe={"ema": 0.0}),
    Experiment("normalised target", recipe={"target": "normpix"}),
    Experiment("decoder 192 x 3, both targets", {"decoder_dim": 192}, {"normpix_weight": 1.0}),
)


def main() -> None:
    options = _arguments()
    source = open_source(*options.data)
    images, labels, test = read_pack(options.eval)
    for experiment in EXPERIMENTS:
        folder = options.out / experiment.folder
        if not (folder / "result.json").exists():
            model, seconds = _train(experiment, source, folder, options.views)
            result = _judge(model, photographs(options.photos), images, labels, test)
            result |= {"name": experiment.name, "parameters": sum(p.numel() for p in model.parameters())}
            result |= {"views": options.views, "seconds": seconds}
            _write(folder / "result.json", json.dumps(result, indent=2) + "\n")
        _write(options.out / "table.md", _table(options.out))
    print((options.out / "table.md").read_text(encoding="utf-8"))


def _train(experiment: Experiment, source: ImageSource, folder: Path, views: int) -> tuple["maezoo.MAE", float]:
    """Run one experiment; return its model and the seconds that the run took, pauses included."""
    recipe = replace(Recipe(views=views), **experiment.recipe)
    variant = replace(find_variant(recipe.model or "mae_vit_tiny"), **{**BASE_SHAPE, **experiment.shape})
    start = time.perf_counter()
    trained = pretrain(
        recipe,
        source,
        folder,
        variant=variant,
        report=lambda at: print(
            f"{experiment.name}: {at.views:,} views, loss {at.loss:.4f}, {at.views_per_second:.0f}/s", flush=True
        ),
    )
    return _with_images(trained, variant.img_size), time.perf_counter() - start


def _with_images(trained: MaskedAutoencoder, size: int) -> "maezoo.MAE":
    """Return a trained model as one that takes photographs."""
    preprocess = Preprocessing(size=(size, size))
    return maezoo.MAE(trained.encoder, trained.decoder, preprocess=preprocess, target=trained.target).eval()


def _judge(model: "maezoo.MAE", photos: list[Path], images: list[Any], labels: Any, test: Any) -> dict[str, Any]:
    """Measure one model; a normalised target's error needs the answer's statistics, so it has none here."""
    vectors = model.features(images, pool="mean").float().cpu().numpy()
    scores = {score.method: score.to_dict() for score in score_vectors(vectors, labels, test)}
    found: dict[str, Any] = {"knn": scores["knn"]["accuracy"], "linear": scores["linear"]["accuracy"], "ratio": None}
    if model.target == "pixel":
        pixels = prepare(photos, model.preprocess).float() / 255
        entry = measure_ratio(model, photos, pixels, 0.75)
        found |= {"mse": entry["model"]["mse"], "harmonic": entry["harmonic"]["mse"]}
        found["ratio"] = found["mse"] / found["harmonic"]
    return found


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _table(out: Path) -> str:
    """Return what is finished as a Markdown table."""
    lines = [
        "| experiment | parameters, million | hidden error at 75 % | of harmonic | kNN % | linear % |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for path in (out / experiment.folder / "result.json" for experiment in EXPERIMENTS):
        if not path.exists():
            continue
        result = json.loads(path.read_text(encoding="utf-8"))
        error = "-" if result["ratio"] is None else f"{result['mse']:.4f}"
        share = "-" if result["ratio"] is None else f"{result['ratio']:.3f}"
        accuracy = f"{100 * result['knn']:.1f} | {100 * result['linear']:.1f}"
        lines.append(f"| {result['name']} | {result['parameters'] / 1e6:.2f} | {error} | {share} | {accuracy} |")
    return "\n".join(lines) + "\n"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="+", help="packs or a folder to train on")
    parser.add_argument("--eval", type=Path, required=True, help="labelled pack (.npz)")
    parser.add_argument("--photos", type=Path, required=True, help="folder of photographs")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--views", type=int, default=40_000, help="images shown in each run")
    parser.add_argument("--threads", type=int, help="threads to use")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    return options


if __name__ == "__main__":
    main()
