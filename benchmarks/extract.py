"""How fast extraction is: decode alone, model alone, the pipeline, and the loop a user would write.

    python -m benchmarks.extract [--source FOLDER] [--model NAME] [--images N] [--side 500] [--out extract.json]

Without a source, N JPEGs of `--side` with the spectrum of photographs are made in a temporary folder. Rates are in
steady state: from the first batch to the last, so that the start of the worker processes does not count. `target` is
the slower of decode alone and model alone. On a CPU the two share the cores, so the pipeline cannot reach it; `shared
cores` is what is possible there: all cores busy with the two stages' work and nothing else.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image
from timm.data import ImageDataset, create_transform

import maezoo
from maezoo.extract.decode import Decoder, chunk_starts
from maezoo.extract.embed import Embedder
from maezoo.extract.items import Items
from maezoo.extract.local import choose_batch_size, choose_workers, decoded_chunks
from maezoo.extract.sources import find_items


def main() -> None:
    options = _arguments()
    with tempfile.TemporaryDirectory() as scratch:
        source = options.source or make_photographs(Path(scratch) / "photographs", options.images, options.side)
        rates = measure(source, Path(scratch), options)
    if options.out:
        options.out.write_text(json.dumps(rates, indent=2) + "\n", encoding="utf-8")


def measure(source: Path, scratch: Path, options: argparse.Namespace) -> dict[str, Any]:
    model = maezoo.create(options.model, pretrained=True, device=options.device, dtype=options.precision, decoder=False)
    items = Items.collect(find_items(source), options.images)
    kind = model.device.type
    size = options.batch_size or choose_batch_size(kind)
    workers = choose_workers(kind, len(items), size) if options.workers is None else options.workers
    cores = torch.get_num_threads()
    print(f"{len(items):,} images, {model.name} in {model.dtype} on {kind}, {workers} workers, {cores} cores")
    stages: dict[str, Callable[[], float]] = {
        "decode alone": lambda: decode_alone(model, items, size, workers, exact=False),
        "decode alone, --exact": lambda: decode_alone(model, items, size, workers, exact=True),
        "model alone": lambda: model_alone(model, items, size),
        "pipeline": lambda: pipeline(model, source, scratch / "features", size, workers, len(items)),
        "timm + DataLoader": lambda: user_loop(model, source, size, workers, len(items)),
    }
    rates: dict[str, Any] = {"images": len(items), "model": model.name, "device": kind, "workers": workers}
    for name, stage in stages.items():
        rates[name] = round(stage(), 1)
        print(f"{name:<24}{rates[name]:>10.1f} images/s", flush=True)
    target = min(rates["decode alone"], rates["model alone"])
    print(f"{'pipeline / target':<24}{rates['pipeline'] / target:>10.2f}")
    if kind == "cpu" and workers:
        shared = cores / (min(workers, cores) / rates["decode alone"] + cores / rates["model alone"])
        print(f"{'pipeline / shared cores':<24}{rates['pipeline'] / shared:>10.2f}")
    print(f"{'pipeline / timm':<24}{rates['pipeline'] / rates['timm + DataLoader']:>10.2f}")
    return rates


def decode_alone(model: "maezoo.MAE", items: Items, size: int, workers: int, *, exact: bool) -> float:
    decoder = Decoder(items, chunk_starts(0, len(items), size), model.preprocess, exact)
    return _rate(len(chunk.rows) for chunk in decoded_chunks(decoder, workers, pin=model.device.type == "cuda"))


def model_alone(model: "maezoo.MAE", items: Items, size: int) -> float:
    decoder = Decoder(items, [(0, min(size, len(items)))], model.preprocess)
    chunk, embedder = decoder[0], Embedder(model, "cls", "float16")

    def run() -> Iterator[int]:
        for _ in range(max(3, len(items) // size)):
            embedder.read(chunk, embedder.start(chunk))
            yield len(chunk.rows)

    return _rate(run())


def pipeline(model: "maezoo.MAE", source: Path, output: Path, size: int, workers: int, limit: int) -> float:
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
    (start, first), (end, last) = marks[1], marks[-1]
    return (last - first) / (end - start)


def user_loop(model: "maezoo.MAE", source: Path, size: int, workers: int, limit: int) -> float:
    """What one writes with timm: its data set and transform, a DataLoader, forward_features, a list of arrays."""
    encoder = timm.create_model(model.name.partition(".")[0], num_classes=0).to(model.device, model.dtype).eval()
    transform = create_transform(model.preprocess.size, interpolation=model.preprocess.interpolation, crop_pct=1.0)
    images = torch.utils.data.Subset(ImageDataset(str(source), transform=transform), range(limit))
    loader = torch.utils.data.DataLoader(
        images, size, num_workers=workers, multiprocessing_context="spawn" if workers else None
    )
    features = []

    @torch.inference_mode()
    def run() -> Iterator[int]:
        for batch, _ in loader:
            features.append(encoder(batch.to(model.device, model.dtype)).float().cpu().numpy())
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
    iterator = iter(counts)
    next(iterator)
    start = time.perf_counter()
    total = sum(iterator)
    return total / max(time.perf_counter() - start, 1e-9)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, help="a folder of images instead of made ones")
    parser.add_argument("--model", default="mae_vit_tiny")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--side", type=int, default=500, help="width of the made images; height is three quarters")
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--out", type=Path, help="write the numbers as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
