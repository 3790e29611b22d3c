"""How fast pretraining is: reading alone, the step alone, and both, compared with other loops.

    python -m benchmarks.speed.pretraining [--source FOLDER] [--model NAME] [--parts reading,step,both]
                                           [--precisions float32,bfloat16] [--out pretraining.json]

Without a source, N JPEGs of `--side` with the spectrum of photographs are made in a temporary folder. The same pictures
are read from a folder, tar shards, Parquet and a pack. All contestants of a part take turns; medians are printed. The
peers:

    transformers   what its example run_mae.py does: torchvision's RandomResizedCrop (area 0.2 to 1, bicubic), flip,
                   ToTensor, Normalize in a DataLoader, ViTMAEForPreTraining, gradients clipped; with AdamW fused
    original       the step of the paper's PyTorch code: attention as softmax(q k) v, AdamW as PyTorch chooses, the
                   loss read after each step; the same reading

Ours is `maezoo.training.pretrain` with AdamW, its schedule, log and clipping included. The first steps are not counted.
Measure with nothing else running.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.speed import machine
from benchmarks.speed.extract import make_photographs
from benchmarks.speed.pretraining_peers import peer_batches, peer_step
from benchmarks.speed.pretraining_sources import Still, write_sources
from maezoo.hardware import choose_device
from maezoo.model import Variant, find_variant
from maezoo.training import ImageSource, Recipe, open_source, pretrain
from maezoo.training.sources.views import draw_crops, draw_indices, step_generator

WARM = 2  # steps, or batches, before time is taken
PARTS = ("reading", "step", "both")
Rates = dict[str, list[float]]


def main() -> None:
    options = _arguments()
    device = choose_device(options.device)
    about = machine.describe(device)
    print(*about.lines(), sep="\n")
    with tempfile.TemporaryDirectory(prefix="maezoo-pretraining-") as name:
        scratch = Path(name)
        photographs = options.source or make_photographs(scratch / "photographs", options.images, options.side)
        variant = find_variant(options.model)
        sources = write_sources(photographs, scratch / "sources", round(variant.img_size * 256 / 224))
        result = {"machine": about.to_data(), "options": {k: str(v) for k, v in vars(options).items()}}
        for part in options.parts:
            for precision in ("float32",) if part == "reading" else options.precisions:
                runs = _contestants(part, precision, variant, sources, device, scratch, options)
                title = part if part == "reading" else f"{part}, {precision}"
                result[title] = _measure(title, runs, options.rounds)
                if options.out:
                    options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def _measure(title: str, runs: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, Any]:
    """Let the contestants take turns, and print each one's median rate, with its range."""
    rates: Rates = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            rates[name].append(run())
    print(f"\n{title}, images/s: median (least to most of {rounds})")
    for name, found in rates.items():
        print(f"{name:<32}{statistics.median(found):>10.1f}  ({min(found):.1f} to {max(found):.1f})", flush=True)
    return {name: [round(rate, 2) for rate in found] for name, found in rates.items()}


def _contestants(
    part: str,
    precision: str,
    variant: Variant,
    sources: dict[str, Path],
    device: torch.device,
    scratch: Path,
    options: argparse.Namespace,
) -> dict[str, Callable[[], float]]:
    """Return what is measured of a part, by name; each gives images a second."""
    batch, steps, folder = options.batch_size, options.steps, sources["folder"]
    still = torch.rand(batch, 3, variant.img_size, variant.img_size, generator=torch.Generator().manual_seed(0))
    recipe = Recipe(
        model=variant.name,
        views=batch * (WARM + steps),
        batch_size=batch,
        optimizer="adamw",
        base_lr=1.5e-4,
        crop=(0.2, 1.0),
        ema=0.0,
        precision=precision,  # type: ignore[arg-type]
    )

    def ours(source: ImageSource) -> float:
        with tempfile.TemporaryDirectory(dir=scratch) as out:
            marks: list[tuple[float, int]] = []
            settings: dict[str, Any] = {"device": device, "report_every": WARM, "checkpoint_seconds": 1e9}
            settings["report"] = lambda at: marks.append((time.perf_counter(), at.views))
            pretrain(recipe, source, Path(out), **settings)
        return (marks[-1][1] - marks[0][1]) / (marks[-1][0] - marks[0][0])

    def theirs(name: str, batches: Callable[[], Iterator[Tensor]]) -> float:
        step = peer_step(name, variant, precision, device)
        return _rate(step(images) for images in batches())

    def read() -> Iterator[Tensor]:
        return peer_batches(folder, variant.img_size, batch, WARM + steps, options.workers, device)

    def given() -> Iterator[Tensor]:
        return (still.to(device) for _ in range(WARM + steps))

    peers = ("transformers", "original")
    opened = {kind: open_source(path, device=device) for kind, path in sources.items()} if part != "step" else {}
    if part == "reading":
        runs = {f"maezoo, {kind}": _reading(source, recipe, variant, device) for kind, source in opened.items()}
        return runs | {f"torchvision + DataLoader, {options.workers}": lambda: _rate(len(each) for each in read())}
    if part == "step":
        mine: dict[str, Callable[[], float]] = {"maezoo": lambda: ours(Still(still.to(device)))}
        return mine | {name: partial(theirs, name, given) for name in peers}
    runs = {f"maezoo, {kind}": partial(ours, source) for kind, source in opened.items()}
    return runs | {f"{name}, folder": partial(theirs, name, read) for name in peers}


def _reading(source: ImageSource, recipe: Recipe, variant: Variant, device: torch.device) -> Callable[[], float]:
    """Return what reads a run's batches one after the other."""

    def batches() -> Iterator[int]:
        for step in range(recipe.steps):
            blocks = getattr(source, "blocks", None)
            indices = draw_indices(len(source), recipe.batch_size, step, recipe.seed, blocks)
            crops = draw_crops(recipe.batch_size, recipe.crop, recipe.aspect, step_generator(recipe.seed, step))
            views = source.views(indices, crops, variant.img_size)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            yield len(views)

    return lambda: _rate(batches())


def _rate(counts: Iterator[int]) -> float:
    """Return images a second after the first ones."""
    marks = [(time.perf_counter(), count) for count in counts]
    timed = marks[WARM - 1 :]
    return sum(count for _, count in timed[1:]) / (timed[-1][0] - timed[0][0])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, help="a folder of photographs instead of generated ones")
    parser.add_argument("--model", default="mae_vit_base")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--parts", type=_words, default=PARTS, help="of reading, step, both")
    parser.add_argument("--precisions", type=_words, default=("float32", "bfloat16"), help="of float32, bfloat16")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--steps", type=int, default=6, help="that are timed in each turn; even")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each contestant")
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--side", type=int, default=500, help="width of the generated images, whose sides are 4 to 3")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="of the peers' DataLoader")
    parser.add_argument("--out", type=Path, help="write the numbers as JSON")
    return parser.parse_args()


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(","))


if __name__ == "__main__":
    main()
