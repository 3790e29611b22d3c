"""Memory: many calls, models that come and go, and engines, and how much more the process holds afterwards."""

import gc
from collections.abc import Callable
from pathlib import Path

import numpy as np

import maezoo

__all__ = ["measure_calls"]

_WARM = 0.1  # share of the calls that come before the first measurement
_GROWTH = 16.0  # MiB that are allowed: the allocator's own


def measure_calls(only: list[str] | None, calls: int, name: str) -> int:
    """Call each method so many times, or only those whose names begin so; return 1 if memory has grown."""
    model = maezoo.create(name, pretrained=True, device="cpu")
    images = np.random.default_rng(0).integers(0, 256, (1, 96, 96, 3), dtype=np.uint8)
    ready = model.optimize(engine="eager", batch_sizes=(1,))
    mask = maezoo.random_mask(1, model.grid_size, 0.75, seed=0)
    subjects: dict[str, tuple[Callable[[], object], int]] = {
        "features": (lambda: model.features(images), calls),
        "encode, masked": (lambda: model.encode(images, mask=mask), calls),
        "reconstruct": (lambda: model.reconstruct(images), calls),
        "features of an optimised model": (lambda: ready.features(images), calls),
        "create, one call, and forget": (lambda: _create(name, images), max(1, calls // 50)),
        "optimize, one call, and forget": (lambda: _optimize(model, images), max(1, calls // 200)),
    }
    chosen = {subject: each for subject, each in subjects.items() if not only or subject.startswith(tuple(only))}
    grown = [_measure(subject, call, times) for subject, (call, times) in chosen.items()]
    return int(max(grown) > _GROWTH)


def _measure(name: str, call: Callable[[], object], times: int) -> float:
    """Return how many MiB the process has grown by from the first tenth of the calls to the last."""
    warm = max(1, int(times * _WARM))
    done, held = 0, []
    for until in (warm, (warm + times) // 2, times):  # start, middle, end
        for _ in range(until - done):
            call()
        done = until
        held.append(_resident())
    growth = held[-1] - held[0]
    told = " -> ".join(f"{each:.1f}" for each in held)
    print(f"{name}: {times:,} calls, MiB after {warm:,}, at the middle, at the end: {told}, {growth:+.1f}", flush=True)
    return growth


def _create(name: str, images: object) -> None:
    maezoo.create(name, pretrained=True, device="cpu").features(images)  # type: ignore[arg-type]


def _optimize(model: maezoo.MAE, images: object) -> None:
    model.optimize(engine="onednn", batch_sizes=(1,)).features(images)  # type: ignore[arg-type]


def _resident() -> float:
    """Return the memory that the process holds, in MiB."""
    gc.collect()
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) / 1024
