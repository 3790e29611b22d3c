"""Work that can be killed: each subject does it in a folder, and says what must be the same however often it was."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.reliability.hub import NAME, publish

__all__ = ["SUBJECTS", "Subject", "prepare_training"]

_IMAGES = 60  # pictures of the source
_LEFT = (".lock", ".pid")  # of locks, which stay


@dataclass(frozen=True)
class Subject:
    """Work in a folder.

    Attributes:
        prepare: makes what the work reads, in the folder that it is given; called once.
        work: does the work; given the prepared folder and that of the result.
        whole: raises `ValueError` if a file of the result is half a file; called after each kill.
        contents: what must be the same after any number of kills, by name.
    """

    prepare: Callable[[Path], None]
    work: Callable[[Path, Path], None]
    whole: Callable[[Path], None]
    contents: Callable[[Path], Mapping[str, str]]


def _hashes(out: Path) -> dict[str, str]:
    """Hash each file of a result; names of temporary files must not be among them."""
    files = [path for path in sorted(out.rglob("*")) if path.is_file() and path.suffix not in _LEFT]
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _pictures(folder: Path) -> None:
    """Write pictures of two classes."""
    draw = np.random.default_rng(0)
    for number in range(_IMAGES):
        pixels = draw.integers(0, 90, (40, 48, 3), dtype=np.uint8)
        pixels[:, :, 2 * (number % 2)] += 120
        path = folder / "pictures" / ("red", "blue")[number % 2] / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)


def _check_safetensors(out: Path) -> None:
    """Raise if a safetensors file is none."""
    from safetensors import SafetensorError, safe_open

    for path in out.rglob("[!.]*.safetensors"):
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118 - not a mapping
                    file.get_tensor(name)
        except SafetensorError as error:
            raise ValueError(f"{path.name} is half a file: {error}") from error


# --- download ---


def _download(prepared: Path, out: Path) -> None:
    import maezoo

    maezoo.fetch(NAME, cache_dir=out)


def _whole_cache(out: Path) -> None:
    for path in out.glob("models--*/blobs/*"):
        if len(path.name) == 64 and hashlib.sha256(path.read_bytes()).hexdigest() != path.name:
            raise ValueError(f"{path.name[:12]} is not what its name says")
    for path in out.glob("models--*/snapshots/*/*"):
        if not path.resolve().is_file():
            raise ValueError(f"{path.name} leads nowhere")


def _cached(out: Path) -> dict[str, str]:
    """Hash the cache's files; the record of the check has a time in it, and need only be there."""
    hashes = {name: each for name, each in _hashes(out).items() if ".locks" not in name}
    return {name: "" if name.endswith(".json") else each for name, each in hashes.items()}


# --- extraction ---


def _extract(prepared: Path, out: Path) -> None:
    import maezoo
    from maezoo.extraction import assembly

    assembly._KEEP_EVERY = 0.05  # seconds: keeping is what is to be killed, too
    model = maezoo.create(f"local-dir:{prepared / 'small'}", device="cpu")
    maezoo.extract(prepared / "pictures", out, model=model, workers=0, batch_size=2, shard_size=20, labels=True)


def _whole_output(out: Path) -> None:
    import pyarrow.parquet as pq

    for path in out.rglob("[!.]*.parquet"):
        try:
            pq.read_table(path)
        except (OSError, ValueError) as error:
            raise ValueError(f"{path.name} is half a file: {error}") from error
    for path in out.rglob("[!.]*.json"):
        json.loads(path.read_bytes())


def _rows(out: Path) -> dict[str, str]:
    """Hash the files; the record has times and counts of this run in it, and need only be complete."""
    record = json.loads((out / "__maezoo__" / "extract.json").read_bytes())
    return {**_hashes(out), "__maezoo__/extract.json": str(record["complete"])}


# --- training ---


def prepare_training(folder: Path) -> None:
    from maezoo.checkpoints.folders import describe_model, save_folder
    from maezoo.images.preprocessing import Preprocessing
    from maezoo.model import build_mae, find_variant

    _pictures(folder)
    tiny = find_variant("mae_vit_tiny")
    small = replace(tiny, name="small", img_size=32, depth=2, embed_dim=48, decoder_depth=1, decoder_dim=48)
    torch.manual_seed(0)
    model = build_mae(small)
    save_folder(model, folder / "small", describe_model(model, Preprocessing(size=(32, 32)), license="cc0-1.0"))


def _pretrain(prepared: Path, out: Path) -> None:
    from maezoo.model import find_variant
    from maezoo.training import Recipe, open_source, pretrain
    from maezoo.training.result import write_result

    tiny = find_variant("mae_vit_tiny")
    small = replace(tiny, img_size=32, depth=2, embed_dim=48, decoder_depth=1, decoder_dim=48)
    recipe = Recipe(views=8 * 16, batch_size=8, precision="float32")
    source = open_source(prepared / "pictures", device=torch.device("cpu"))
    trained = pretrain(recipe, source, out, variant=small, device="cpu", checkpoint_seconds=0.05)
    write_result(trained, recipe, source, out)


def _finetune(prepared: Path, out: Path) -> None:
    from maezoo.training import finetune

    small = f"local-dir:{prepared / 'small'}"
    settings: dict[str, Any] = {"epochs": 3, "batch_size": 8, "precision": "float32"}
    finetune(prepared / "pictures", out, model=small, val=0.2, device="cpu", checkpoint_seconds=0.05, **settings)


def _trained(out: Path) -> dict[str, str]:
    """Hash the files, those apart that depend on the clock.

    The log has speeds in it and the steps that were done again, `run.json` times, and which earlier checkpoint is kept
    follows from the seconds between two: they need only be complete.
    """
    log = (out / "log.jsonl").read_text(encoding="utf-8")
    last = json.loads(log.splitlines()[-1])
    readme = (out / "README.md").read_text(encoding="utf-8").replace(out.as_posix(), "")  # it names its folder
    hashes = {name: found for name, found in _hashes(out).items() if not name.startswith("checkpoint-")}
    state = str(json.loads((out / "run.json").read_bytes())["state"])
    return {**hashes, "log.jsonl": str(last["step"]), "README.md": readme, "run.json": state}


SUBJECTS = {
    "download": Subject(publish, _download, _whole_cache, _cached),
    "extract": Subject(prepare_training, _extract, _whole_output, _rows),
    "pretrain": Subject(prepare_training, _pretrain, _check_safetensors, _trained),
    "finetune": Subject(prepare_training, _finetune, _check_safetensors, _trained),
}
