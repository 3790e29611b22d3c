"""How fast extraction is: decode alone, model alone, the pipeline, and the loop a user would write.

    python -m benchmarks.speed.extract [--source FOLDER] [--model NAME] [--images N] [--side 500] [--out extract.json]

Without a source, N JPEGs of `--side` with the spectrum of photographs are made in a temporary folder. Rates are in
steady state, from the first batch to the last: start and end of the worker processes do not count. Use twenty
batches or more, and a machine with nothing else running.

Two bounds are printed, and the pipeline's share of each:

    slower of two  min(decode, model): it applies where the two share nothing, that is on CUDA
    shared cores   it applies on a CPU: all cores busy with the work of both and with nothing else. Where each alone
                   keeps all cores busy it is 1 / (1 / decode + 1 / model)
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image
from timm.data import ImageDataset, create_transform

import maezoo
from benchmarks.speed import machine
from maezoo.api.image_methods import ImageMethods
from maezoo.api.optimized import OptimizedMAE, optimize_for
from maezoo.extraction.decode import Decoder, chunk_starts
from maezoo.extraction.embed import Embedder
from maezoo.extraction.items import Items
from maezoo.extraction.local import choose_batch_size, choose_workers, decoded_chunks
from maezoo.extraction.sources import find_items


def main() -> None:
    options = _arguments()
    with tempfile.TemporaryDirectory() as scratch:
        source = options.source or make_photographs(Path(scratch) / "photographs", options.images, options.side)
        result = measure(source, Path(scratch), options)
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def measure(source: Path, scratch: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Measure each stage in turn, print the rates, and return all that was found."""
    model: ImageMethods = maezoo.create(
        options.model, pretrained=True, device=options.device, dtype=options.precision, decoder=False
    )
    items = Items.collect(find_items(source), options.images)
    device = model.device.type
    size = options.batch_size or choose_batch_size(device)
    workers = choose_workers(device, len(items), size) if options.workers is None else options.workers
    model = optimize_for(model, "features", len(items), batch_size=size)  # as the pipeline does it
    if len(items) < 3 * size:
        raise SystemExit(f"{len(items)} images are too few for batches of {size}: three batches are the least.")
    about = machine.describe(model.device)
    print(*about.lines(), sep="\n")
    engine = model.plan.tasks["features"].route_for(size).engine if isinstance(model, OptimizedMAE) else "eager"
    print(f"{len(items):,} images, {model.name} in {model.dtype} on {engine}, batches of {size}, {workers} workers")
    stages: dict[str, Callable[[], float]] = {
        "decode alone": lambda: decode_alone(model, items, size, workers, exact=False),
        "decode alone, --exact": lambda: decode_alone(model, items, size, workers, exact=True),
        "model alone": lambda: model_alone(model, items, size),
        "pipeline": lambda: pipeline(model, source, scratch / "features", size, workers, len(items)),
        "timm + DataLoader": lambda: user_loop(model, source, size, workers, len(items)),
    }
    rates = {}
    for name, stage in stages.items():
        rates[name] = stage()
        print(f"{name:<32}{rates[name]:>10.1f} images/s", flush=True)
    shares = compare(rates, "shared cores" if device == "cpu" else "slower of two", about.cores, about.threads, workers)
    return {
        "machine": about.to_data(),
        "model": model.name,
        "precision": str(model.dtype).removeprefix("torch."),
        "device": device,
        "engine": engine,
        "images": len(items),
        "side": None if options.source else options.side,
        "batch_size": size,
        "workers": workers,
        "images_per_second": {name: round(rate, 1) for name, rate in rates.items()},
        **shares,
    }


def compare(rates: dict[str, float], applies: str, cores: int, threads: int, workers: int) -> dict[str, Any]:
    """Compare the pipeline with both bounds and with the user's loop, and print that."""
    decode, model, reached = rates["decode alone"], rates["model alone"], rates["pipeline"]
    bounds = {
        "slower of two": min(decode, model),
        "shared cores": shared_cores(decode, model, cores=cores, threads=threads, workers=workers),
    }
    for name, bound in bounds.items():
        note = "  <- applies on this device" if name == applies else ""
        print(f"{name:<32}{bound:>10.1f} images/s; pipeline reaches {reached / bound:.0%}{note}")
    print(f"{'pipeline / timm + DataLoader':<32}{reached / rates['timm + DataLoader']:>10.2f}")
    return {
        "bounds": {name: round(bound, 1) for name, bound in bounds.items()},
        "bound_that_applies": applies,
        "pipeline_over_bound": {name: round(reached / bound, 3) for name, bound in bounds.items()},
        "pipeline_over_timm": round(reached / rates["timm + DataLoader"], 3),
    }


