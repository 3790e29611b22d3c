"""Ways to choose the hidden patches in pretraining, compared at equal views and at equal seconds.

    python -m benchmarks.quality.masking pretrain.npz [more.npz …] --eval eval.npz --out FOLDER
        [--views N] [--seeds 2] [--shape bundled|small] [--optimizer muon|adamw] [--threads N] [--only NAME …] [--times]

Contestants are the strategies at 75 %, a decoder that predicts half of the hidden patches, and the random strategy at
other ratios. For runs of equal seconds the number of views follows from the ratio of the steps' times, which is
measured first, alternately (with `--threads 1` in processor time, which other work disturbs less). The models are
judged by the error of hidden pixels on held-out images under fixed random masks at 75 %, whatever they were trained
with, and by nearest neighbours and a linear probe on mean-pooled features.

Each run has a folder below `--out`: a finished one is not run again, an unfinished one resumes from its checkpoint.
`results.json` and `table.md` there are written again after each.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

import maezoo
from benchmarks.quality.packs import read_pack
from benchmarks.quality.reconstruction import measure_model
from benchmarks.quality.scores import score_vectors
from maezoo.engines.machine import versions
from maezoo.files import written_whole
from maezoo.images.batches import prepare
from maezoo.images.preprocessing import Preprocessing
from maezoo.model import Variant, find_variant
from maezoo.training import ImageSource, Progress, Recipe, open_source, pretrain

SMALL: dict[str, Any] = {"img_size": 64, "embed_dim": 96, "depth": 4, "decoder_dim": 96, "decoder_depth": 1}
RECONSTRUCTED = 150  # held-out images
SAME = 0.03  # where equal seconds change the views by less, the run of equal views stands for both


@dataclass(frozen=True)
class Contestant:
    """One way to train: what differs from the recipe."""

    name: str
    recipe: dict[str, Any] = field(default_factory=dict)


CONTESTANTS = (
    Contestant("random"),
    *(Contestant(name, {"mask_strategy": name}) for name in ("block", "grid", "cells", "attention", "hard")),
    Contestant("predict 0.5", {"predict": 0.5}),
    *(Contestant(f"random {ratio:.0%}", {"mask_ratio": ratio}) for ratio in (0.5, 0.6, 0.8, 0.9)),
)


@dataclass(frozen=True)
class Planned:
    """One run."""

    contestant: Contestant
    budget: str
    seed: int
    views: int

    @property
    def folder(self) -> str:
        return f"{self.contestant.name.replace(' ', '-').replace('%', '')}-{self.budget}-{self.seed}"


def main() -> None:
    options = _arguments()
    source = open_source(*options.data)
    chosen = [each for each in CONTESTANTS if not options.only or each.name in options.only]
    seconds = _step_seconds(options, source, chosen)
    if options.times:
        print("\n".join(f"{name:<12} {each / seconds['random']:.2f}" for name, each in seconds.items()))
        return
    held_out = read_pack(options.eval, options.limit)
    for planned in _plan(options, chosen, seconds):
        path = options.out / planned.folder / "result.json"
        if not path.exists():
            _write(path, _run(options, planned, source, held_out))
            (path.parent / "checkpoint.safetensors").unlink()
        _summarise(options, chosen, seconds)
    print((options.out / "table.md").read_text(encoding="utf-8"))


def _plan(options: argparse.Namespace, chosen: list[Contestant], seconds: dict[str, float]) -> Iterator[Planned]:
    """Yield the runs: first all of one seed at equal views, so that a comparison that is cut short is one."""
    for budget in ("views", "seconds"):
        for seed in range(options.seeds):
            for each in chosen:
                views = options.views
                if budget == "seconds":
                    views = round(views * seconds["random"] / seconds[each.name])
                    if abs(views / options.views - 1) < SAME:
                        continue
                yield Planned(each, budget, seed, views)


def _recipe(options: argparse.Namespace, each: Contestant, views: int, seed: int) -> Recipe:
    """Return the recipe of a run; cells are as large as leaves enough of them on the grid."""
    cell = 2 if options.shape == "small" else 4
    base = Recipe(views=views, seed=seed, optimizer=options.optimizer, mask_cell=cell, batch_size=options.batch_size)
    return replace(base, **each.recipe)


def _variant(options: argparse.Namespace) -> Variant:
    tiny = find_variant("mae_vit_tiny")
    return tiny if options.shape == "bundled" else replace(tiny, **SMALL)


def _step_seconds(options: argparse.Namespace, source: ImageSource, chosen: list[Contestant]) -> dict[str, float]:
    """Return the median seconds of a step of each contestant, from short runs in turns; measured once."""
    path = options.out / "steps.json"
    found: dict[str, float] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    missing = [each for each in chosen if each.name not in found]
    if not missing:
        return found
    turns = [CONTESTANTS[0], *(each for each in missing if each.name != "random")]
    taken: dict[str, list[float]] = {each.name: [] for each in turns}
    for _ in range(options.rounds):
        for each in turns:
            taken[each.name] += _time_steps(options, source, each)
    medians = {name: statistics.median(values) for name, values in taken.items()}
    scale = found.get("random", medians["random"]) / medians["random"]  # of another day: only ratios are compared
    found |= {each.name: medians[each.name] * scale for each in turns if each.name not in found}
    _write(path, found)
    return found


def _time_steps(options: argparse.Namespace, source: ImageSource, each: Contestant) -> list[float]:
    """Return the seconds of the last steps of a short run."""
    ends: list[float] = []
    clock = time.process_time if options.threads == 1 and not torch.cuda.is_available() else time.perf_counter
    recipe = _recipe(options, each, 6 * options.batch_size, 0)
    with tempfile.TemporaryDirectory(dir=options.out) as folder:
        pretrain(
            recipe,
            source,
            Path(folder),
            variant=_variant(options),
            report=lambda at: ends.append(clock()),
            report_every=1,
        )
    return [end - start for start, end in pairwise(ends)][1:]


def _run(options: argparse.Namespace, planned: Planned, source: ImageSource, held_out: Any) -> dict[str, Any]:
    """Train and judge one model."""

    def report(at: Progress) -> None:
        print(f"{planned.folder}: {at.views:,} views, loss {at.loss:.4f}, {at.views_per_second:.0f}/s", flush=True)

    recipe, variant = _recipe(options, planned.contestant, planned.views, planned.seed), _variant(options)
    folder = options.out / planned.folder
    trained = pretrain(recipe, source, folder, variant=variant, report=report, checkpoint_seconds=60)
    preprocess = Preprocessing(size=(variant.img_size, variant.img_size))
    model = maezoo.MAE(trained.encoder, trained.decoder, preprocess=preprocess, target=trained.target).eval()
    images, labels, test = held_out
    tests = np.flatnonzero(test)
    some = [images[i] for i in tests[:: max(1, len(tests) // RECONSTRUCTED)][:RECONSTRUCTED]]
    error = measure_model(model, some, prepare(some, preprocess).float() / 255, 0.75)
    vectors = model.features(images, pool="mean").float().cpu().numpy()
    scores = {score.method: score.to_dict() for score in score_vectors(vectors, labels, test)}
    kept = {name: {key: scores[name][key] for key in ("accuracy", "interval")} for name in ("knn", "linear")}
    what = {"name": planned.contestant.name, "budget": planned.budget, "seed": planned.seed, "views": planned.views}
    return {**what, "error": error, **kept, "recipe": recipe.to_dict()}


def _summarise(options: argparse.Namespace, chosen: list[Contestant], seconds: dict[str, float]) -> None:
    """Write what is finished as one file, and as a table."""
    paths = sorted(options.out.glob("*/result.json"))
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    facts = {"shape": options.shape, "step_seconds": seconds, "versions": versions(("maezoo", "torch", "timm"))}
    _write(options.out / "results.json", {**facts, "runs": runs})
    lines = []
    for budget in ("views", "seconds"):
        lines += [
            f"Equal {budget}:",
            "",
            "| | step, of random | views | hidden error | 95 % | kNN % | 95 % | linear % | 95 % |",
            "|---|---:|---:|---:|---|---:|---|---:|---|",
        ]
        for each in chosen:
            mine = [run for run in runs if run["name"] == each.name and run["budget"] == budget]
            if mine:
                lines.append(_row(each.name, mine, seconds[each.name] / seconds["random"]))
        lines.append("")
    with written_whole(options.out / "table.md") as temporary:
        temporary.write_text("\n".join(lines), encoding="utf-8")


def _row(name: str, runs: list[dict[str, Any]], step: float) -> str:
    """Return a line of the table: each seed's number, and the span of the seeds' intervals."""
    cells = [name, f"{step:.2f}", f"{runs[0]['views']:,}"]
    for key, value, scale, digits in (
        ("error", "mse", 1, 4),
        ("knn", "accuracy", 100, 1),
        ("linear", "accuracy", 100, 1),
    ):
        lows, highs = zip(*(run[key]["interval"] for run in runs), strict=True)
        cells.append(" / ".join(f"{run[key][value] * scale:.{digits}f}" for run in runs))
        cells.append(f"{min(lows) * scale:.{digits}f} to {max(highs) * scale:.{digits}f}")
    return f"| {' | '.join(cells)} |"


def _write(path: Path, data: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="+", help="packs or a folder to train on")
    parser.add_argument("--eval", type=Path, required=True, help="labelled pack (.npz)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--views", type=int, default=40_000, help="images shown in each run of equal views")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--shape", choices=("bundled", "small"), default="bundled", help="of the model")
    parser.add_argument("--optimizer", choices=("muon", "adamw"), default="muon")
    parser.add_argument("--only", action="append", choices=[each.name for each in CONTESTANTS], help="may be repeated")
    parser.add_argument("--rounds", type=int, default=5, help="turns in which the steps are timed")
    parser.add_argument("--times", action="store_true", help="time the steps, and train no model")
    parser.add_argument("--limit", type=int, help="about so many images of the labelled pack, for a quick look")
    parser.add_argument("--threads", type=int, help="threads to use")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.threads:
        torch.set_num_threads(options.threads)
    return options


if __name__ == "__main__":
    main()
