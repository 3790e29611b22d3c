"""An exported file opened in the runtime it was made for. torch is imported for `.pt2` alone."""

import json
import os
import threading
import zipfile
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maezoo.engines.quiet import import_onnxruntime, openvino_core
from maezoo.errors import ArgumentError, DataError, EngineError, MissingExtraError, SizeError, SourceMissingError
from maezoo.exporting.facts import Facts
from maezoo.images.decoding import ImageLike
from maezoo.images.fields import prepare_array
from maezoo.images.resizing import normalise_arrays
from maezoo.images.window import Scaling
from maezoo.paths import user_path

__all__ = ["ExportedModel", "open_exported"]

Arrays = Sequence[NDArray[Any]]
Call = Callable[[Arrays], Arrays]

_LONGEST = 2_000_000  # bytes of facts that are read


class ExportedModel:
    """An exported file, open. `open_exported` makes it.

    Attributes:
        facts: what the file says of itself.
    """

    def __init__(self, facts: Facts, call: Call) -> None:
        self.facts = facts
        self._call = call

    def prepare(self, image: ImageLike) -> NDArray[Any]:
        """Return a picture as the file's input, (1, C, H, W): uint8, or float32 where it takes normalised images.

        Raises:
            ImageError: it cannot be read.
        """
        facts = self.facts
        array = prepare_array(image, facts.preprocess, facts.in_chans, "image", Scaling(facts.preprocess.window))
        pixels = np.ascontiguousarray(array.transpose(2, 0, 1)[None])
        if facts.input != "pixels":
            return normalise_arrays(pixels, facts.preprocess)
        return pixels if pixels.dtype == np.uint8 else (pixels * 255).round().clip(0, 255).astype(np.uint8)

    def __call__(self, images: NDArray[Any], visible: NDArray[np.int64] | None = None) -> dict[str, NDArray[Any]]:
        """Run a batch.

        Args:
            images: (B, C, H, W), as `prepare` gives them. Where the file has a fixed batch, B may be another: it is
                cut, and the last part filled up.
            visible: (B, K) raster indices of the visible patches, for the tasks encode and reconstruct.

        Returns:
            The outputs by name, float32.

        Raises:
            SizeError: a shape that the file does not take.
            ArgumentError: indices are missing, given to a task without any, or of no patch.
        """
        inputs = self._checked(images, visible)
        batch = self.facts.batch
        if batch is None:
            return dict(zip(self.facts.outputs, self._run(inputs), strict=True))
        parts = []
        for start in range(0, len(images), batch):
            rows = [each[start : start + batch] for each in inputs]
            count = len(rows[0])
            full = [np.concatenate([each, np.repeat(each[-1:], batch - count, axis=0)]) for each in rows]
            parts.append([output[:count] for output in self._run(full)])
        joined = [np.concatenate(each) for each in zip(*parts, strict=True)]
        return dict(zip(self.facts.outputs, joined, strict=True))

    def _run(self, inputs: Arrays) -> Arrays:
        """Call the runtime."""
        try:
            return self._call(inputs)
        except Exception as error:  # each has errors of its own
            first = str(error).strip().partition("\n")[0][:300]
            raise EngineError(f"the {self.facts.format} file failed: {first}", reason=first) from error

    def _checked(self, images: NDArray[Any], visible: NDArray[np.int64] | None) -> Arrays:
        """Refuse what the file does not take, before its runtime words it."""
        facts, P = self.facts, self.facts.patch_size
        sides = f"{facts.img_size[0]}, {facts.img_size[1]}" if facts.img_size else "H, W"
        wanted = f"(B, {facts.in_chans}, {sides}){'' if facts.img_size else f', H and W multiples of {P}'}"
        fits = images.ndim == 4 and images.shape[1] == facts.in_chans and len(images) > 0
        fits = fits and (
            images.shape[2:] == facts.img_size
            if facts.img_size
            else min(images.shape[2:]) >= P and not any(side % P for side in images.shape[2:])
        )
        if not fits:
            message = f"this file takes images of the shape {wanted}; got {images.shape}."
            raise SizeError(message, expected=wanted, found=images.shape)
        if (visible is not None) != (len(facts.inputs) == 2):
            raise ArgumentError(f"the task {facts.task} takes {' and '.join(facts.inputs)}.", expected=facts.inputs)
        patches = (images.shape[2] // P) * (images.shape[3] // P)
        if visible is not None:
            visible = _checked_indices(np.asarray(visible), len(images), patches)
        dtype = np.uint8 if facts.input == "pixels" else np.float32
        if images.dtype != dtype:
            raise ArgumentError(f"this file takes {np.dtype(dtype)} images; got {images.dtype}.", found=images.dtype)
        images = np.ascontiguousarray(images)  # compiled code does not look at strides
        return [images] if visible is None else [images, np.ascontiguousarray(visible, np.int64)]


def _checked_indices(visible: NDArray[Any], images: int, patches: int) -> NDArray[Any]:
    """Refuse indices of patches that are not there: not every runtime checks them."""
    if visible.ndim != 2 or len(visible) != images:
        message = f"visible is (B, K), one row for each of {images} images; got {visible.shape}."
        raise SizeError(message, expected=(images, "K"), found=visible.shape)
    if visible.dtype.kind not in "iu":
        raise ArgumentError(
            f"visible holds raster indices, whole numbers; got {visible.dtype}. For a mask, pass "
            "maezoo.masks.visible_indices(mask).numpy().",
            found=str(visible.dtype),
        )
    if visible.size and not 0 <= int(visible.min()) <= int(visible.max()) < patches:
        raise ArgumentError(
            f"visible holds raster indices from 0 to {patches - 1} for images of this size; got {visible.min()} to "
            f"{visible.max()}.",
            expected=(0, patches - 1),
            found=(int(visible.min()), int(visible.max())),
        )
    return visible


def open_exported(path: str | Path, *, threads: int | None = None, trust: bool = False) -> ExportedModel:
    """Open what `maezoo.export` wrote.

    Args:
        path: a .onnx, .pt2 or .xml file.
        threads: that it computes with; the runtime's own choice when `None`. A .pt2 file follows PyTorch's.
        trust: open a .pt2 file, too. It holds pickles and may hold machine code: opening one runs what its author
            put there. ONNX and OpenVINO files hold no code.

    Raises:
        ArgumentError: a .pt2 file without `trust`, or another suffix.
        SourceMissingError: there is no such file, or one that belongs to it is missing.
        DataError: `maezoo export` did not write it.
        MissingExtraError: what it needs is not installed.
    """
    path = user_path(path)
    opener, extra, package = _OPENERS.get(path.suffix.lower(), (None, "", ""))
    if opener is None:
        raise ArgumentError(f"{path}: an exported file ends in {', '.join(_OPENERS)}.", found=str(path))
    if not path.is_file():
        raise SourceMissingError.about(path, "is not there.")
    if package == "torch" and not trust:
        message = f"{path}: opening a .pt2 file runs code that it holds; pass trust=True (--trust) for one of yours."
        raise ArgumentError(message, found=str(path), command="--trust")
    if find_spec(package) is None:
        raise MissingExtraError.for_extra(extra, f"opening {path.suffix} files")
    try:
        strings, call = opener(path, threads)
    except Exception as error:  # each runtime has errors of its own, of a damaged file
        first = str(error).strip().partition("\n")[0][:300]
        is_onnx = path.suffix.lower() == ".onnx"
        weights = path.with_name(f"{path.name}.data") if is_onnx else path.with_suffix(".bin")
        # A .xml file always has such weights; an .onnx file where its runtime looks for them.
        wanted = weights.name in str(error) if is_onnx else path.suffix.lower() == ".xml"
        if wanted and not weights.exists():
            raise SourceMissingError.about(path, f"cannot be opened: {weights.name} is not next to it.") from error
        kind = SourceMissingError if "External data path does not exist" in first else DataError  # under another name
        raise kind.about(path, f"cannot be opened: {first}") from error
    return ExportedModel(Facts.from_strings(strings, path), call)


def _open_onnx(path: Path, threads: int | None) -> tuple[Mapping[str, str], Call]:
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what it logs as errors, it raises too
    options.intra_op_num_threads = threads or 0
    session = onnxruntime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]

    def call(arrays: Arrays) -> Arrays:
        outputs: Arrays = session.run(None, dict(zip(names, arrays, strict=True)))
        return outputs

    return session.get_modelmeta().custom_metadata_map, call


