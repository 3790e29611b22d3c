"""What is fuzzed: each front of maezoo that reads bytes from outside, as a function of these bytes and a folder.

A target may return, or raise an error of maezoo's; anything else is a finding. So is a file that is written, a process
that is started or a connection that is opened meanwhile.
"""

import json
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import save

from maezoo.checkpoints.configs import configured_epsilon
from maezoo.checkpoints.filetype import holds_pickle, name_kind
from maezoo.checkpoints.folders import describe_folder
from maezoo.checkpoints.index import read_index
from maezoo.checkpoints.pickles import load_pickle
from maezoo.checkpoints.reader import open_weights
from maezoo.checkpoints.timm_config import head_facts
from maezoo.engines.memory import recall
from maezoo.errors import MaezooError
from maezoo.evaluation.probe_files import read_probe
from maezoo.evaluation.reading import read_features
from maezoo.exporting.facts import Facts
from maezoo.exporting.runtimes import open_exported
from maezoo.extraction.columns import Columns
from maezoo.extraction.decode import decode_items
from maezoo.extraction.settings import read_record
from maezoo.extraction.sources import find_items
from maezoo.hub.verification import read_record as read_check
from maezoo.images.batches import batches
from maezoo.images.preprocessing import Preprocessing
from maezoo.manifest.entries import read_manifest

__all__ = ["LARGEST", "SEEDS", "TARGETS", "Target", "attempt"]

Target = Callable[[bytes, Path], None]

SEEDS = Path(__file__).parent / "seeds"
LARGEST = 2**18  # bytes of an input
_PREPROCESS = Preprocessing(size=(32, 32))
_MOST_ITEMS = 200  # of a source that are read
_MOST_PIXELS = 4_000_000  # of a picture: larger ones are refused, so that an input costs no seconds


class OutsideError(Exception):
    """A target did what reading never does."""


def attempt(target: Target, data: bytes, folder: Path) -> MaezooError | None:
    """Give a target its bytes in a folder of its own; whatever is wrong with the target is raised.

    Returns:
        The error of maezoo's, if the bytes were refused.
    """
    with warnings.catch_warnings(), _watched(), _bounded():
        warnings.simplefilter("ignore")
        try:
            target(data, folder)
        except MaezooError as error:
            if not str(error) or len(str(error)) > 20_000:
                raise OutsideError(f"a message of {len(str(error))} characters") from error
            return error
    return None


def _file(data: bytes, folder: Path, name: str) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


# --- the fronts ---


def manifest(data: bytes, folder: Path) -> None:
    with _written(data, folder, "manifest.json") as path:
        read_manifest(path)


def weights(data: bytes, folder: Path) -> None:
    with _written(data, folder, "model.safetensors") as path:
        for mapped in (False, True):
            with open_weights(path, mapped=mapped) as file:
                file.metadata  # noqa: B018 - properties that read
                file.is_of_videos  # noqa: B018
                for key in file.keys[:20]:
                    file.read(key)
                layout = file.layout
                file.shapes(layout)
                file.channels(layout)


def index(data: bytes, folder: Path) -> None:
    part = save({"a": torch.zeros(1)})
    with _written(data, folder, "model.safetensors.index.json") as path, _written(part, folder, "x.safetensors"):
        read_index(path)
        open_weights(path).close()


def pickles(data: bytes, folder: Path) -> None:
    with _written(data, folder, "checkpoint.pth") as path:
        holds_pickle(path)
        name_kind(path)
        for mapped in (False, True):
            load_pickle(path, mapped=mapped)


def config(data: bytes, folder: Path) -> None:
    with _written(data, folder, "config.json") as path:
        refused: list[MaezooError] = []
        for read in (
            lambda: describe_folder(folder),
            lambda: configured_epsilon(folder / "model.safetensors"),
            lambda: head_facts(folder),
        ):
            try:
                read()
            except MaezooError as error:
                refused.append(error)
        if refused:
            raise refused[0]
        assert path.exists()


def preprocessor(data: bytes, folder: Path) -> None:
    config = b'{"architectures":["ViTMAEModel"],"model_type":"vit_mae","hidden_size":768,"num_hidden_layers":12,' + (
        b'"num_attention_heads":12,"intermediate_size":3072,"image_size":224,"patch_size":16,"layer_norm_eps":1e-12,'
        b'"decoder_hidden_size":512,"decoder_num_hidden_layers":8,"decoder_num_attention_heads":16}'
    )
    with _written(config, folder, "config.json"), _written(data, folder, "preprocessor_config.json"):
        describe_folder(folder)


def picture(data: bytes, folder: Path) -> None:
    found = list(batches([data], _PREPROCESS, 3, 1))
    assert [each.shape for each in found] == [(1, 3, 32, 32)]
    assert bool(torch.isfinite(found[0]).all())


