"""GeoTIFF, the files of remote sensing, by rasterio: values as measured, names of bands, and where there are none."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from maezoo.errors import ImageError, MissingExtraError

__all__ = ["Raster", "check_extent", "is_tiff", "lacking", "raster_size", "read_geotiff"]

_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_DRIVER = "GTiff"  # no virtual files, which may name others, here or on the network


class Raster(NamedTuple):
    """Bands with what is known of them.

    Attributes:
        values: (H, W, C).
        names: of the bands; `None` where nothing names them.
        absent: (H, W) bool, True where a band has no value; `None` where all have.
    """

    values: NDArray[Any]
    names: tuple[str, ...] | None = None
    absent: NDArray[np.bool_] | None = None


def is_tiff(head: bytes) -> bool:
    """Tell whether a file that begins so is TIFF.

    Example:
        >>> is_tiff(bytes([73, 73, 42, 0])), is_tiff(b"RIFF")
        (True, False)
    """
    return head[:4] in _MARKS


def lacking(values: NDArray[Any], nodata: float) -> NDArray[np.bool_]:
    """Return the pixels (H, W) of which a band of (H, W, C) or (H, W) values has the value that stands for no data.

    Example:
        >>> lacking(np.array([[[1.0, np.nan], [1.0, 2.0]]]), float("nan"))
        array([[ True, False]])
    """
    found = np.isnan(values) if nodata != nodata and values.dtype.kind == "f" else values == nodata
    absent: NDArray[np.bool_] = found if found.ndim == 2 else found.any(axis=2)
    return absent


def raster_size(source: Path | bytes) -> tuple[int, int]:
    """Return (H, W) of a GeoTIFF, of which no pixel is read.

    Raises:
        OSError, ValueError and others: it is none.
    """
    with _opened(source) as file:
        return file.height, file.width


def read_geotiff(
    source: Path | bytes,
    name: str,
    *,
    crop: tuple[int, int, int, int] | None = None,
    scale: float | None = None,
    offset: float | None = None,
    nodata: float | None = None,
) -> Raster:
    """Read a GeoTIFF, or a part of it.

    Args:
        source: the path or the bytes.
        name: what errors call it.
        crop: (top, left, height, width) of the part, in pixels.
        scale: multiplies the stored values; each band's own scale, as the file has it, when `None`.
        offset: is added then; each band's own when `None`.
        nodata: the stored value of pixels without data, beyond the file's own.

    Returns:
        The values; as they are stored where scale is 1 and offset 0, else float32. Bands are named by their
        descriptions, or else by their colours. What the file's mask or its nodata value leaves out is absent.

    Raises:
        MissingExtraError: rasterio is not installed.
        ImageError: more values than may be read at once, or complex ones.
        OSError, ValueError and others: it is damaged, or no GeoTIFF.
    """
    with _opened(source) as file:
        window, (H, W) = None, (file.height, file.width)
        if crop is not None:
            top, left, height, width = crop
            if top + height > H or left + width > W:
                raise ImageError(f"{name} is {H}x{W} pixels (HxW), and the crop {crop} leaves it.", found=(H, W))
            window, (H, W) = ((top, top + height), (left, left + width)), (height, width)
        check_extent((H, W, file.count), name)
        if any(np.dtype(kind).kind not in "iuf" for kind in file.dtypes):
            raise ImageError(f"{name} holds complex values; pass their magnitudes as an array.", reason="complex")
        values = np.moveaxis(file.read(window=window), 0, 2)  # (H, W, C)
        present = np.stack([file.read_masks(band, window=window) for band in _masked(file)] or [np.ones((1, 1))])
        absent = (present == 0).any(axis=0)
        if nodata is not None:
            absent = absent | lacking(values, nodata)
        scales = np.array(file.scales if scale is None else [scale], np.float32)
        offsets = np.array(file.offsets if offset is None else [offset], np.float32)
        if (scales != 1).any() or (offsets != 0).any():
            values = values * scales + offsets
        return Raster(values, _names(file), absent if absent.any() else None)


def check_extent(shape: tuple[int, ...], name: str) -> None:
    """Refuse more values than may be read at once: twice as many as Pillow warns of, as for pictures.

    Raises:
        ImageError: the message says how to read parts.
    """
    values, most = int(np.prod(shape)), Image.MAX_IMAGE_PIXELS
    if most is not None and values > 2 * most:
        H, W, C = (*shape, 1)[:3]
        raise ImageError(
            f"{name} has {H}x{W} pixels in {C} bands, {values:,} values, more than {2 * most:,}; read parts of it: "
            "maezoo.Scene(path, crop=(top, left, height, width)), or all of them: maezoo.Scene(path).tiles(224).",
            reason="too many values",
            found=tuple(shape),
        )


@contextmanager
def _opened(source: Path | bytes) -> Iterator[Any]:
    """Open a GeoTIFF."""
    rasterio = _require_rasterio()
    with ExitStack() as held:
        if isinstance(source, bytes):
            memory = held.enter_context(rasterio.MemoryFile(source))
            yield held.enter_context(memory.open(driver=_DRIVER))
        else:
            yield held.enter_context(rasterio.open(source.resolve(), driver=_DRIVER))


def _masked(file: Any) -> list[int]:
    """Return the numbers of the bands that may lack values; an alpha band says it of all."""
    return [band for band, flags in enumerate(file.mask_flag_enums, 1) if "all_valid" not in {f.name for f in flags}]


def _names(file: Any) -> tuple[str, ...] | None:
    """Return what bands are called, or the colours that they are said to be; `None` if some have neither."""
    colours = [colour.name for colour in file.colorinterp]
    named = [
        (said or "").strip() or ("" if colour in ("undefined", "gray", "palette") else colour)
        for said, colour in zip(file.descriptions, colours, strict=True)
    ]
    return tuple(named) if all(named) else None


def _require_rasterio() -> ModuleType:
    try:
        import rasterio
    except ImportError as error:
        raise MissingExtraError.for_extra("geo", "reading GeoTIFF") from error
    module: ModuleType = rasterio
    return module
