"""The first stage: items become pixels. An image that cannot be read becomes a failure."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from maezoo.errors import ImageError
from maezoo.extraction.failures import Failure, decoding_failure, reading_errors, reading_failure
from maezoo.extraction.item import Item, image_bytes
from maezoo.extraction.items import Items
from maezoo.images.batches import READ_ERRORS, least_side, normalise, open_sized, prepare, prepare_upright
from maezoo.images.fields import prepare_sized, takes_pictures
from maezoo.images.preprocessing import Preprocessing
from maezoo.images.window import Scaling

__all__ = ["Chunk", "Decoded", "Decoder", "Row", "chunk_starts", "decode_chunk", "decode_items", "without_warnings"]


class Row(NamedTuple):
    """What the output says of an image apart from its embedding; width and height are those of the upright picture."""

    id: str
    label: str | None
    width: int
    height: int


class Chunk(NamedTuple):
    """Consecutive items that are decoded and embedded together.

    Attributes:
        start: number of the first.
        stop: one past the last.
        again: numbers of those that an earlier run could not read, if it read the others.
    """

    start: int
    stop: int
    again: tuple[int, ...] = ()


class Decoded(NamedTuple):
    """A chunk, decoded.

    Attributes:
        first: number of its first item.
        stop: one past its last.
        pixels: (b, C, H, W), of those that could be read: uint8, or normalised floats of other fields' inputs.
        rows: b of them.
        failures: the others.
        note: what there is to tell of a picture that uses a small part of its range; empty if there is nothing.
    """

    first: int
    stop: int
    pixels: Tensor
    rows: list[Row]
    failures: list[Failure]
    note: str = ""


@dataclass(frozen=True)
class Decoder:
    """Decodes chunks by number.

    Attributes:
        items: all items.
        chunks: of them.
        preprocess: of the model's weights.
        exact: decode JPEGs at full size, however large.
    """

    items: Items
    chunks: Sequence[Chunk]
    preprocess: Preprocessing
    exact: bool = False

    def __len__(self) -> int:
        """Return the number of chunks."""
        return len(self.chunks)

    def __getitem__(self, index: int) -> Decoded:
        """Decode a chunk."""
        return decode_chunk(self.items_of(index), self.chunks[index], self.preprocess, exact=self.exact)

    def items_of(self, index: int) -> list[Item]:
        """Return the items of a chunk."""
        return self.items.slice(self.chunks[index].start, self.chunks[index].stop)


def chunk_starts(start: int, stop: int, size: int) -> list[Chunk]:
    """Cut a range of items into chunks.

    Example:
        >>> [tuple(chunk)[:2] for chunk in chunk_starts(0, 5, 2)]
        [(0, 2), (2, 4), (4, 5)]
    """
    return [Chunk(first, min(first + size, stop)) for first in range(start, stop, size)]


def decode_chunk(items: Sequence[Item], chunk: Chunk, preprocess: Preprocessing, *, exact: bool = False) -> Decoded:
    """Decode a chunk. One that is tried again is decoded in full, so that its rows are those of an undisturbed run.

    Args:
        items: of the chunk.
        chunk: which ones they are.
        preprocess: the size and the resize rule.
        exact: decode JPEGs at full size, however large.

    Returns:
        The chunk; only failures where what is tried again cannot be read this time either.
    """
    if chunk.again:
        tried = [decode_items([items[n - chunk.start]], n, preprocess, exact=exact) for n in chunk.again]
        if not any(one.rows for one in tried):
            failures = [failure for one in tried for failure in one.failures]
            return Decoded(chunk.start, chunk.stop, prepare([], preprocess), [], failures)
    return decode_items(items, chunk.start, preprocess, exact=exact)


def decode_items(items: Sequence[Item], first: int, preprocess: Preprocessing, *, exact: bool = False) -> Decoded:
    """Fetch, decode and resize items one by one; those that fail become failures.

    Args:
        items: consecutive items.
        first: number of the first one.
        preprocess: the size and the resize rule.
        exact: decode JPEGs at full size, however large.
    """
    pixels: list[Tensor] = []
    rows: list[Row] = []
    failures: list[Failure] = []
    notes: list[str] = []
    scaling = Scaling(preprocess.window, lambda text, *facts: notes.append(text % facts))
    for number, item in enumerate(items, start=first):
        try:
            data = image_bytes(item)
        except reading_errors() as error:  # not the fault of its bytes, which were never read
            failures.append(reading_failure(item.id, number, error))
            continue
        try:
            width, height, one = _decode(data, item.id, preprocess, exact, scaling)
        except (ImageError, ImportError, RuntimeError, *READ_ERRORS) as error:  # some plug-ins raise RuntimeError
            failures.append(decoding_failure(item.id, number, error, data[:12]))
            continue
        pixels.append(one)
        rows.append(Row(item.id, item.label, width, height))
    batch = torch.cat(pixels) if pixels else prepare([], preprocess)
    return Decoded(first, first + len(items), batch.contiguous(), rows, failures, " ".join(notes))


@contextmanager
def without_warnings() -> Iterator[None]:
    """Suppress Pillow's warnings: of damaged metadata, and of pictures that are large but allowed.

    Warning filters belong to the process: use this from one thread at a time.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _decode(
    data: bytes, name: str, preprocess: Preprocessing, exact: bool, scaling: Scaling
) -> tuple[int, int, Tensor]:
    """Return width and height of the upright image, and (1, C, H, W): uint8, or normalised floats of other fields."""
    channels = 3 if preprocess.bands is None and preprocess.kind == "picture" else len(preprocess.mean)
    if not takes_pictures(preprocess, channels):
        pixels, (width, height) = prepare_sized(data, preprocess, channels, name, scaling)
        batch = torch.from_numpy(pixels).permute(2, 0, 1)[None]  # (1, C, H, W)
        return width, height, normalise(batch, preprocess)
    least = None if exact else least_side(preprocess)
    picture, (width, height) = open_sized(data, name=name, least=least, scaling=scaling)
    return width, height, prepare_upright(picture, preprocess)
