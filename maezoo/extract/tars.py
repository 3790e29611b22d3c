"""Tar shards in webdataset's layout.

The webdataset library reads shards as streams, from their start. Here each image's place in its shard is listed
first, from the headers alone, so that workers read any of them at once and a resumed run starts in the middle.
"""

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

from maezoo.errors import DataError
from maezoo.extract.items import Item

__all__ = ["SUFFIXES", "is_image", "tar_items"]

SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp", "gif", "tif", "tiff", "ppm", "pgm", "pnm"),
        *("avif", "heic", "heif", "jp2", "tga", "ico"),
    )
)
"""Endings of the files that count as images found; one that cannot be read after all has its row among the errors."""


def is_image(name: str) -> bool:
    """Whether a file's name ends as an image's.

    Example:
        >>> is_image("tom.JPG"), is_image("notes.txt")
        (True, False)
    """
    return os.path.splitext(name)[1].lower() in SUFFIXES  # noqa: PTH122 - a member's name is no path of this machine


def tar_items(path: Path, *, labels: bool = False) -> Iterator[Item]:
    """Yield the images of a shard in their order: `000123.jpg`, with the label in `000123.cls` beside it.

    Args:
        path: an uncompressed tar file.
        labels: read the `.cls` members.

    Raises:
        DataError: no tar file, or one that is cut short.
    """
    images: list[tarfile.TarInfo] = []
    found: dict[str, str] = {}
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                if not member.isfile():
                    continue
                if is_image(member.name):
                    images.append(member)
                elif labels and member.name.endswith(".cls"):
                    found[_key(member.name)] = _content(tar, member)
    except (tarfile.TarError, OSError) as error:
        raise DataError(f"{path} is no whole, uncompressed tar file: {error}.") from error
    _check_whole(path, images)
    location = os.fsencode(path.absolute())
    for member in images:
        name = f"{path.name}/{member.name}".encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        yield Item(name, location, found.get(_key(member.name)), member.offset_data, member.size)


def _key(name: str) -> str:
    """Return what the members of one sample share: the name up to the first dot behind the last slash."""
    folder, slash, file = name.rpartition("/")
    return folder + slash + file.partition(".")[0]


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    """Return the text of a small member."""
    file = tar.extractfile(member)
    return file.read().decode("utf-8", "replace").strip() if file else ""


def _check_whole(path: Path, images: list[tarfile.TarInfo]) -> None:
    """Refuse a shard that ends inside its last image: what should follow it would be missed."""
    if images and images[-1].offset_data + images[-1].size > path.stat().st_size:
        raise DataError(f"{path} is cut short inside {images[-1].name}; fetch it again.")
