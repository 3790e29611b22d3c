"""Size, load time and speed of exported files, compared with eager PyTorch and with exports of timm and optimum.

    python -m benchmarks.speed.exports [--model mae_vit_base] [--batch 1 --batch 8] [--seconds 6]

All files compute features of the same architecture in float32, with random weights: speed does not depend on them.
Size is that of all files, loading the median of three openings in a warm process. Calls take turns; the ratio is
eager's median over the contestant's, so that above 1 is faster. Measure with nothing else running.
"""

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from numpy.typing import NDArray

import maezoo
from benchmarks.speed.machine import describe
from benchmarks.speed.timing import Budget, explain, interleave
from maezoo.exporting import open_exported
from maezoo.model import find_variant

Pixels = NDArray[np.uint8]
Opener = Callable[[], Callable[[Pixels], Any]]


@dataclass(frozen=True)
class Exported:
    """A file and how it is opened: to a function of uint8 images (B, 3, H, W)."""

    path: Path
    open: Opener


def main() -> None:
    """Export, open, time and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mae_vit_base")
    parser.add_argument("--batch", type=int, action="append")
    parser.add_argument("--seconds", type=float, default=6.0)
    asked = parser.parse_args()
    print("\n".join(describe(torch.device("cpu")).lines()))
    warnings.simplefilter("ignore")
    model = maezoo.create(asked.model, device="cpu", decoder=False)
    calls: dict[str, Callable[[Pixels], Any]] = {"eager": lambda x: model.features(torch.from_numpy(x))}
    with tempfile.TemporaryDirectory() as name:
        for title, export in _exports(model, Path(name)):
            try:
                start = time.perf_counter()
                found = export()
                wrote = time.perf_counter() - start
                opened, loading = _load(found)
            except Exception as error:  # a peer that does not work here is a result, too
                print(f"{title}: {explain(error)}")
                continue
            size = sum(each.stat().st_size for each in found.path.parent.glob(f"{found.path.stem}.*"))
            print(f"{title}: {size / 1e6:.1f} MB, written in {wrote:.0f} s, opened in {loading:.2f} s", flush=True)
            calls[title] = opened
        for batch in asked.batch or [1, 8]:
            _time(calls, batch, model.img_size, asked.seconds)


def _exports(model: maezoo.MAE, folder: Path) -> Iterator[tuple[str, Callable[[], Exported]]]:
    """Yield each contestant's name with what makes its file."""
    sizes: dict[str, Any] = {"any size": "dynamic", "fixed size": model.img_size}
    for format, suffix in (("onnx", "onnx"), ("openvino", "xml"), ("torch", "pt2"), ("aotinductor", "pt2")):
        for words, size in sizes.items():
            path = folder / f"{format}-{len(words)}" / f"{format}.{suffix}"
            yield (
                f"maezoo {format}, {words}",
                lambda format=format, size=size, path=path: _ours(  # type: ignore[misc]
                    model, path, format, size
                ),
            )
    for dynamo in (False, True):
        path = folder / f"timm-{dynamo}" / "timm.onnx"
        title = f"timm onnx_export, {'dynamo' if dynamo else 'TorchScript'}"
        yield title, lambda dynamo=dynamo, path=path: _timm(model, path, dynamo)  # type: ignore[misc]
    yield "optimum onnx (ViTModel)", lambda: _optimum(model, folder / "optimum")


def _ours(model: maezoo.MAE, path: Path, format: Any, size: Any) -> Exported:
    maezoo.export(model, path, format=format, img_size=size)
    return Exported(path, lambda: open_exported(path, trust=True))


def _timm(model: maezoo.MAE, path: Path, dynamo: bool) -> Exported:
    from timm.utils.onnx import onnx_export

    path.parent.mkdir()
    H, W = model.img_size
    theirs = timm.create_model(model.name, img_size=(H, W), num_classes=0, exportable=True).eval()
    onnx_export(theirs, str(path), batch_size=2, input_size=(3, H, W), use_dynamo=dynamo)
    return Exported(path, lambda: _onnx_session(path))


def _optimum(model: maezoo.MAE, folder: Path) -> Exported:
    from optimum.exporters.onnx import main_export  # type: ignore[import-not-found]
    from transformers import ViTConfig, ViTModel

    variant = find_variant(model.name)
    config = ViTConfig(
        hidden_size=model.embed_dim,
        num_hidden_layers=variant.depth,
        num_attention_heads=variant.num_heads,
        intermediate_size=4 * model.embed_dim,
        image_size=model.img_size[0],
        patch_size=model.patch_size,
    )
    ViTModel(config, add_pooling_layer=False).save_pretrained(folder / "weights")
    main_export(str(folder / "weights"), str(folder / "out"), task="feature-extraction")
    return Exported(folder / "out" / "model.onnx", lambda: _onnx_session(folder / "out" / "model.onnx"))


def _onnx_session(path: Path) -> Callable[[Pixels], Any]:
    """Open a graph of normalised images; normalising is theirs to do outside, and counts."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    mean, std = (np.array(triple, np.float32)[:, None, None] for triple in _STATISTICS)
    return lambda x: session.run(None, {name: (x / np.float32(255) - mean) / std})


_STATISTICS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def _load(found: Exported) -> tuple[Callable[[Pixels], Any], float]:
    """Open a file three times; return the last and the median seconds."""
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        opened = found.open()
        seconds.append(time.perf_counter() - start)
    return opened, statistics.median(seconds)


def _time(calls: dict[str, Callable[[Pixels], Any]], batch: int, size: tuple[int, int], seconds: float) -> None:
    """Time all at one batch size, in turns, and print images a second and the ratio to eager."""
    images = np.random.default_rng(0).integers(0, 256, (batch, 3, *size), dtype=np.uint8)
    ready: dict[str, Callable[[], object]] = {}
    for name, call in calls.items():
        try:
            call(images)
        except Exception as error:  # a file for one batch alone is a result, too
            print(f"{name}, batch {batch}: {explain(error)}")
            continue
        ready[name] = lambda call=call: call(images)  # type: ignore[misc]
    timings = interleave(ready, Budget(seconds=seconds))
    eager = timings["eager"].median
    print(f"batch {batch}, {size[0]}x{size[1]}")
    for name, timing in timings.items():
        print(f"  {name:34} {batch / timing.median:8.1f} images/s   {eager / timing.median:5.2f} x eager")


if __name__ == "__main__":
    main()
