"""Packs: one file with all images, decoded once into memory."""

import hashlib
import itertools
import logging
import zipfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from maezoo.errors import ArgumentError, DataError, ImageError
from maezoo.files import written_whole
from maezoo.images.batches import READ_ERRORS, open_image
from maezoo.images.window import Scaling
from maezoo.training.sources.views import Crops, crop_batch
from maezoo.vocabulary import Window

__all__ = ["PackedImages", "write_pack"]

_log = logging.getLogger(__name__)
_NAMED = 20  # unreadable images that are named in warnings


class PackedImages:
    """All images of one or more packs, decoded into memory as one uint8 tensor.

    A pack is an `.npz` with `blob` (uint8, encoded images end to end) and `offset` (int64, n + 1 positions in it);
    all images have one square size. `write_pack` makes one. An image that cannot be read costs itself: its place in a
    batch holds NaN, and the loss leaves it out.

    Args:
        paths: the packs.
        device: where the images are kept and cropped.
        window: which values of pictures of more than 8 bits become black and white.

    Raises:
        DataError: a file that is no pack, no image that can be read, or images of different sizes.
    """

    def __init__(self, paths: list[Path], device: torch.device | str = "cpu", window: Window = "full") -> None:
        self.paths, self.window = paths, window
        found = list(itertools.chain.from_iterable(_decoded(path, Scaling(window)) for path in paths))
        wrong = {index: each for index, each in enumerate(found) if isinstance(each, DataError)}
        self.unreadable = {f"{each.path}#{each.index}": str(each) for each in wrong.values()}
        shapes = {each.shape for each in found if not isinstance(each, DataError)}
        if wrong and not shapes:
            raise wrong[0]
        if len(shapes) != 1:
            raise DataError(f"a pack needs at least one image and one size for all; found {sorted(shapes)} (H, W, C).")
        for why in itertools.islice(self.unreadable.values(), _NAMED):
            _log.warning("left out: %s", why)
        blank = np.zeros(next(iter(shapes)), np.uint8)
        pixels = torch.from_numpy(np.stack([blank if isinstance(each, DataError) else each for each in found]))
        self.images = pixels.permute(0, 3, 1, 2).contiguous().to(device)  # (n, 3, S, S) uint8
        self._blank = torch.tensor([index in wrong for index in range(len(found))], device=device) if wrong else None

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def views(self, indices: Tensor, crops: Crops, size: int | tuple[int, int]) -> Tensor:
        """Return the crops of the images at `indices` as (B, 3, H, W) float32 in [0, 1], NaN where unreadable."""
        chosen = indices.to(self.images.device)
        views = crop_batch(self.images[chosen], crops, size)
        if self._blank is not None:
            views = torch.where(self._blank[chosen].view(-1, 1, 1, 1), float("nan"), views)
        return views

    def fingerprint(self) -> dict[str, Any]:
        """Return what tells these images from others: their number, and a hash of their sizes in the packs."""
        ends = hashlib.sha256()
        for path in self.paths:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as pack:
                ends.update(pack["offset"].astype(np.int64).tobytes())
        return {"count": len(self), "sizes": ends.hexdigest()[:16]}

    def left_out(self) -> dict[str, str]:
        """Return why images were left out, by the pack and their number in it."""
        return dict(self.unreadable)

    def describe(self) -> str:
        """Say in a few words what this is."""
        side = self.images.shape[-1]
        return f"{len(self):,} images of {side} px from {', '.join(path.name for path in self.paths)}"


def write_pack(path: Path, images: Iterable[Path], *, size: int, quality: int = 70) -> None:
    """Pack images into one file: cut to a centred square, resized, WebP; the file appears complete or not at all.

    Args:
        path: the `.npz` to make or replace.
        images: paths.
        size: side of the squares in pixels.
        quality: of the WebP compression, 1 to 100.

    Raises:
        ImageError: an image cannot be read.
    """
    blobs = []
    for each in images:
        square = ImageOps.fit(open_image(each, least=size), (size, size), Image.Resampling.LANCZOS)
        buffer = BytesIO()
        square.save(buffer, "WEBP", quality=quality, method=4)
        blobs.append(buffer.getvalue())
    offset = np.cumsum([0, *map(len, blobs)])
    with written_whole(path) as temporary, temporary.open("wb") as file:
        np.savez(file, blob=np.frombuffer(b"".join(blobs), np.uint8), offset=offset, size=np.array(size))


def _blobs(path: Path) -> Iterator[bytes]:
    """Yield the encoded images of a pack."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as pack:
            blob, offset = pack["blob"], pack["offset"].astype(np.int64, casting="same_kind")
        if blob.dtype != np.uint8 or blob.ndim != 1 or offset.ndim != 1:
            raise ArgumentError("'blob' is (bytes,) uint8 and 'offset' (n + 1,) integers")
        if len(offset) and (offset[0] < 0 or offset[-1] > len(blob) or (np.diff(offset) < 0).any()):
            raise ArgumentError("'offset' points outside 'blob'")
    except (*READ_ERRORS, zipfile.BadZipFile) as error:
        raise DataError.about(path, f"is not a pack of images (an .npz with 'blob' and 'offset'): {error}.") from error
    for start, end in itertools.pairwise(offset):
        yield blob[start:end].tobytes()


def _decoded(path: Path, scaling: Scaling) -> list[NDArray[np.uint8] | DataError]:
    """Decode the images of a pack to (H, W, 3) uint8; one that cannot be read to the error that says why."""

    def decode(data: bytes, index: int) -> NDArray[np.uint8] | DataError:
        try:
            with Image.open(BytesIO(data)) as image:
                return np.asarray(open_image(image, name="it", scaling=scaling))
        except (ImageError, *READ_ERRORS) as error:
            return DataError(f"image {index} of the pack {path} cannot be read: {error}.", path=path, index=index)

    with ThreadPoolExecutor() as pool:
        return list(pool.map(decode, _blobs(path), itertools.count()))