def table(data: bytes, folder: Path) -> None:
    for labels, columns in ((False, Columns()), (True, Columns(keep=("note",)))):
        _source(data, folder, "images.csv", labels, columns)


def lines(data: bytes, folder: Path) -> None:
    _source(data, folder, "images.txt", False, Columns())


def tar(data: bytes, folder: Path) -> None:
    for labels, columns in ((True, Columns()), (False, Columns(keep=("note",)))):
        _source(data, folder, "images.tar", labels, columns)


def parquet(data: bytes, folder: Path) -> None:
    for labels, columns in ((False, Columns()), (True, Columns())):
        _source(data, folder, "images.parquet", labels, columns)


def probe(data: bytes, folder: Path) -> None:
    with _written(data, folder, "probe.safetensors") as path:
        read_probe(path)


def arrays(data: bytes, folder: Path) -> None:
    with _written(data, folder, "features.npz") as path:
        read_features(path)


def extracted(data: bytes, folder: Path) -> None:
    with _written(data, folder, "part-000000.parquet"):
        read_features(folder)


def record(data: bytes, folder: Path) -> None:
    with _unwatched():
        (folder / "__maezoo__").mkdir(exist_ok=True)
    part = (SEEDS / "extracted" / "plain").read_bytes()
    with _written(data, folder, "__maezoo__/extract.json"), _written(part, folder, "part-000000.parquet"):
        read_features(folder)
        read_record(data, "here")


def remembered(data: bytes, folder: Path) -> None:
    """What maezoo itself has noted; broken notes are as good as none."""
    key = {"model": "x"}
    from maezoo.engines.memory import _place

    with _written(data, folder, _place(folder, key).name) as path:
        plan = recall(folder, key)
        if plan is not None:
            plan.route_for(1)
        read_check(folder / "weights.safetensors", path)


def facts(data: bytes, folder: Path) -> None:
    """The strings that an exported file holds, given as JSON."""
    try:
        strings = json.loads(data)
    except (ValueError, RecursionError):
        return
    if isinstance(strings, dict):
        Facts.from_strings({str(key): str(value) for key, value in strings.items()}, folder / "x.onnx")


def exported(data: bytes, folder: Path) -> None:
    with _written(data, folder, "model.onnx") as path:
        open_exported(path, threads=1)


TARGETS: dict[str, Target] = {
    target.__name__: target
    for target in (
        manifest,
        weights,
        index,
        pickles,
        config,
        preprocessor,
        picture,
        table,
        lines,
        tar,
        parquet,
        probe,
        arrays,
        extracted,
        record,
        remembered,
        facts,
        exported,
    )
}


def _source(data: bytes, folder: Path, name: str, labels: bool, columns: Columns) -> None:
    """List a source, and decode its first images."""
    with _written(data, folder, name) as path:
        items = list(islice(find_items(path, labels=labels, columns=columns), _MOST_ITEMS))
        local = [item for item in items if b"://" not in item.location]
        decode_items(local[:8], 0, _PREPROCESS)


@contextmanager
def _written(data: bytes, folder: Path, name: str) -> Iterator[Path]:
    """Write the input where the target looks for it."""
    path = folder / name
    with _unwatched():
        path.write_bytes(data)
    try:
        yield path
    finally:
        with _unwatched():
            path.unlink(missing_ok=True)


# --- what a target must not do ---

_WRITING = {"os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.symlink", "os.link", "os.chmod", "os.truncate"}
_LEAVING = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.connect", "ctypes.dlopen"}
_state = {"watching": False, "installed": False}


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse what leads outside while a target reads."""
    if not _state["watching"]:
        return
    if event == "open":
        path, mode, flags = arguments
        if isinstance(path, str | bytes) and isinstance(flags, int) and flags & 0b11:  # not only reading
            raise OutsideError(f"a file was opened for writing: {path!r}, {mode}")
    elif event in _WRITING or event in _LEAVING:
        raise OutsideError(f"{event} {arguments!r}")


@contextmanager
def _watched() -> Iterator[None]:
    if not _state["installed"]:
        sys.addaudithook(_hook)
        _state["installed"] = True
    before, _state["watching"] = _state["watching"], True
    try:
        yield
    finally:
        _state["watching"] = before


@contextmanager
def _unwatched() -> Iterator[None]:
    before, _state["watching"] = _state["watching"], False
    try:
        yield
    finally:
        _state["watching"] = before


@contextmanager
def _bounded() -> Iterator[None]:
    """Refuse pictures of more pixels than a quick run can decode, and keep the log quiet."""
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, _MOST_PIXELS
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before
        logging.disable(level)
