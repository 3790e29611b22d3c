"""Inputs that are no pictures, or that need a description: scenes of bands, sounds, texts."""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from maezoo.errors import ArgumentError
from maezoo.images.drawing import as_line, split_line
from maezoo.images.fbank import FRAME, RATE, SHIFT
from maezoo.images.geotiff import raster_size
from maezoo.images.guard import guarded, head_of
from maezoo.images.npy import is_npy, load_npy
from maezoo.images.reading import as_path, read_bytes
from maezoo.images.sounds import seconds_in

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Scene", "Sound", "Text", "is_tensor"]

_File: TypeAlias = str | os.PathLike[str] | bytes | IO[bytes]
_WINDOW = 1024 * SHIFT / RATE  # seconds that AudioMAE sees
_STRIP = 529 * 16  # pixels of PIXEL's strip
_MOST_PARTS = 1_000_000
_T = TypeVar("_T")


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture of several bands, and what its source does not say of them.

    Args:
        source: a GeoTIFF or .npy file (a path, its bytes, or open), an array (H, W, C), or a tensor (C, H, W).
        bands: names of its bands, in its order; those that a GeoTIFF has when `None`, else the weights' order is
            assumed. Bands that the weights do not take are left out, the others are put in their order.
        nodata: the value of pixels without data, as the source stores it, beyond those that a GeoTIFF says; NaN is
            allowed. They are filled with the weights' mean.
        scale: multiplies the values; a GeoTIFF's own scale when `None`.
        offset: is added then; a GeoTIFF's own when `None`.
        crop: (top, left, height, width) in pixels of the part to use; the rest of a GeoTIFF is not read.

    Example:
        >>> scene = Scene(np.zeros((64, 64, 3), np.uint16), bands=("B04", "B03", "B02"))
        >>> len(scene.tiles(32))
        4
    """

    source: "_File | NDArray[Any] | Tensor"
    bands: Sequence[str] | None = None
    nodata: float | None = None
    scale: float | None = None
    offset: float | None = None
    crop: tuple[int, int, int, int] | None = None

    def __post_init__(self) -> None:
        """Refuse names, numbers and crops that no scene has."""
        for name in ("nodata", "scale", "offset"):
            value = getattr(self, name)
            if value is not None and not _is_number(value, nan=name == "nodata"):
                raise ArgumentError(f"{name} is a number; got {value!r}.", found=value)
        if self.bands is not None:
            names = tuple(self.bands)
            if isinstance(self.bands, str) or not all(isinstance(name, str) for name in names):
                raise ArgumentError(f"bands are names, in the order of the scene's bands; got {self.bands!r}.")
            object.__setattr__(self, "bands", names)
        if self.crop is not None:
            crop = tuple(int(side) for side in self.crop)
            if len(crop) != 4 or min(crop[:2]) < 0 or min(crop[2:]) < 1:
                raise ArgumentError(
                    f"crop is (top, left, height, width) in pixels; got {self.crop!r}.", found=self.crop
                )
            object.__setattr__(self, "crop", crop)

    def tiles(self, size: int | tuple[int, int], stride: int | tuple[int, int] | None = None) -> "list[Scene]":
        """Cut the scene into tiles; no pixel is read before a tile is used. What is left at the edges is left out.

        Args:
            size: side or (height, width) of a tile, in pixels of the scene.
            stride: from one tile to the next; as large as a tile when `None`.

        Returns:
            The tiles, row by row.

        Raises:
            ArgumentError: a tile is larger than the scene.
        """
        height, width = (size, size) if isinstance(size, int) else size
        down, across = (height, width) if stride is None else (stride, stride) if isinstance(stride, int) else stride
        top, left, H, W = self.crop or (0, 0, *self._extent())
        if not (0 < height <= H and 0 < width <= W and down > 0 and across > 0):
            raise ArgumentError(
                f"tiles of {height}x{width} do not fit a scene of {H}x{W} pixels.", found=(height, width)
            )
        rows, columns = range(top, top + H - height + 1, down), range(left, left + W - width + 1, across)
        if len(rows) * len(columns) > _MOST_PARTS:
            raise ArgumentError(
                f"{len(rows) * len(columns):,} tiles are more than {_MOST_PARTS:,}; take a larger stride."
            )
        return [replace(self, crop=(y, x, height, width)) for y in rows for x in columns]

    def _extent(self) -> tuple[int, int]:
        """Return (H, W) of the source."""
        source: Any = self.source
        if is_tensor(source):
            return int(source.shape[-2]), int(source.shape[-1])
        return source.shape[:2] if isinstance(source, np.ndarray) else _asked(source, _extent_of, "GeoTIFF")


@dataclass(frozen=True, eq=False)
class Sound:
    """A sound, or a part of one.

    Args:
        source: a file that libsndfile reads (a path, its bytes, or open), or samples: an array or tensor (n,),
            (n, channels) or (channels, n), floats in [-1, 1] or integers of the full range of their format.
        rate: samples a second, of an array; a file has its own.
        start: of the part, in seconds.
        seconds: its length; what the weights take when `None`.

    Example:
        >>> len(Sound(np.zeros(16_000 * 30), 16_000).windows())
        3
    """

    source: "_File | NDArray[Any] | Tensor"
    rate: int | None = None
    start: float = 0.0
    seconds: float | None = None

    def __post_init__(self) -> None:
        """Refuse parts that no sound has."""
        if not 0 <= self.start < float("inf") or (self.seconds is not None and not 0 < self.seconds < float("inf")):
            raise ArgumentError(
                f"start is 0 or more and seconds above 0; got {self.start!r} and {self.seconds!r}.",
                found=(self.start, self.seconds),
            )

    def windows(self, seconds: float = _WINDOW, hop: float | None = None) -> "list[Sound]":
        """Cut the sound into parts; nothing is decoded before a part is used.

        Args:
            seconds: of a part; the default is what AudioMAE takes, 10.24.
            hop: from the start of one to the next; as long as a part when `None`.

        Returns:
            The parts in order; the last one may be shorter, and is left out where it is shorter than 25 ms.
        """
        hop = seconds if hop is None else hop
        if not (0 < seconds < float("inf") and 0 < hop < float("inf")):
            raise ArgumentError(f"seconds and hop are above 0; got {seconds!r} and {hop!r}.", found=(seconds, hop))
        whole = self._length() - self.start
        length = whole if self.seconds is None else min(whole, self.seconds)
        count = max(1, int((length - FRAME / RATE) / hop) + 1)
        if count > _MOST_PARTS:
            raise ArgumentError(f"{count:,} parts are more than {_MOST_PARTS:,}; take a longer hop.", found=hop)
        rest = float("inf") if self.seconds is None or length <= 0 else length  # a part stays within its own sound
        return [
            replace(self, start=self.start + number * hop, seconds=min(seconds, rest - number * hop))
            for number in range(count)
        ]

    def _length(self) -> float:
        """Return how many seconds the source has."""
        source: Any = self.source
        if isinstance(source, np.ndarray) or is_tensor(source):
            if not self.rate:
                raise ArgumentError("samples need their rate: maezoo.Sound(samples, rate).", found=self.rate)
            return float(max(source.shape) / self.rate)
        return _asked(source, seconds_in, "sound")


@dataclass(frozen=True)
class Text:
    """A text, or a pair of them, to be drawn.

    Args:
        text: line breaks become spaces.
        second: a second text after it, as the trained model takes pairs of sentences.
        font: path of a font; see `docs/fields.md` for what is taken when `None`.
        patches: how many the strip is wide, the rest being white; just as many as the text needs when `None`.

    Example:
        >>> len(Text("one two " * 200).windows()) > 1
        True
    """

    text: str
    second: str | None = None
    font: str | os.PathLike[str] | None = None
    patches: int | None = None

    def __post_init__(self) -> None:
        """Refuse widths that no strip has."""
        if self.patches is not None and (type(self.patches) is not int or self.patches < 1):
            raise ArgumentError(f"patches is a whole number, at least 1; got {self.patches!r}.", found=self.patches)

    def windows(self, patches: int = 529) -> "list[Text]":
        """Split the text at its spaces into parts that a strip holds.

        Args:
            patches: of the strip; PIXEL's has 529.

        Raises:
            ArgumentError: fewer than 4 patches, or a pair of texts.
            ImageError: the text is empty, or longer than a million characters.
        """
        if self.second is not None or patches < 4:
            raise ArgumentError("one text is split, into strips of at least 4 patches.", found=patches)
        line = as_line(self.text, "the text", _MOST_PARTS // 4)
        return [replace(self, text=part) for part in split_line(line, self.font, min(patches * 16, _STRIP))]


def _is_number(value: Any, *, nan: bool) -> bool:
    """Tell whether a value is a number, and a finite one unless NaN is allowed."""
    return isinstance(value, Real) and not isinstance(value, bool) and (nan or math.isfinite(value))


def is_tensor(thing: object) -> bool:
    """Tell whether something is a tensor, without importing torch."""
    return hasattr(thing, "detach") and hasattr(thing, "permute")


def _extent_of(file: Path | bytes) -> tuple[int, int]:
    """Return (H, W) of a .npy file or a GeoTIFF."""
    if is_npy(head_of(file)):
        shape = load_npy(file).shape
        return shape[0], shape[1]
    return raster_size(file)


def _asked(source: _File, question: Callable[[Path | bytes], _T], what: str) -> _T:
    """Return what `question` finds in a file; errors are those of reading it."""
    file = as_path(source) if isinstance(source, str | os.PathLike) else read_bytes(source, "the file")

    def ask() -> _T:
        head_of(file)  # says what is wrong with a path better than libraries do
        return question(file)

    return guarded(file, str(file) if isinstance(file, Path) else "the file", ask, what=what)
