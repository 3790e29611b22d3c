"""Images for pretraining: opened from packs, folders, lists, tar shards and Parquet files."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from maezoo.errors import DataError, SourceMissingError
from maezoo.extraction.item import Item
from maezoo.extraction.remote import is_uri
from maezoo.extraction.sources import find_items, nothing_found
from maezoo.images.preprocessing import as_window
from maezoo.paths import user_path
from maezoo.training.sources.listed import ListedImages
from maezoo.training.sources.numbered import Numbered
from maezoo.training.sources.packs import PackedImages
from maezoo.training.sources.shards import KeptShards, spelled_out
from maezoo.training.sources.views import Crops
from maezoo.vocabulary import Window

__all__ = ["ImageSource", "check_enough", "open_source"]

_KINDS = "a folder of images, a list (.txt, .csv, .parquet), .tar shards, Parquet files, or packed .npz files"


class ImageSource(Protocol):
    """Numbered images from which crops are taken."""

    def __len__(self) -> int:
        """Return the number of images."""

    def views(self, indices: Tensor, crops: Crops, size: int | tuple[int, int]) -> Tensor:
        """Return the crops of the images at `indices` as (B, 3, size, size) float32 in [0, 1]; of (H, W) if `size` is.

        An image that cannot be read has NaN in its place: the loss leaves it out.
        """

    def describe(self) -> str:
        """Say in a few words what this is."""


def open_source(
    source: str | Path,
    *more: str | Path,
    device: torch.device | str = "cpu",
    window: Window = "full",
    workers: int | None = None,
    folder: Path | None = None,
) -> ImageSource:
    """Open images to train on.

    Args:
        source: a folder (searched recursively), a list of paths or URIs (`.txt`, `.csv`, `.parquet`), a tar shard, a
            Parquet file with a column of images, a folder of these, or a pack; but for lists and packs also at a URI.
            Braces and stars stand for several: `"train-{000..099}.tar"`, `"s3://bucket/train-*.tar"`.
        *more: further ones. Packs are not mixed with others.
        device: where views are finished, and where packed images are kept.
        window: which values of pictures of more than 8 bits become black and white; see `Preprocessing`.
        workers: threads that read and decode.
        folder: where lists of shards and the names of unreadable images are kept, such as one in the run's own.

    Returns:
        The images, numbered in an order that is the same each time.

    Raises:
        SourceMissingError: nothing there, or no image in it.
        DataError: it is none of these, damaged, or an empty shard.
        OSError: it cannot be read, however often that is tried.

    Example:
        >>> open_source("tests/data/photos").describe()
        '4 images from tests/data/photos'
    """
    names = [name for each in (source, *more) for name in spelled_out(str(each))]
    packs = [user_path(name) for name in names if not is_uri(name) and _is_pack(user_path(name))]
    checked = as_window(window)
    if packs and len(packs) < len(names):
        raise DataError("packs (.npz) cannot be mixed with other sources; name one or the other.", path=packs[0])
    if packs:
        return PackedImages(packs, device, checked)
    shards = KeptShards(folder)
    items = Numbered(itertools.chain.from_iterable(_items(shards.reachable(name), shards) for name in names))
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")
    return ListedImages(items, shown, device=device, window=checked, workers=workers, folder=folder)


def check_enough(source: ImageSource, batch_size: int) -> None:
    """Refuse fewer images than a step shows.

    Raises:
        DataError: they are too few.
    """
    if len(source) < batch_size:
        raise DataError(
            f"{source.describe()}: fewer than the {batch_size:,} of a batch, which would show some of them twice at "
            f"once; pass a smaller batch (--batch-size {len(source)}), or more images.",
            expected=batch_size,
            found=len(source),
        )


def _is_pack(path: Path) -> bool:
    """Tell whether a path is a pack.

    Raises:
        SourceMissingError: nothing there.
        DataError: a pipe or a device.
    """
    if not path.exists():
        raise SourceMissingError.about(path, f"does not exist; pass {_KINDS}.")
    if not path.is_dir() and not path.is_file():
        raise DataError.about(path, f"is a pipe or a device; pass {_KINDS}.")
    return path.suffix.lower() == ".npz" and path.is_file()


def _items(source: str, shards: KeptShards) -> Iterator[Item]:
    """Yield the images of one source.

    Raises:
        SourceMissingError: it has none.
    """
    count = 0
    for count, item in enumerate(find_items(source, shard=shards), start=1):  # noqa: B007
        yield item
    if not count:
        raise nothing_found(source)