def _open_openvino(path: Path, threads: int | None) -> tuple[Mapping[str, str], Call]:
    core = openvino_core()
    graph = core.read_model(path)
    keys = Facts.__dataclass_fields__
    strings = {
        key: graph.get_rt_info(["maezoo", key]).astype(str) for key in keys if graph.has_rt_info(["maezoo", key])
    }
    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "bf16" if strings.get("precision") == "bfloat16" else "f32"}
    if threads is not None:
        settings |= {"INFERENCE_NUM_THREADS": threads}
    request = core.compile_model(graph, "CPU", settings).create_infer_request()
    turn = threading.Lock()  # a request has one place for its input and its output

    def call(arrays: Arrays) -> Arrays:
        with turn:
            request.infer(list(arrays))
            return [request.get_output_tensor(number).data.copy() for number in range(len(graph.outputs))]

    return strings, call


def _open_torch(path: Path, threads: int | None) -> tuple[Mapping[str, str], Call]:
    import torch
    from torch._inductor import aoti_load_package

    strings = _facts_of_package(path)
    compiled = strings.get("format") == "aotinductor"
    program = aoti_load_package(os.fspath(path)) if compiled else torch.export.load(path).module()

    def call(arrays: Arrays) -> Arrays:
        with torch.no_grad():
            return [each.numpy() for each in program(*map(torch.from_numpy, arrays))]

    return strings, call


def _facts_of_package(path: Path) -> dict[str, str]:
    """Read the facts in a .pt2 package, a zip archive."""
    found: dict[str, str] = {}
    with zipfile.ZipFile(path) as package:
        for member in package.infolist():
            if member.filename.endswith(("/extra/facts.json", "/extra/check.json")):
                if member.file_size > _LONGEST:
                    raise ValueError("its facts are too long")
                found |= json.loads(package.read(member))
    return found


_OPENERS: Mapping[str, tuple[Any, str, str]] = {
    ".onnx": (_open_onnx, "export", "onnxruntime"),
    ".pt2": (_open_torch, "", "torch"),
    ".xml": (_open_openvino, "openvino", "openvino"),
}
