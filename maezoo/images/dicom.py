"""DICOM, the files of medical imaging, by pydicom: stored values, what they measure, and the window to show them in."""

from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from maezoo.errors import ImageError, MissingExtraError
from maezoo.images.window import Scaling
from maezoo.vocabulary import Window

__all__ = ["is_dicom", "read_dicom"]

_GREY = ("MONOCHROME1", "MONOCHROME2")
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


def is_dicom(head: bytes) -> bool:
    """Tell whether a file that begins so is DICOM; old ones begin with their first group of tags.

    Example:
        >>> is_dicom(bytes(128) + b"DICM"), is_dicom(b"a text")
        (True, False)
    """
    return head[128:132] == b"DICM" or (head[:2] in (b"\x02\0", b"\x08\0") and head[3:4] == b"\0")


def read_dicom(source: Path | bytes, name: str, scaling: Scaling) -> Image.Image:
    """Read a DICOM file with one frame as RGB.

    Grey values are what they measure (rescale slope and intercept, or the modality's table), such as Hounsfield units
    of a CT. With the window `"full"` they are shown as the file says: by its window's centre and width, or its table;
    without one, by the full range of its bits. Another window counts in the same units. MONOCHROME1 is inverted.

    Args:
        source: the path or the bytes.
        name: what errors call it.
        scaling: how values become 8 bits.

    Raises:
        MissingExtraError: pydicom is not installed.
        ImageError: no pixels, several frames, more pixels than Pillow allows, or a colour space that is not known.
        ValueError, RuntimeError and others: pydicom cannot decode it, as a plug-in is missing or it is damaged.
    """
    pydicom = _require_pydicom()
    try:
        return _read(pydicom, source, name, scaling)
    except (pydicom.errors.BytesLengthException, pydicom.errors.InvalidDicomError) as error:
        reason = "it is damaged DICOM"
        raise ImageError(f"{name} cannot be read as an image: {reason}.", reason=reason) from error


def _read(pydicom: ModuleType, source: Path | bytes, name: str, scaling: Scaling) -> Image.Image:
    dataset = pydicom.dcmread(BytesIO(source) if isinstance(source, bytes) else source, force=True)
    _check(dataset, name)
    values: NDArray[Any] = dataset.pixel_array
    colours = str(dataset.get("PhotometricInterpretation", "MONOCHROME2"))
    if colours == "PALETTE COLOR":
        values = pydicom.pixels.apply_color_lut(values, dataset)
    if values.ndim == 3:
        return Image.fromarray(np.ascontiguousarray(_colours(values, dataset, name, scaling)))
    if colours not in _GREY:
        raise ImageError(f"{name} is DICOM in {colours}, which is not read; convert it to RGB.", reason=colours)
    measured = pydicom.pixels.apply_modality_lut(values, dataset)
    grey = _grey(measured, values, dataset, name, scaling)
    return Image.fromarray(255 - grey if colours == "MONOCHROME1" else grey).convert("RGB")


def _check(dataset: Any, name: str) -> None:
    """Refuse what holds no picture, more than one, or one that is too large."""
    if not any(keyword in dataset for keyword in _PIXELS):
        reason = "it is DICOM without pixels, such as a report or a directory, or is cut short"
        raise ImageError(f"{name} cannot be read as an image: {reason}.", reason=reason)
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames != 1:
        raise ImageError(
            f"{name} is DICOM with {frames} frames; pass those that you want as arrays: "
            "pydicom.dcmread(path).pixel_array[i].",
            reason=f"{frames} frames",
        )
    pixels, most = int(dataset.get("Rows") or 0) * int(dataset.get("Columns") or 0), Image.MAX_IMAGE_PIXELS
    if most is not None and pixels > 2 * most:  # as Pillow has it
        raise ImageError(
            f"{name} has {pixels:,} pixels, more than {2 * most:,}; if you trust it, raise PIL.Image.MAX_IMAGE_PIXELS.",
            reason="too many pixels",
        )


def _colours(values: NDArray[Any], dataset: Any, name: str, scaling: Scaling) -> NDArray[np.uint8]:
    """Return RGB values (H, W, 3) as 8 bits."""
    if values.dtype == np.uint8:
        return values
    bits = int(dataset.BitsStored) if "PaletteColor" not in str(dataset.PhotometricInterpretation) else 16
    return scaling.to_uint8(values, name, (0, 2**bits - 1))


def _grey(measured: NDArray[Any], stored: NDArray[Any], dataset: Any, name: str, scaling: Scaling) -> NDArray[np.uint8]:
    """Return grey values (H, W) as 8 bits."""
    if scaling.window == "full":
        shown = _as_told(measured, dataset)
        if shown is not None:
            values, window = shown
            return Scaling(window).to_uint8(values, name)
    return scaling.to_uint8(measured, name, None if stored.dtype.kind == "f" else _range(dataset))


def _as_told(values: NDArray[Any], dataset: Any) -> tuple[NDArray[Any], Window] | None:
    """Return what the file's own window makes of values, and which of them are black and white; `None` without one.

    Source: DICOM PS3.3, C.11.2.1.
    """
    center, width = _first(dataset.get("WindowCenter")), _first(dataset.get("WindowWidth"))
    function = str(dataset.get("VOILUTFunction") or "LINEAR")
    if center is not None and width is not None and width > 0:
        if function == "SIGMOID":
            with np.errstate(over="ignore"):
                return 1 / (1 + np.exp(-4 * (values - center) / width)), (0, 1)
        if function == "LINEAR_EXACT":
            return values, (center - width / 2, center + width / 2)
        half = max(width - 1, 1e-3) / 2
        return values, (center - 0.5 - half, center - 0.5 + half)
    if dataset.get("VOILUTSequence"):
        table = dataset.VOILUTSequence[0]
        shown = _require_pydicom().pixels.apply_voi_lut(np.rint(values).astype(np.int64), dataset)
        return shown, (0, 2 ** int(table.LUTDescriptor[2]) - 1)
    return None


def _range(dataset: Any) -> tuple[float, float]:
    """Return the range of the bits that are stored, as what they measure."""
    bits, signed = int(dataset.BitsStored), int(dataset.get("PixelRepresentation") or 0) == 1
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    slope, intercept = _first(dataset.get("RescaleSlope")), _first(dataset.get("RescaleIntercept"))
    slope, intercept = 1.0 if slope is None else slope, 0.0 if intercept is None else intercept
    ends = low * slope + intercept, high * slope + intercept
    return min(ends), max(ends)


def _first(value: Any) -> float | None:
    """Return a tag's number, or the first of several: the one that is meant to be shown first."""
    if value is None or value == "":
        return None
    try:
        return float(value)
    except TypeError:
        return float(value[0]) if len(value) else None


def _require_pydicom() -> ModuleType:
    try:
        import pydicom
        import pydicom.errors
        import pydicom.pixels
    except ImportError as error:
        raise MissingExtraError.for_extra("dicom", "reading DICOM") from error
    module: ModuleType = pydicom
    return module
