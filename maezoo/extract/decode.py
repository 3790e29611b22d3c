"""The first stage: items become pixels, in worker processes. An image that cannot be read becomes a failure."""

import signal
import threading
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from maezoo.errors import ImageError
from maezoo.extract.items import Item, Items, fetch
from maezoo.images import READ_ERRORS, prepare
from maezoo.preprocessing import Preprocessing

__all__ = ["Decoded", "Decoder", "Failure", "Row", "chunk_starts", "decode_items", "start_worker"]

_OVERSAMPLING = 2  # as in maezoo.decoding: a JPEG is decoded at no less than this many times the size needed
_EXIF_ORIENTATION = 0x0112
_LYING = (5, 6, 7, 8)  # orientations that exchange width and height


class Row(NamedTuple):
    """What the output says of an image besides its embedding; width and height of the upright picture in the file."""

    id: str
    label: str | None
    width: int
    height: int


class Failure(NamedTuple):
    """An image that could not be read."""

    id: str
    error: str
    message: str


class Decoded(NamedTuple):
    """A chunk of consecutive items, decoded.

    Attributes:
        first: number of its first item.
        pixels: (b, 3, H, W) uint8, of those that could be read.
        rows: b of them.
        failures: the others.
    """

    first: int
    pixels: Tensor
    rows: list[Row]
    failures: list[Failure]


@dataclass(frozen=True)
class Decoder:
    """Decodes chunks by number: what worker processes get. A data set in torch's sense.

    Attributes:
        items: all items.
        chunks: (start, stop) of each chunk.
        preprocess: of the model's weights.
        exact: decode JPEGs at full size, however large.
    """

    items: Items
    chunks: Sequence[tuple[int, int]]
    preprocess: Preprocessing
    exact: bool = False

    def __len__(self) -> int:
        """Return the number of chunks."""
        return len(self.chunks)

    def __getitem__(self, index: int) -> Decoded:
        """Decode a chunk."""
        start, stop = self.chunks[index]
        return decode_items(self.items.slice(start, stop), start, self.preprocess, exact=self.exact)


def chunk_starts(start: int, stop: int, size: int) -> list[tuple[int, int]]:
    """Cut a range of items into chunks, each (start, stop).

    Example:
        >>> chunk_starts(0, 5, 2)
        [(0, 2), (2, 4), (4, 5)]
    """
    return [(first, min(first + size, stop)) for first in range(start, stop, size)]


def decode_items(items: Sequence[Item], first: int, preprocess: Preprocessing, *, exact: bool = False) -> Decoded:
    """Fetch, decode and resize items one by one; those that fail are told apart.

    Args:
        items: consecutive items.
        first: number of the first one.
        preprocess: the size and the resize rule.
        exact: decode JPEGs at full size, however large.
    """
    pixels: list[Tensor] = []
    rows: list[Row] = []
    failures: list[Failure] = []
    for item in items:
        try:
            width, height, one = _decode(item, preprocess, exact)
        except (ImageError, RuntimeError, *READ_ERRORS) as error:  # some decoders' plug-ins raise RuntimeError
            cause = error.__cause__ or error
            failures.append(Failure(item.id, type(cause).__name__, _message(cause)))
            continue
        pixels.append(one)
        rows.append(Row(item.id, item.label, width, height))
    batch = torch.cat(pixels) if pixels else prepare([], preprocess)
    return Decoded(first, batch.contiguous(), rows, failures)


def start_worker(_: int = 0) -> None:
    """Prepare a worker process: one thread, deaf to Ctrl-C (the parent decides), and gone when its parent is gone."""
    import multiprocessing
    import os

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _decode(item: Item, preprocess: Preprocessing, exact: bool) -> tuple[int, int, Tensor]:
    """Return width and height of the upright image, and (1, 3, H, W) uint8."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's on damaged metadata and on pictures that are large but allowed
        with Image.open(fetch(item)) as image:
            width, height = image.size
            if _orientation(image) in _LYING:
                width, height = height, width
            if not exact:
                least = _OVERSAMPLING * round(max(preprocess.size) / preprocess.crop_pct)
                image.draft(None, (least, least))
            return width, height, prepare([image], preprocess)


def _orientation(image: Image.Image) -> Any:
    """Return the EXIF orientation, if any."""
    return image.getexif().get(_EXIF_ORIENTATION)


def _message(error: BaseException) -> str:
    """Say on one short line what an error says, without the objects' addresses that some messages hold."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text.partition(" <_io.BytesIO")[0][:500]
