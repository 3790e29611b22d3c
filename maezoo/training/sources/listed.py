"""Images in files, wherever these are: listed once, read and decoded when a step needs them."""

import functools
import json
import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from maezoo.errors import DataError
from maezoo.extraction.failures import reading_errors
from maezoo.extraction.item import Item, image_bytes
from maezoo.extraction.remote import is_uri
from maezoo.files import errors_named
from maezoo.images.cropping import open_crop
from maezoo.images.window import Scaling
from maezoo.training.sources.fingerprint import fingerprint
from maezoo.training.sources.numbered import Numbered
from maezoo.training.sources.retries import patiently, why_unreadable
from maezoo.training.sources.row_groups import RowGroups
from maezoo.training.sources.views import Crops, crop_box
from maezoo.vocabulary import Window

__all__ = ["ListedImages"]

_log = logging.getLogger(__name__)
_NAMED = 20  # unreadable images that are named in warnings; the others are in the file
_ENOUGH = 64  # images of which none can be read: the source is not what it should be
_UNREADABLE = "unreadable.jsonl"


class ListedImages:
    """Images of a folder, a list, tar shards or Parquet files.

    An image that cannot be read costs itself: its place in a batch holds NaN, no other image takes it, and the loss
    leaves it out. It is named in a warning, in `unreadable` and in the file that `left_out` reads.

    Args:
        items: the images.
        source: where they are, in words.
        device: where views are finished and given.
        window: which values of pictures of more than 8 bits become black and white.
        workers: threads that read and decode; as many as processors, and more where images are not on this machine.
        folder: where unreadable images are noted; `None` for nowhere.

    Attributes:
        blocks: images that are read together, which a step's order keeps near each other; `None` if each is read alone.
        is_remote: whether some are not on this machine.
        unreadable: why, by the image's name; those that this process has met.
    """

    def __init__(
        self,
        items: Numbered,
        source: str,
        *,
        device: torch.device | str = "cpu",
        window: Window = "full",
        workers: int | None = None,
        folder: Path | None = None,
    ) -> None:
        self.items, self.source, self.window = items, source, window
        self.device = torch.device(device)
        self._groups = RowGroups(items)
        self.blocks = self._groups.blocks
        self.is_remote = any(is_uri(os.fsdecode(location)) for location in items.locations())
        self._workers = workers or (_processors() if not self.is_remote else max(16, _processors()))
        self._folder = folder
        self.unreadable: dict[str, str] = {}
        self._bad: set[int] = set()
        self._any_read = False
        self._noting = threading.Lock()
        self._scaling = Scaling(window)

    def __len__(self) -> int:
        """Return the number of images, readable or not."""
        return len(self.items)

    def views(self, indices: Tensor, crops: Crops, size: int | tuple[int, int]) -> Tensor:
        """Return the crops of the images at `indices` as (B, 3, H, W) float32 in [0, 1], NaN where unreadable.

        Raises:
            OSError: an image cannot be read for now, however often that is tried.
            DataError: none of many images can be read.
        """
        H, W = (size, size) if isinstance(size, int) else size
        sides = zip(crops.area.tolist(), crops.aspect.tolist(), crops.left.tolist(), crops.top.tolist(), strict=True)
        on_cuda = self.device.type == "cuda"
        pixels = torch.zeros((len(indices), H, W, 3), dtype=torch.uint8, device="cpu", pin_memory=on_cuda)
        rows, missing = pixels.numpy(), []
        for row, view in enumerate(
            self._pool.map(lambda index, crop: self._view(index, crop, (H, W)), indices.tolist(), sides)
        ):
            if view is None:
                missing.append(row)
            else:
                rows[row] = view
        self._check_any(len(indices) - len(missing))
        images = pixels.to(self.device, non_blocking=True).permute(0, 3, 1, 2).float() / 255
        flip = crops.flip.to(self.device, non_blocking=True).view(-1, 1, 1, 1)
        images = torch.where(flip, images.flip(-1), images).contiguous()
        if missing:
            images[missing] = float("nan")
        return images

    def describe(self) -> str:
        """Say in a few words what this is."""
        return f"{len(self):,} images from {self.source}"

    def fingerprint(self) -> dict[str, Any]:
        """Return what tells these images from others; see `fingerprint`."""
        return fingerprint(self.items)

    def left_out(self) -> dict[str, str]:
        """Return why images were left out, by name: those of all processes, and of the run before it was resumed."""
        found = dict(self.unreadable)
        if self._folder is not None and (self._folder / _UNREADABLE).exists():
            for line in (self._folder / _UNREADABLE).read_text(encoding="utf-8").splitlines():
                found |= _noted(line)
        return dict(sorted(found.items()))

    @functools.cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._workers, thread_name_prefix="maezoo-images")

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to a process, so that another can have this source."""
        raise TypeError("a source belongs to its process; open it again in the other one.")

    def _view(
        self, index: int, sides: tuple[float, float, float, float], size: tuple[int, int]
    ) -> NDArray[np.uint8] | None:
        """Return one crop, (H, W, 3); `None` if the image cannot be read."""
        if index in self._bad:
            return None
        item = self.items[index]
        name = _name_of(item)
        try:
            data = patiently(lambda: self._bytes(item), name)
            crop = open_crop(data, size, lambda *whole: crop_box(*sides, *whole), name=name, scaling=self._scaling)
        except reading_errors() as error:  # ImageError is a ValueError, and so among them
            self._leave_out(index, name, why_unreadable(name, index, error))
            return None
        self._any_read = True
        return np.asarray(crop)

    def _bytes(self, item: Item) -> bytes:
        return image_bytes(item) if item.column is None else self._groups.bytes_of(item)

    def _leave_out(self, index: int, name: str, why: str) -> None:
        """Remember an image that cannot be read; warn of it, and note it."""
        with self._noting:
            if index in self._bad:
                return
            self._bad.add(index)
            self.unreadable[name] = why
            if len(self._bad) <= _NAMED:
                _log.warning("left out: %s", why)
            if len(self._bad) == _NAMED:
                _log.warning("%d images were left out; further ones are not named here.", _NAMED)
            if self._folder is not None:
                self._folder.mkdir(parents=True, exist_ok=True)
                with errors_named(self._folder / _UNREADABLE) as path, path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"image": name, "reason": why}) + "\n")

    def _check_any(self, read: int) -> None:
        """Refuse a source of which nothing can be read."""
        if self._any_read or read or len(self._bad) < min(len(self), _ENOUGH):
            return
        first = next(iter(self.unreadable.values()))
        raise DataError(
            f"none of the {len(self._bad):,} images of {self.source} that were tried can be read: {first}",
            path=self.source,
            reason=first,
        )


def _name_of(item: Item) -> str:
    """Return what messages call an image: its file, and where it is a part of one, its name in it."""
    location = os.fsdecode(item.location)
    return location if item.offset < 0 else f"{location}#{item.id.rpartition('/')[2]}"


def _noted(line: str) -> dict[str, str]:
    """Read a line of the file; a process that was killed may have left a part of one."""
    try:
        noted = json.loads(line)
        return {str(noted["image"]): str(noted["reason"])}
    except (ValueError, KeyError, TypeError):
        return {}


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
