"""Labelled images, decoded when they are needed and kept in memory while there is room."""

import functools
import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from maezoo.errors import DataError
from maezoo.extraction.failures import reading_errors
from maezoo.extraction.item import Item, image_bytes
from maezoo.images.batches import open_image
from maezoo.images.conversion import input_of
from maezoo.images.preprocessing import Preprocessing
from maezoo.images.window import Scaling
from maezoo.training.sources.fingerprint import fingerprint
from maezoo.training.sources.retries import patiently, why_unreadable
from maezoo.vocabulary import Window

__all__ = ["LabelledImages"]

_log = logging.getLogger(__name__)
_KEPT = 2**30  # bytes of decoded images that are kept
_OVERSAMPLING = 2  # an image is kept at no more than this many times the size needed


class LabelledImages:
    """Images, each with the number of its class.

    An image that cannot be read is named in one warning, and in `unreadable`; one that may be readable another time
    raises, as without it the result would differ.

    Args:
        items: the images; each has a label.
        classes: the names of all labels.
        source: where they are, in words.

    Attributes:
        window: which values of pictures of more than 8 bits become black and white; set it before the first is decoded.
    """

    def __init__(self, items: Sequence[Item], classes: Sequence[str], source: str) -> None:
        number = {name: index for index, name in enumerate(classes)}
        self.items, self.classes, self.source = list(items), tuple(classes), source
        self.targets = [number[str(item.label)] for item in items]
        self.window: Window = "full"
        self.unreadable: dict[str, str] = {}
        self._kept: dict[int, Image.Image] = {}
        self._room = _KEPT

    def __len__(self) -> int:
        """Return the number of images, readable or not."""
        return len(self.items)

    def __getstate__(self) -> dict[str, Any]:
        """Leave decoded images out: each process decodes its own, and keeps none."""
        state = self.__dict__ | {"_kept": {}, "_room": 0}
        state.pop("_scaling", None)
        return state

    def fingerprint(self) -> dict[str, Any]:
        """Return what tells these images and labels from others; see `fingerprint`."""
        return fingerprint(self.items)

    def check_classes(self, size: int) -> None:
        """Decode one image of each class.

        Raises:
            DataError: none of a class can be read, or it has none; the message names the class.
        """
        members: list[list[int]] = [[] for _ in self.classes]
        for index, target in enumerate(self.targets):
            members[target].append(index)
        for name, of_class in zip(self.classes, members, strict=True):
            if all(self.picture(index, size) is None for index in of_class):
                why = next((self.unreadable[self.items[index].id] for index in of_class), "there is none")
                raise DataError(
                    f"no image of the class {name!r} in {self.source} can be read ({len(of_class)} tried): {why}",
                    path=self.source,
                    found=name,
                )

    def picture(self, index: int, size: int) -> Image.Image | None:
        """Return an image, upright and RGB, scaled down so that it fits an input of `size` pixels well.

        Returns:
            The image; `None` when it cannot be read.

        Raises:
            OSError: it may be readable another time.
        """
        item = self.items[index]
        if item.id in self.unreadable:
            return None
        kept = self._kept.get(index)
        if kept is not None:
            return kept
        decoded = self._decode(index, size)
        if decoded is None:
            return None
        small = _scaled_down(decoded, _OVERSAMPLING * size)
        self._room -= small.width * small.height * 3
        if self._room > 0:
            self._kept[index] = small
        return small

    def inputs(self, preprocess: Preprocessing, in_chans: int, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield all images that can be read, prepared as the weights want it.

        Yields:
            (b, C, H, W) uint8 and their numbers (b,) int64.
        """

        def prepared(index: int) -> tuple[int, Tensor] | None:
            decoded = self._decode(index, round(max(preprocess.size) / preprocess.crop_pct))
            if decoded is None:
                return None
            return index, input_of(decoded, preprocess, in_chans, index, self._scaling)

        with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
            for start in range(0, len(self), batch_size):
                found = list(filter(None, pool.map(prepared, range(start, min(len(self), start + batch_size)))))
                if found:
                    numbers = torch.tensor([number for number, _ in found], dtype=torch.int64, device="cpu")
                    yield torch.cat([pixels for _, pixels in found]), numbers

    def leave_out(self, name: str, why: str) -> None:
        """Remember an image that cannot be read, and warn of it."""
        if self.unreadable.setdefault(name, why) is why:  # several threads or processes may meet it at once
            _log.warning("left out: %s", why)

    def describe(self) -> str:
        """Say in a few words what this is."""
        return f"{len(self):,} images of {len(self.classes)} classes from {self.source}"

    @functools.cached_property
    def _scaling(self) -> Scaling:
        return Scaling(self.window)

    def _decode(self, index: int, least: int) -> Image.Image | None:
        item = self.items[index]
        if item.id in self.unreadable:
            return None
        try:
            data = patiently(lambda: image_bytes(item), os.fsdecode(item.location))
            return open_image(data, name=item.id, least=least, scaling=self._scaling)
        except reading_errors() as error:  # ImageError is a ValueError, and so among them
            self.leave_out(item.id, why_unreadable(item.id, index, error))
            return None


def _scaled_down(image: Image.Image, most: int) -> Image.Image:
    """Scale an image down until its shorter side has `most` pixels."""
    ratio = most / min(image.size)
    if ratio >= 1:
        return image
    size = (max(1, round(image.width * ratio)), max(1, round(image.height * ratio)))
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
