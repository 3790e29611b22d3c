"""What is asked for in an export, checked before any work is done."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from maezoo.engines.inductor import has_compiler
from maezoo.errors import ArgumentError, DecoderMissingError, EngineError, LayerError, MissingExtraError
from maezoo.model import MaskedAutoencoder
from maezoo.model.patches import grid_of
from maezoo.vocabulary import EXPORT_FORMATS, EXPORT_INPUTS, EXPORT_PRECISIONS, EXPORT_TASKS, POOLS

__all__ = ["SUFFIXES", "Settings", "make_settings"]

SUFFIXES = {"onnx": ".onnx", "torch": ".pt2", "aotinductor": ".pt2", "openvino": ".xml"}
_BY_SUFFIX = {".onnx": "onnx", ".pt2": "torch", ".xml": "openvino"}
_PRECISIONS = {
    "onnx": ("float32", "float16", "int8"),  # ONNX Runtime multiplies no bfloat16 on CPUs: it could not be checked
    "torch": ("float32", "float16", "bfloat16"),
    "aotinductor": ("float32", "float16", "bfloat16"),
    "openvino": ("float32", "float16", "bfloat16"),
}
_PACKAGES = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "openvino": ("openvino",), "torch": (), "aotinductor": ()}
_EXTRAS = {"onnx": "export", "openvino": "openvino"}
_MOST_IMAGES = 4096  # in a fixed batch


@dataclass(frozen=True)
class Settings:
    """What is asked for; the arguments of `maezoo.export`, with `None` for `"dynamic"`."""

    format: str
    task: str
    pool: str
    layers: tuple[int, ...]
    precision: str
    batch: int | None
    img_size: tuple[int, int] | None
    input: str


def make_settings(
    model: MaskedAutoencoder,
    path: Path,
    *,
    format: str | None,
    task: str,
    pool: str,
    layers: Sequence[int],
    precision: str,
    batch: int | str,
    img_size: tuple[int, int] | str,
    input: str,
) -> Settings:
    """Check the arguments of an export.

    Raises:
        ArgumentError: a word or number that is not allowed, or a suffix that is not the format's.
        MissingExtraError: what the format needs is not installed.
        EngineError: no C++ compiler for the format `"aotinductor"`.
        DecoderMissingError: `"reconstruct"` without a decoder.
        SizeError: a size that is no multiple of the patch side.
        LayerError: no such block.
    """
    chosen = _format_of(path, format)
    for name, value, allowed in (
        ("task", task, EXPORT_TASKS),
        ("pool", pool, POOLS),
        ("precision", precision, EXPORT_PRECISIONS),
        ("input", input, EXPORT_INPUTS),
    ):
        if value not in allowed:
            raise ArgumentError.for_choice(name, value, allowed)
    if precision not in _PRECISIONS[chosen]:
        raise ArgumentError(
            f"{chosen} files are written in {', '.join(_PRECISIONS[chosen])}; got precision={precision!r}.",
            expected=_PRECISIONS[chosen],
            found=precision,
        )
    if not all(find_spec(package) for package in _PACKAGES[chosen]):
        raise MissingExtraError.for_extra(_EXTRAS[chosen], f"export to {chosen}")
    if chosen == "aotinductor" and not has_compiler():
        raise EngineError("format='aotinductor' needs a C++ compiler, and there is none here: c++, g++, clang++ or cl.")
    if task == "reconstruct" and model.decoder is None:
        raise DecoderMissingError("task='reconstruct' needs a decoder, and this model has none.")
    depth = len(model.encoder.blocks)
    if task == "maps" and not (layers and all(-depth <= layer < depth for layer in layers)):
        raise LayerError(f"layers={tuple(layers)}: this encoder has the blocks 0 to {depth - 1} (or -{depth} to -1).")
    return Settings(
        chosen,
        task,
        pool,
        tuple(layers) if task == "maps" else (),
        precision,
        _batch(batch),
        _size(img_size, model.patch_size),
        input,
    )


def _format_of(path: Path, format: str | None) -> str:
    """Return the format that is asked for, by name or by the suffix of the file."""
    if format is not None and format not in SUFFIXES:
        raise ArgumentError.for_choice("format", format, EXPORT_FORMATS)
    suffix = path.suffix.lower()
    if suffix not in _BY_SUFFIX or suffix != SUFFIXES.get(format or _BY_SUFFIX[suffix]):
        wanted = f"a file of the format {format} ends in {SUFFIXES[format]}" if format else "name .onnx, .pt2 or .xml"
        message = f"{path}: {wanted} (.onnx: onnx, .pt2: torch or aotinductor, .xml: openvino)."
        raise ArgumentError(message, found=str(path))
    return format or _BY_SUFFIX[suffix]


def _batch(batch: Any) -> int | None:
    """Read the argument `batch`."""
    if batch == "dynamic":
        return None
    if type(batch) is not int or not 1 <= batch <= _MOST_IMAGES:
        raise ArgumentError(f"batch is 'dynamic' or a number from 1 to {_MOST_IMAGES}; got {batch!r}.", found=batch)
    return batch


def _size(img_size: Any, patch_size: int) -> tuple[int, int] | None:
    """Read the argument `img_size`."""
    if isinstance(img_size, str) and img_size == "dynamic":
        return None
    sides = (img_size, img_size) if type(img_size) is int else img_size
    if not isinstance(sides, tuple | list) or len(sides) != 2 or not all(type(side) is int for side in sides):
        raise ArgumentError(f"img_size is 'dynamic' or (height, width) in pixels; got {img_size!r}.", found=img_size)
    h, w = grid_of((sides[0], sides[1]), patch_size)
    return h * patch_size, w * patch_size
