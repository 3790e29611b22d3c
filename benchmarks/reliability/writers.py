"""Everything in the package that writes a file, each as a function of the path to write, without a suffix."""

import io
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import maezoo
from benchmarks.reliability.hub import NAME, publish
from benchmarks.reliability.subjects import SUBJECTS

__all__ = ["Write", "prepare"]

Write = Callable[[Path], object]


def prepare(folder: Path) -> dict[str, Write]:
    """Make what the writers read in a folder, and return them by name."""
    publish(folder)
    for name in ("extract", "pretrain"):
        SUBJECTS[name].prepare(folder)
    model = maezoo.create(f"local-dir:{folder / 'small'}", device="cpu")
    photo = next((folder / "pictures" / "red").iterdir())
    features = np.random.default_rng(0).standard_normal((20, 2000), np.float32)
    probe = maezoo.evaluation.Probe.fit((features, np.array(["cat", "dog"] * 10)))
    torch.save({"model": dict(model.state_dict())}, folder / "small.pth")
    tasks: dict[str, Write] = {
        "download": lambda path: maezoo.fetch(NAME, cache_dir=path),
        "save_pretrained": model.save_pretrained,
        "probe": lambda path: probe.save(path.with_suffix(".safetensors")),
        "reconstruction strip": lambda path: model.reconstruct(photo).save(path.with_suffix(".png")),
        "engine choices": partial(_optimize, model),
        **{f"export {suffix}": partial(_export, model, suffix) for suffix in ("onnx", "pt2", "xml")},
        **{name: partial(SUBJECTS[name].work, folder) for name in ("extract", "pretrain", "finetune")},
    }
    small = ["--model", f"local-dir:{folder / 'small'}", "--device", "cpu"]
    for suffix in ("npz", "npy", "csv", "safetensors"):
        tasks[f"features -o .{suffix}"] = partial(_command, ["features", str(photo), *small], suffix)
    tasks["reconstruct -o"] = partial(_command, ["reconstruct", str(photo), *small], "png")
    tasks["convert"] = partial(_convert, folder)
    return tasks


def _export(model: Any, suffix: str, path: Path) -> None:
    """Export a model, over an older file where there is one."""
    maezoo.export(model, path / f"model.{suffix}", img_size=(32, 32), batch=1, overwrite=True)


def _optimize(model: Any, path: Path) -> None:
    """Prepare engines; the choices need not be remembered, and a full disk is no reason to fail."""
    images = np.zeros((2, 32, 32, 3), np.uint8)
    ready = model.optimize(engine="eager", batch_sizes=(1,), cache_dir=path)
    assert torch.equal(ready.features(images), model.features(images))


def _convert(folder: Path, path: Path) -> None:
    from maezoo.checkpoints.convert import convert

    convert(folder / "small.pth", path.with_suffix(".safetensors"), like=_description(folder))


def _description(folder: Path) -> Any:
    from maezoo.checkpoints.folders import describe_folder

    return describe_folder(folder / "small")


def _command(arguments: list[str], suffix: str, path: Path) -> None:
    """Run a command in this process; its errors are raised as they are, or as the exit code that it gives."""
    from maezoo.cli.commands import app

    output = path.with_suffix(f".{suffix}")
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        code = app([*arguments, "-o", str(output)], standalone_mode=False)
    if code:
        raise OSError(f"{output}: the command left with {code}")
