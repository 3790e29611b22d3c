"""Images for pretraining: a packed file decoded once into memory, or a folder read when needed."""

import errno
import itertools
import logging
import zipfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from maezoo.errors import ArgumentError, DataError, ImageError
from maezoo.files import written_whole
from maezoo.images.batches import READ_ERRORS, open_image
from maezoo.images.window import Scaling
from maezoo.listing import IMAGE_SUFFIXES, image_files
from maezoo.paths import user_path
from maezoo.training.views import Crops, crop_batch

__all__ = ["FolderImages", "ImageSource", "PackedImages", "open_source", "write_pack"]

_log = logging.getLogger(__name__)
_DARK = (
    "%s uses values from %g to %g of a range from %g to %g, so the model sees almost no contrast; scale such "
    "pictures to 8 bits first."
)
_LASTING = frozenset({None, errno.ENOENT, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENOTDIR, errno.EISDIR})


class ImageSource(Protocol):
    """Numbered images from which crops are taken."""

    def __len__(self) -> int:
        """Return the number of images."""

    def views(self, indices: Tensor, crops: Crops, size: int | tuple[int, int]) -> Tensor:
        """Return the crops of the images at `indices` as (B, 3, size, size) float32 in [0, 1]."""

    def describe(self) -> str:
        """Say in a few words what this is."""


class PackedImages:
    """All images of one or more packs, decoded into memory as one uint8 tensor.

    A pack is an `.npz` with `blob` (uint8, encoded images end to end) and `offset` (int64, n + 1 positions in it);
    all images have one square size. `write_pack` makes one.

    Args:
        paths: the packs.
        device: where the images are kept and cropped.

    Raises:
        DataError: a file that is no pack, an image in it that cannot be read, or images of different sizes.
    """

    def __init__(self, paths: list[Path], device: torch.device | str = "cpu") -> None:
        self.paths = paths
        with ThreadPoolExecutor() as pool:
            images = [image for path in paths for image in pool.map(_decode, _blobs(path), itertools.count())]
        shapes = {image.shape for image in images}
        if len(shapes) != 1:
            raise DataError(f"a pack needs at least one image and one size for all; found {sorted(shapes)} (H, W, C).")
        pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
        self.images = pixels.contiguous().to(device)  # (n, 3, S, S) uint8

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def views(self, indices: Tensor, crops: Crops, size: int | tuple[int, int]) -> Tensor:
        """Return the crops of the images at `indices` as (B, 3, size, size) float32 in [0, 1]."""
        return crop_batch(self.images[indices.to(self.images.device)], crops, size)

    def describe(self) -> str:
        """Say in a few words what this is."""
        side = self.images.shape[-1]
        return f"{len(self):,} images of {side} px from {', '.join(path.name for path in self.paths)}"


class FolderImages:
    """The images below a folder, decoded when they are needed.

    A file that can never be read, as it is damaged or may not be opened, is always replaced by the next one that can,
    so that a step shows the same images however often it is run; the file is named in one warning, and in `unreadable`.

    Args:
        folder: searched as extraction searches: recursively, in sorted order, links followed, hidden files left out.
        workers: threads that decode.

    Raises:
        DataError: no folder, or no image in it.
    """

    def __init__(self, folder: Path, workers: int = 4) -> None:
        if not folder.is_dir():
            raise DataError.about(folder, "is not a folder.")
        self.folder = folder
        self.paths = list(image_files(folder))
        if not self.paths:
            raise DataError(f"no image below {folder} (looked for {', '.join(sorted(IMAGE_SUFFIXES))}).", path=folder)
        self.unreadable: dict[Path, str] = {}
        self._scaling = Scaling(tell=lambda _, *facts: _log.warning(_DARK, *facts))
        self._pool = ThreadPoolExecutor(workers)

    def __len__(self) -> int:
        """Return the number of files."""
        return len(self.paths)

    def views(self, indices: Tensor, crops: Crops, size: int | tuple[int, int]) -> Tensor:
        """Return the crops of the images at `indices` as (B, 3, size, size) float32 in [0, 1]."""
        jobs = zip(indices.tolist(), crops.rows(), strict=True)
        return torch.stack(list(self._pool.map(lambda job: self._view(job[0], job[1], size), jobs)))

    def describe(self) -> str:
        """Say in a few words what this is."""
        return f"{len(self):,} image files below {self.folder}"

    def _view(self, index: int, crop: "Crops", size: int | tuple[int, int]) -> Tensor:
        least = size if isinstance(size, int) else max(size)
        for attempt in range(len(self)):
            path = self.paths[(index + attempt) % len(self)]
            if path in self.unreadable:
                continue
            try:
                pixels = np.array(open_image(path, least=least, scaling=self._scaling))  # (H, W, 3)
            except ImageError as error:
                self._leave_out(path, error)
                continue
            return crop_batch(torch.from_numpy(pixels).permute(2, 0, 1)[None], crop, size)[0]
        raise DataError(f"none of the {len(self)} files below {self.folder} can be read as an image.", path=self.folder)

    def _leave_out(self, path: Path, error: ImageError) -> None:
        """Remember a file that can never be read, and warn of it.

        Raises:
            OSError: it may be readable another time; without it this step would differ.
        """
        cause, why = error.__cause__, str(error)
        if isinstance(cause, MemoryError) or (isinstance(cause, OSError) and cause.errno not in _LASTING):
            raise OSError(
                getattr(cause, "errno", errno.ENOMEM), f"{why} Run the same command again", str(path)
            ) from error
        if self.unreadable.setdefault(path, why) is why:  # several threads may meet it at once
            _log.warning("left out, and replaced by the next image: %s", why)


def open_source(path: str | Path, *more: str | Path, device: torch.device | str = "cpu") -> ImageSource:
    """Open a folder of images, or one or more packs.

    Args:
        path: a folder or a pack.
        *more: further packs.
        device: where packed images are kept and cropped.

    Raises:
        DataError: the path does not exist, or is neither.
    """
    paths = [user_path(each) for each in (path, *more)]
    for each in paths:
        if not each.exists():
            raise DataError.about(each, "does not exist; pass a folder of images or a packed .npz file.")
        if not each.is_dir() and not each.is_file():
            raise DataError.about(each, "is a pipe or a device; pass a folder of images or a packed .npz file.")
    if len(paths) == 1 and paths[0].is_dir():
        return FolderImages(paths[0])
    return PackedImages(paths, device)


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


def _decode(data: bytes, index: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    """Decode one image of a pack to (H, W, 3) uint8."""
    try:
        with Image.open(BytesIO(data)) as image:
            return np.asarray(open_image(image, name="it"))
    except (ImageError, *READ_ERRORS) as error:
        raise DataError(f"image {index} of the pack cannot be read: {error}.", index=index) from error
