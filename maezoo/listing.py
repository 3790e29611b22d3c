"""One rule for every folder that is listed: which entries count as files, and in which order they come.

Hidden entries (`.name`) are left out, and so are pipes, sockets and devices, which would never end. Links are followed.
A broken link counts as a file, so that reading it is an error, and it is not passed over.
"""

import errno
import functools
import importlib.util
import logging
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

__all__ = [
    "IMAGE_SUFFIXES",
    "RASTER_SUFFIXES",
    "SOUND_SUFFIXES",
    "TEXT_SUFFIXES",
    "counts",
    "endings_in",
    "files_in",
    "image_files",
    "is_hidden",
    "is_image",
]

_log = logging.getLogger(__name__)

IMAGE_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp", "gif", "tif", "tiff", "ppm", "pgm", "pnm"),
        *("avif", "heic", "heif", "jp2", "tga", "ico"),
    )
)
"""Endings of the files that count as images; whether one can be read is found out later."""
_MEDICAL = frozenset({".dcm", ".dicom"})  # these too, where pydicom is installed

RASTER_SUFFIXES = frozenset({".tif", ".tiff", ".npy"})
"""Endings of the files that hold bands."""
SOUND_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".npy"})
"""Endings of the files that hold sounds, or their energies."""
TEXT_SUFFIXES = frozenset({".txt"})
"""Endings of the files that hold texts."""

_DEAD_LINK = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES, errno.ENAMETOOLONG})


def is_image(name: str) -> bool:
    """Whether a file's name ends as an image's.

    Example:
        >>> is_image("tom.JPG"), is_image("notes.txt")
        (True, False)
    """
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 - also of names inside tar files
    return suffix in IMAGE_SUFFIXES or (suffix in _MEDICAL and _reads_dicom())


def counts(name: str, endings: frozenset[str] | None) -> bool:
    """Whether a file's name ends as one of these, in small letters; as an image's when `None`.

    Example:
        >>> counts("song.WAV", SOUND_SUFFIXES), counts("song.WAV", None)
        (True, False)
    """
    return is_image(name) if endings is None else Path(name).suffix.lower() in endings


@functools.cache
def _reads_dicom() -> bool:
    return importlib.util.find_spec("pydicom") is not None


def is_hidden(name: str) -> bool:
    """Whether a name, or a folder that it is in, begins with a dot.

    Example:
        >>> is_hidden("a/.b/c.jpg"), is_hidden("./a/../c.jpg")
        (True, False)
    """
    return any(part.startswith(".") and part not in (".", "..") for part in name.split("/"))


def files_in(folder: Path, suffix: str) -> list[Path]:
    """Return the files of a folder with an ending, sorted by name; folders below are not searched.

    Args:
        folder: the folder.
        suffix: the ending in small letters, such as `".tar"`; the files may have it in capitals.

    Raises:
        OSError: the folder cannot be read.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in ("b.tar", "a.TAR", "._a.tar", "c.txt"):
        ...     (folder / name).touch()
        >>> [path.name for path in files_in(folder, ".tar")]
        ['a.TAR', 'b.tar']
    """
    return [
        Path(entry.path)
        for entry in _entries(folder)
        if Path(entry.name).suffix.lower() == suffix and not _is_folder(entry) and _is_file(entry)
    ]


def image_files(folder: Path, endings: frozenset[str] | None = None) -> Iterator[Path]:
    """Yield the image files below a folder, each folder in sorted order; links to folders are followed, circles not.

    Args:
        folder: the folder.
        endings: of the files that count, in small letters; those of images when `None`.

    A folder below that may not be read is skipped with a warning.

    Raises:
        OSError: the folder itself cannot be read, or one below for a reason that may pass.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / "cats").mkdir()
        >>> (folder / "cats" / "tom.jpg").touch()
        >>> [path.name for path in image_files(folder)]
        ['tom.jpg']
    """
    return (Path(entry.path) for entry in _all_files(folder) if counts(entry.name, endings) and _is_file(entry))


def endings_in(folder: Path) -> Counter[str]:
    """Count the endings of all files below a folder, in small letters; `""` for files without one.

    Raises:
        OSError: as `image_files`.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in ("a.dcm", "b.DCM", "LICENSE"):
        ...     (folder / name).touch()
        >>> sorted(endings_in(folder).items())
        [('', 1), ('.dcm', 2)]
    """
    return Counter(Path(entry.name).suffix.lower() for entry in _all_files(folder) if _is_file(entry))


def _all_files(folder: Path) -> Iterator["os.DirEntry[str]"]:
    """Yield what is no folder below a folder, in the order of `image_files`."""
    open_folders = [(_identity(folder), iter(_entries(folder)))]
    while open_folders:
        entry = next(open_folders[-1][1], None)
        if entry is None:
            open_folders.pop()
        elif not _is_folder(entry):
            yield entry
        else:
            try:
                here, entries = _identity(Path(entry.path)), _entries(Path(entry.path))
            except PermissionError as error:
                _log.warning("%s is left out: %s.", entry.path, error.strerror)
                continue
            if here not in (above for above, _ in open_folders):
                open_folders.append((here, iter(entries)))


def _entries(folder: Path) -> list["os.DirEntry[str]"]:
    """Return the entries of a folder that are not hidden, sorted by name."""
    with os.scandir(folder) as found:
        return sorted((entry for entry in found if not is_hidden(entry.name)), key=lambda entry: entry.name)


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    """Whether an entry is a folder or leads to one."""
    try:
        return entry.is_dir()
    except OSError as error:
        if error.errno in _DEAD_LINK:
            return False
        raise


def _is_file(entry: "os.DirEntry[str]") -> bool:
    """Whether an entry, no folder, is a regular file, leads to one, or leads nowhere."""
    try:
        return entry.is_file() or (entry.is_symlink() and not os.path.exists(entry.path))  # noqa: PTH110 - a million times
    except OSError as error:
        if error.errno in _DEAD_LINK:
            return True
        raise


def _identity(folder: Path) -> tuple[int, int] | str:
    """Return what two names of one folder share."""
    stat = folder.stat()
    return (stat.st_dev, stat.st_ino) if stat.st_ino else str(folder.resolve())
