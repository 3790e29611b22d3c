"""Images for pretraining: a packed file decoded once into memory, or a folder read as it is needed."""

import itertools
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from maezoo.errors import DataError
from maezoo.files import user_path, written_whole
from maezoo.images import READ_ERRORS, open_image
from maezoo.training.views import Crops, crop_batch

__all__ = ["FolderImages", "ImageSource", "PackedImages", "open_source", "write_pack"]

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"})


class ImageSource(Protocol):
    """Numbered images from which crops are taken."""

    def __len__(self) -> int:
        """Return the number of images."""

    def views(self, indices: Tensor, crops: Crops, size: int) -> Tensor:
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
            images = [image for path in paths for image in pool.map(_decode, _blobs(path))]
        shapes = {image.shape for image in images}
        if len(shapes) != 1:
            raise DataError(f"a pack needs at least one image and one size for all; found {sorted(shapes)} (H, W, C).")
        pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
        self.images = pixels.contiguous().to(device)  # (n, 3, S, S) uint8

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def views(self, indices: Tensor, crops: Crops, size: int) -> Tensor:
        """Return the crops of the images at `indices` as (B, 3, size, size) float32 in [0, 1]."""
        return crop_batch(self.images[indices.to(self.images.device)], crops, size)

    def describe(self) -> str:
        """Say in a few words what this is."""
        side = self.images.shape[-1]
        return f"{len(self):,} images of {side} px from {', '.join(path.name for path in self.paths)}"


class FolderImages:
    """The images below a folder, decoded when they are needed; an unreadable one is replaced by the next.

    Args:
        folder: searched recursively, in sorted order.
        workers: threads that decode.

    Raises:
        DataError: no folder, or no image in it.
    """

    def __init__(self, folder: Path, workers: int = 4) -> None:
        if not folder.is_dir():
            raise DataError(f"{folder} is not a folder.")
        self.folder = folder
        self.paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
        if not self.paths:
            raise DataError(f"no image below {folder} (looked for {', '.join(sorted(_SUFFIXES))}).")
        self.unreadable: dict[Path, str] = {}
        self._pool = ThreadPoolExecutor(workers)

    def __len__(self) -> int:
        """Return the number of files."""
        return len(self.paths)

    def views(self, indices: Tensor, crops: Crops, size: int) -> Tensor:
        """Return the crops of the images at `indices` as (B, 3, size, size) float32 in [0, 1]."""
        jobs = zip(indices.tolist(), crops.rows(), strict=True)
        return torch.stack(list(self._pool.map(lambda job: self._view(job[0], job[1], size), jobs)))

    def describe(self) -> str:
        """Say in a few words what this is."""
        return f"{len(self):,} image files below {self.folder}"

    def _view(self, index: int, crop: "Crops", size: int) -> Tensor:
        for attempt in range(len(self)):
            path = self.paths[(index + attempt) % len(self)]
            if path in self.unreadable:
                continue
            try:
                with Image.open(path) as image:
                    image.draft("RGB", (2 * size, 2 * size))
                    pixels = np.asarray(image.convert("RGB"))
            except READ_ERRORS as error:
                self.unreadable[path] = str(error)
                continue
            return crop_batch(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None], crop, size)[0]
        raise DataError(f"none of the {len(self)} files below {self.folder} can be read as an image.")


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
            raise DataError(f"{each} does not exist; pass a folder of images or a packed .npz file.")
    if len(paths) == 1 and paths[0].is_dir():
        return FolderImages(paths[0])
    return PackedImages(paths, device)


def write_pack(path: Path, images: Iterable[Path], *, size: int, quality: int = 70) -> None:
    """Pack images into one file: cut to a centred square, resized, WebP; the file appears whole or not at all.

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
        with np.load(path, allow_pickle=False) as pack:
            blob, offset = pack["blob"], pack["offset"]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path} is not a pack of images (an .npz with 'blob' and 'offset'): {error}.") from error
    for start, end in itertools.pairwise(offset):
        yield blob[start:end].tobytes()


def _decode(data: bytes) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    """Decode one image to (H, W, 3) uint8."""
    try:
        with Image.open(BytesIO(data)) as image:
            return np.asarray(image.convert("RGB"))
    except READ_ERRORS as error:
        raise DataError(f"an image in the pack cannot be read: {error}.") from error
