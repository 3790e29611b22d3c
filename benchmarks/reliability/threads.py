"""Threads: what several compute at once with one model, one engine and one cache has the bits that one computes."""

import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch

import maezoo
from benchmarks.reliability.hub import NAME, publish

__all__ = ["measure_threads"]


def measure_threads(threads: int, calls: int) -> int:
    """Share a model, engines and a cache; return 1 if something came out otherwise."""
    with tempfile.TemporaryDirectory(prefix="maezoo-threads-") as folder:
        publish(Path(folder))
        model = maezoo.create(NAME, pretrained=True, device="cpu")
        draw = np.random.default_rng(0)
        images = [draw.integers(0, 256, (96 + number, 128, 3), dtype=np.uint8) for number in range(calls)]
        wrong = _compare("one model", threads, [partial(_all_of, model, x) for x in images])
        for engine in ("onednn", "onnxruntime", "openvino"):
            ready = model.optimize(engine=engine, batch_sizes=(1,))
            wrong += _compare(f"one engine, {engine}", threads, [partial(_features_of, ready, x) for x in images])
        wrong += _share_a_cache(threads, Path(folder))
    return int(bool(wrong))


def _features_of(model: "maezoo.OptimizedMAE", image: object) -> list[torch.Tensor]:
    return [model.features(image)]  # type: ignore[arg-type]


def _all_of(model: "maezoo.MAE", image: object) -> list[torch.Tensor]:
    """Call each method on an image."""
    pictures = model.reconstruct(image, seed=1)  # type: ignore[arg-type]
    return [model.features(image), model.encode(image), pictures.predicted, pictures.loss]  # type: ignore[arg-type]


def _compare(name: str, threads: int, calls: Sequence[Callable[[], list[torch.Tensor]]]) -> int:
    """Let each thread make all calls, in an order of its own; return how many results differ from one thread's."""
    alone = [call() for call in calls]

    def run(number: int) -> int:
        order = np.random.default_rng(number).permutation(len(calls))
        pairs = [(alone[at], calls[at]()) for at in order]
        return sum(not all(map(torch.equal, first, second)) for first, second in pairs)

    with ThreadPoolExecutor(threads) as pool:
        wrong = sum(pool.map(run, range(threads)))
    print(f"{name}: {threads} threads, {threads * len(calls)} calls, {wrong} differ from one thread's", flush=True)
    return wrong


def _share_a_cache(threads: int, folder: Path) -> int:
    """Let threads fetch into one empty cache, and once more while files vanish."""
    cache, wrong = folder / "cache", 0
    for _ in range(5):
        with ThreadPoolExecutor(threads) as pool:
            paths = set(pool.map(lambda _: maezoo.fetch(NAME, cache_dir=cache), range(threads)))
        wrong += len(paths) != 1
        wrong += bool(list(cache.rglob("*.incomplete")))
        for blob in cache.glob("models--*/blobs/*"):
            blob.unlink()
    print(f"one cache: {threads} threads, 5 times into an empty one, {wrong} wrong", flush=True)
    return wrong