def shared_cores(decode: float, model: float, *, cores: int, threads: int, workers: int) -> float:
    """Return the rate at which a CPU does both stages' work when no core ever waits.

    Args:
        decode: images a second of the workers alone.
        model: images a second of the model alone.
        cores: that there are.
        threads: of the model.
        workers: that decode; with 0 the model's process decodes, and the two take turns.
    """
    if workers == 0:
        return 1 / (1 / decode + 1 / model)
    core_seconds = min(workers, cores) / decode + min(threads, cores) / model  # of one image
    return min(cores / core_seconds, decode, model)


def decode_alone(model: ImageMethods, items: Items, size: int, workers: int, *, exact: bool) -> float:
    decoder = Decoder(items, chunk_starts(0, len(items), size), model.preprocess, exact)
    return _rate(len(chunk.rows) for chunk in decoded_chunks(decoder, workers, pin=model.device.type == "cuda"))


def model_alone(model: ImageMethods, items: Items, size: int) -> float:
    """The pipeline's own second stage on pixels already in memory (page-locked on CUDA, as in the pipeline)."""
    (chunk,) = decoded_chunks(
        Decoder(items, chunk_starts(0, size, size), model.preprocess), 0, pin=model.device.type == "cuda"
    )
    embedder = Embedder(model, "cls", "float16")
    list(embedder.embed_all(repeat(chunk, 2)))  # the first batches pay for allocation
    return _rate(len(shard.rows) for shard in embedder.embed_all(repeat(chunk, len(items) // size)))


def pipeline(model: ImageMethods, source: Path, output: Path, size: int, workers: int, limit: int) -> float:
    marks: list[tuple[float, int]] = []
    maezoo.extract(
        source,
        output,
        model=model,
        batch_size=size,
        workers=workers,
        limit=limit,
        report=lambda progress: marks.append((time.perf_counter(), progress.done)),
    )
    # The first mark is taken before the first batch, the last after the workers have ended.
    (start, first), (end, last) = marks[1], marks[-2]
    return (last - first) / (end - start)


def user_loop(model: ImageMethods, source: Path, size: int, workers: int, limit: int) -> float:
    """What one writes with timm: its data set and transform, a DataLoader, the model without head, a list of arrays."""
    encoder = timm.create_model(model.name.partition(".")[0], num_classes=0).to(model.device, model.dtype).eval()
    read = model.preprocess
    transform = create_transform(
        read.size, interpolation=read.interpolation, mean=read.mean, std=read.std, crop_pct=read.crop_pct
    )
    images = ImageDataset(str(source), transform=transform)  # type: ignore[no-untyped-call]
    loader = torch.utils.data.DataLoader(
        torch.utils.data.Subset(images, range(min(limit, len(images)))),
        size,
        num_workers=workers,
        multiprocessing_context="spawn" if workers else None,
        pin_memory=model.device.type == "cuda",
    )
    features = []

    @torch.inference_mode()
    def run() -> Iterator[int]:
        for batch, _ in loader:
            moved = batch.to(model.device, model.dtype, non_blocking=True)
            features.append(encoder(moved).float().cpu().numpy())
            yield len(batch)

    return _rate(run())


def make_photographs(folder: Path, count: int, side: int) -> Path:
    """Write JPEGs with the spectrum of photographs: each octave half as strong as the one below."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    H, W = side * 3 // 4, side
    for number in range(min(count, 32)):
        picture = np.zeros((H, W, 3))
        for octave in range(1, 8):
            rough = rng.integers(0, 256, (3 * 2**octave // 4 + 1, 2**octave, 3), dtype=np.uint8)
            picture += np.asarray(Image.fromarray(rough).resize((W, H), Image.Resampling.BICUBIC)) / 2**octave
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(folder / f"{number:06d}.jpg", quality=90)
    for number in range(32, count):
        os.link(folder / f"{number % 32:06d}.jpg", folder / f"{number:06d}.jpg")
    return folder


def _rate(counts: Iterable[int]) -> float:
    """Return items a second from the first batch to the last."""
    marks = [(time.perf_counter(), count) for count in counts]  # not the time of the end: workers are slow to exit
    return sum(count for _, count in marks[1:]) / (marks[-1][0] - marks[0][0])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, help="a folder of PNGs and JPEGs instead of generated ones")
    parser.add_argument("--model", default="mae_vit_tiny")
    parser.add_argument("--precision", default="float32", help="auto, float32, bfloat16, float16")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--side", type=int, default=500, help="width of the generated images, whose sides are 4 to 3")
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--out", type=Path, help="write the numbers as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
